#include <fmt/chrono.h>
#include <fmt/format.h>
#include <reform/store.h>
#include <reform/units.h>

#include "base/try.h"
#include "runtime/engine/directories.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/text/progress_state.h"
#include "storage/disk/disk.h"

namespace reform {
namespace {

// A process that has no more files or memory cannot tell what its contexts are.
Status want_of_resources(const ContextEntry& entry) {
  const Code code = entry.state.code;
  return code == Code::kUnavailable || code == Code::kMemoryCap ? entry.state : Status();
}

Result<std::vector<ContextInfo>> described(const std::vector<ContextEntry>& entries) {
  std::vector<ContextInfo> infos;
  infos.reserve(entries.size());
  for (const ContextEntry& entry : entries) {
    TRY(want_of_resources(entry));
    infos.push_back(describe(entry));
  }
  return infos;
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::string Store::default_dir() { return default_data_dir(); }

Result<std::unique_ptr<Store>> Store::open(const std::string& dir, const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->dir = dir.empty() ? default_dir() : dir;
  if (impl->dir.empty()) return no_data_dir();
  TRY_ASSIGN(impl->contexts, ContextStore::open(impl->dir, impl->account));
  std::unique_ptr<Store> store(new Store(std::move(impl)));
  TRY(store->set_limit(options));
  return store;
}

const std::string& Store::dir() const { return impl_->dir; }

Result<std::vector<ContextInfo>> Store::list() {
  TRY_ASSIGN(const std::vector<ContextEntry> entries, impl_->contexts->list());
  return described(entries);
}

Result<ContextInfo> Store::find(const std::string& name) {
  TRY_ASSIGN(const ContextEntry entry, impl_->contexts->find(name));
  TRY(want_of_resources(entry));
  return describe(entry);
}

Result<std::vector<ContextInfo>> Store::find_all(const std::vector<std::string>& names) {
  TRY_ASSIGN(const std::vector<ContextEntry> entries, impl_->contexts->find_all(names, Which::kCurrent));
  return described(entries);
}

Status Store::remove(const std::string& name) { return impl_->contexts->remove(name); }

void remark_disk(const Engine::Impl& engine, Store::Impl& store) {
  const std::string& remark = store.contexts->disk().remark();
  if (!remark.empty() && !store.disk_remarked.exchange(true)) engine.remark(LogLevel::kInfo, remark);
}

Status Store::set_pinned(const std::string& name, bool pinned) { return impl_->contexts->set_pinned(name, pinned); }

Status Store::set_limit(const StoreOptions& options) {
  TRY(options.validate());
  if (!options.max_bytes && !options.evict_when_full) return {};
  const auto before = impl_->contexts->limit();
  if (!before.ok() && !options.max_bytes) return before.status();  // a damaged limit can only be replaced as a whole
  StoreLimit limit = before.ok() ? before.value() : StoreLimit{};
  limit.max_bytes = options.max_bytes.value_or(limit.max_bytes);
  limit.evict = options.evict_when_full.value_or(limit.evict);
  return impl_->contexts->set_limit(limit);
}

Result<StoreUse> Store::use() {
  TRY_ASSIGN(const StoreLimit limit, impl_->contexts->limit());
  return StoreUse{impl_->contexts->used_bytes(), limit.max_bytes, limit.evict};
}

std::vector<Eviction> take_evictions(ContextStore& contexts, const LogCallback& log) {
  std::vector<Eviction> evictions;
  for (const EvictedContext& gone : contexts.take_evicted()) {
    if (log) {
      log(LogLevel::kWarning,
          fmt::format("the store is full: context '{}' has gone, {} on disk, last used {:%Y-%m-%d %H:%M}", gone.name,
                      format_bytes(gone.bytes), fmt::localtime(std::time_t(gone.last_used_unix_s))));
    }
    evictions.push_back({gone.name, gone.bytes, gone.last_used_unix_s});
  }
  return evictions;
}

ContextInfo describe(const ContextEntry& entry) {
  ContextInfo info;
  info.name = entry.meta.name;
  info.id = entry.meta.id;
  info.created_unix_s = entry.meta.created_unix_s;
  info.n_tokens = entry.saved_tokens;
  info.disk_bytes = entry.disk_bytes;
  info.checkpoint_bytes = entry.checkpoint_bytes;
  info.settings_json = entry.meta.settings;
  info.pinned = entry.pinned;
  info.last_asked_unix_s = entry.last_asked_unix_s;
  if (info.n_tokens > 0) info.bytes_per_token = double(info.disk_bytes) / double(info.n_tokens);
  const bool is_damaged = entry.state.code == Code::kCorrupt;
  info.state = entry.replacement     ? "replacement"
               : entry.busy          ? "busy"
               : is_damaged          ? "damaged"
               : !entry.state.ok()   ? "unreadable"
               : entry.meta.complete ? "complete"
                                     : "partial";
  info.problem = entry.state.message, info.problem_code = entry.state.code;
  if (info.settings_json.empty()) return info;  // busy or damaged: the manifest could not be read

  auto settings = parse_settings(entry.meta.settings, info.name);
  auto sources = parse_sources(entry.meta.sources, info.name);
  for (const Status& s : {settings.status(), sources.status()}) {
    if (!s.ok()) info.state = "damaged", info.problem = s.message, info.problem_code = s.code;
  }
  if (settings.ok()) {
    const ContextSettings& s = settings.value();
    info.model_name = s.model_name;
    info.model_path = s.model_path;
    info.model_fingerprint = s.model_fingerprint;
    info.policy = s.policy;
    info.heads = to_string(s.heads);
    info.depth = shipped_depth(s.model_fingerprint, s.heads);
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

ContextProgressFn watched(const BytesProgressCallback& progress, const CancelToken* cancel) {
  return [&progress, cancel](const std::string& context, int64_t done_bytes, int64_t total_bytes) -> Status {
    if (cancel != nullptr && cancel->cancelled()) return {Code::kCancelled, "stopped"};
    if (progress) progress(context, done_bytes, total_bytes);
    return {};
  };
}

}  // namespace reform
