// Store: a directory of ingested contexts, kept on disk between runs. Several processes may use one directory.
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace reform {

struct ContextInfo {
  std::string name, id;
  std::string model_name, model_path, model_fingerprint;
  std::string policy;  // h2o, recent, none
  // "complete", "partial", "busy", "damaged"; "replacement": not finished, and to take the place of the one that has
  // its name now. find() gives the latter.
  std::string state;
  std::string problem;             // why it is damaged
  std::vector<std::string> files;  // the sources' names, in order
  int64_t n_tokens = 0, source_bytes = 0, created_unix_s = 0;
  int64_t chunk_tokens = 0, cache_tokens = 0;
  int64_t disk_bytes = 0, checkpoint_bytes = 0;
  double bytes_per_token = 0;  // checkpoints apart
  std::string settings_json;   // everything the context was begun with
};

class REFORM_API Store {
 public:
  // "" is default_dir(). The directory is made if there is none.
  static Result<std::unique_ptr<Store>> open(const std::string& dir);
  static std::string default_dir();  // $XDG_DATA_HOME/reform, else ~/.local/share/reform
  ~Store();

  const std::string& dir() const;
  // How the disk is reached, and why not faster: "io_uring, O_DIRECT".
  const std::string& disk_access() const;
  Result<std::vector<ContextInfo>> list();
  Result<ContextInfo> find(const std::string& name);
  Status remove(const std::string& name);

  struct REFORM_HIDDEN Impl;  // private
  Impl& impl() { return *impl_; }

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
