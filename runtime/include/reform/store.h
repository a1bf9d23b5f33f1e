// Store: a directory of ingested contexts. Several processes may use one directory at the same time.
//
// Thread-safety: any thread may make any call.
// Lifetime: the store must outlive every call made with it.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reform {

// The cap on the store's size on disk. It is saved in the directory, and every process that writes there obeys it. An
// unset field leaves the saved value as it is.
struct StoreOptions {
  std::optional<int64_t> max_bytes;  // 0: no cap
  // At the cap. true: remove contexts, the least recently asked first, but none that is pinned, unfinished or in use.
  // false: the write stops with kNoSpace, and can continue when there is room.
  std::optional<bool> evict_when_full;

  REFORM_API Status validate() const;
};

struct StoreUse {
  int64_t used_bytes = 0;  // of all files and directories: size or allocated blocks, whichever is more
  int64_t max_bytes = 0;   // 0: no cap
  bool evict_when_full = false;
};

// A context that was removed because the store was full.
struct Eviction {
  std::string context;
  int64_t bytes = 0;
  int64_t last_used_unix_s = 0;  // when it was last asked; if never, when it was finished
};

struct ContextInfo {
  std::string name, id;
  std::string model_name, model_path, model_fingerprint;
  std::string policy;  // a name of list_policies()
  std::string heads;   // whose states are stored: "k6.0 v14.1"
  std::string depth;   // the shipped set that these are: fast, balanced, deep, paper; empty: others
  // "complete"; "partial": the ingest was stopped and can continue; "busy": another process is writing it; "damaged";
  // "unreadable": the system refuses to open or read it; "replacement": unfinished, and will take the place of the
  // context that has its name now (find() gives that one).
  std::string state;
  std::string problem;             // why it is damaged or unreadable
  Code problem_code = Code::kOk;   // of that
  std::vector<std::string> files;  // the sources' names, in order
  int64_t n_tokens = 0;            // if it is not complete: those that are saved
  int64_t source_bytes = 0, created_unix_s = 0;
  int64_t chunk_tokens = 0, cache_tokens = 0;
  int64_t disk_bytes = 0, checkpoint_bytes = 0;
  double bytes_per_token = 0;     // disk_bytes by n_tokens, checkpoints included; 0 without tokens
  std::string settings_json;      // what the context was begun with, as JSON
  bool pinned = false;            // never removed when the store is full
  int64_t last_asked_unix_s = 0;  // 0: never
};

// How far long work on one context has come. `context`: its name; at an import, the name it gets. An archive's
// total_bytes is an estimate; 0: unknown.
using BytesProgressCallback = std::function<void(const std::string& context, int64_t done_bytes, int64_t total_bytes)>;

class REFORM_API Store {
 public:
  // "" is default_dir(). Creates the directory if it does not exist.
  static Result<std::unique_ptr<Store>> open(const std::string& dir, const StoreOptions& options = {});
  static std::string default_dir();  // $XDG_DATA_HOME/reform, else ~/.local/share/reform; "" if no home is known
  ~Store();

  const std::string& dir() const;
  Result<std::vector<ContextInfo>> list();
  Result<ContextInfo> find(const std::string& name);                                 // kNotFound names what there is
  Result<std::vector<ContextInfo>> find_all(const std::vector<std::string>& names);  // one for each, in this order
  Status remove(const std::string& name);  // its bytes are free on return; kBusy if it is in use
  Status set_pinned(const std::string& name, bool pinned);
  Result<StoreUse> use();
  Status set_limit(const StoreOptions& options);

  struct REFORM_HIDDEN Impl;  // private
  Impl& impl() { return *impl_; }

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
