#include <reform/store.h>

#include "base/try.h"
#include "runtime/files.h"
#include "runtime/progress_state.h"
#include "runtime/settings.h"
#include "runtime/store_impl.h"
#include "storage/disk.h"

namespace reform {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::string Store::default_dir() { return default_data_dir(); }

Result<std::unique_ptr<Store>> Store::open(const std::string& dir) {
  auto impl = std::make_unique<Impl>();
  impl->dir = dir.empty() ? default_dir() : dir;
  TRY_ASSIGN(impl->contexts, ContextStore::open(impl->dir, impl->account));
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

const std::string& Store::dir() const { return impl_->dir; }
const std::string& Store::disk_access() const { return impl_->contexts->disk().description(); }

Result<std::vector<ContextInfo>> Store::list() {
  TRY_ASSIGN(const std::vector<ContextEntry> entries, impl_->contexts->list());
  std::vector<ContextInfo> infos;
  infos.reserve(entries.size());
  for (const ContextEntry& entry : entries) infos.push_back(describe(entry));
  return infos;
}

Result<ContextInfo> Store::find(const std::string& name) {
  TRY_ASSIGN(const ContextEntry entry, impl_->contexts->find(name));
  return describe(entry);
}

Status Store::remove(const std::string& name) { return impl_->contexts->remove(name); }

void remark_disk(const Engine::Impl& engine, Store::Impl& store) {
  const std::string& remark = store.contexts->disk().remark();
  if (!remark.empty() && !store.disk_remarked.exchange(true)) engine.remark(LogLevel::kInfo, remark);
}

ContextInfo describe(const ContextEntry& entry) {
  ContextInfo info;
  info.name = entry.meta.name;
  info.id = entry.meta.id;
  info.created_unix_s = entry.meta.created_unix_s;
  info.n_tokens = entry.meta.n_tokens;
  info.disk_bytes = entry.disk_bytes;
  info.checkpoint_bytes = entry.checkpoint_bytes;
  info.settings_json = entry.meta.settings;
  if (info.n_tokens > 0) info.bytes_per_token = double(info.disk_bytes - info.checkpoint_bytes) / double(info.n_tokens);
  info.state = entry.replacement     ? "replacement"
               : entry.busy          ? "busy"
               : !entry.state.ok()   ? "damaged"
               : entry.meta.complete ? "complete"
                                     : "partial";
  info.problem = entry.state.message;
  if (info.settings_json.empty()) return info;  // busy or damaged: the manifest could not be read

  auto settings = parse_settings(entry.meta.settings, info.name);
  auto sources = parse_sources(entry.meta.sources, info.name);
  for (const Status& s : {settings.status(), sources.status()}) {
    if (!s.ok()) info.state = "damaged", info.problem = s.message;
  }
  if (settings.ok()) {
    const ContextSettings& s = settings.value();
    info.model_name = s.model_name;
    info.model_path = s.model_path;
    info.model_fingerprint = s.model_fingerprint;
    info.policy = s.policy;
    info.chunk_tokens = s.chunk_tokens;
    info.cache_tokens = s.cache_tokens;
  }
  if (sources.ok()) {
    for (const SourceFile& f : sources.value()) {
      info.files.push_back(f.name);
      info.source_bytes += f.size_bytes;
    }
  }
  return info;
}

}  // namespace reform
