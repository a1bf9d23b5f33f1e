// Store: a directory of ingested contexts, kept on disk between runs. Several processes may use one directory.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reform {

// The cap on what the store takes on the disk. It is kept in the directory and holds for every process that writes
// there; unset leaves it as it is.
struct StoreOptions {
  std::optional<int64_t> max_bytes;  // 0: none
  // When it is reached: true lets contexts go, the least recently asked first, but none that is pinned, unfinished or
  // in use; false stops what is being written, which can go on when there is room.
  std::optional<bool> evict_when_full;

  REFORM_API Status validate() const;
};

struct StoreUse {
  int64_t used_bytes = 0;  // of all files and directories: size or allocated blocks, whichever is more
  int64_t max_bytes = 0;   // 0: no cap
  bool evict_when_full = false;
};

// A context that has gone because the store was full.
struct Eviction {
  std::string context;
  int64_t bytes = 0;
  int64_t last_used_unix_s = 0;  // asked, or if never, finished
};

struct ContextInfo {
  std::string name, id;
  std::string model_name, model_path, model_fingerprint;
  std::string policy;  // a name of list_policies()
  // "complete", "partial", "busy", "damaged"; "replacement": not finished, and to take the place of the one that has
  // its name now. find() gives the latter.
  std::string state;
  std::string problem;             // why it is damaged
  std::vector<std::string> files;  // the sources' names, in order
  int64_t n_tokens = 0, source_bytes = 0, created_unix_s = 0;
  int64_t chunk_tokens = 0, cache_tokens = 0;
  int64_t disk_bytes = 0, checkpoint_bytes = 0;
  double bytes_per_token = 0;     // checkpoints apart
  std::string settings_json;      // everything the context was begun with
  bool pinned = false;            // it stays when the store is full
  int64_t last_asked_unix_s = 0;  // 0: never
};

class REFORM_API Store {
 public:
  // "" is default_dir(). The directory is made if there is none.
  static Result<std::unique_ptr<Store>> open(const std::string& dir, const StoreOptions& options = {});
  static std::string default_dir();  // $XDG_DATA_HOME/reform, else ~/.local/share/reform
  ~Store();

  const std::string& dir() const;
  // How the disk is reached, and why not faster: "io_uring, O_DIRECT".
  const std::string& disk_access() const;
  Result<std::vector<ContextInfo>> list();
  Result<ContextInfo> find(const std::string& name);
  Status remove(const std::string& name);
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
