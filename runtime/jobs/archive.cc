#include <fmt/format.h>
#include <reform/archive.h>

#include <optional>

#include "base/try.h"
#include "runtime/engine/directories.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/model/fingerprint.h"
#include "runtime/model/gguf.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/sources.h"
#include "storage/disk/new_file.h"
#include "storage/format/context_name.h"

namespace reform {
namespace {

// Leaves out what means something on this machine only.
Status make_portable(ContextMeta& meta) {
  TRY_ASSIGN(meta.settings, with_model_path(meta.settings, "", meta.name));
  TRY_ASSIGN(auto sources, parse_sources(meta.sources, meta.name));
  meta.sources = to_json(without_folders(std::move(sources)));
  return {};
}

// The model path to store, after a check that the model there is the context's.
Result<std::string> checked_model_path(const ContextSettings& settings, const std::string& context,
                                       const ImportOptions& options) {
  TRY_ASSIGN(const auto gguf, Gguf::open(options.model_path));
  const std::string cache_dir = options.cache_dir.empty() ? default_cache_dir() : options.cache_dir;
  TRY_ASSIGN(const std::string fingerprint, cached_fingerprint(*gguf, cache_dir));
  TRY(check_fingerprint(settings, context, fingerprint, options.model_path,
                        "give that one with --model, or leave --model out"));
  return gguf->absolute_path();
}

// Takes the name and the model's path from the options. Checks that this program can read the texts and that they fit
// the rows. check_model() checks the rest, once there is an engine.
Status admit(const ImportOptions& options, ContextMeta& meta) {
  if (!options.name.empty()) meta.name = options.name;
  TRY_ASSIGN(const ContextSettings settings, parse_settings(meta.settings, meta.name));
  TRY(parse_sources(meta.sources, meta.name));
  TRY(parse_progress(meta.progress, meta.name));
  TRY(check_rows(settings, meta));
  std::string path;
  if (!options.model_path.empty()) {
    TRY_ASSIGN(path, checked_model_path(settings, meta.name, options));
  }
  TRY_ASSIGN(meta.settings, with_model_path(meta.settings, path, meta.name));
  return {};
}

ByteSource bytes_from(const ArchiveSource& source) {
  return [&source](std::span<std::byte> buffer) -> Result<int64_t> {
    TRY_ASSIGN(const size_t n, source(reinterpret_cast<char*>(buffer.data()), buffer.size()));
    if (n > buffer.size()) return Status{Code::kUsage, "the source gives more than it was asked for"};
    return int64_t(n);
  };
}

}  // namespace

Result<ArchiveResult> export_context(Store& store, const std::string& name, const ExportTarget& to,
                                     const BytesProgressCallback& progress, const CancelToken* cancel) {
  ContextStore& contexts = *store.impl().contexts;
  ArchiveResult result;
  TRY_ASSIGN(result.context, store.find(name));
  ByteSink sink = [&](std::span<const std::byte> bytes) {
    return to.sink(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  std::optional<NewFile> file;
  if (!to.sink) {
    TRY_ASSIGN(auto created, NewFile::create(contexts.disk(), to.path, to.overwrite));
    file.emplace(std::move(created));
    sink = [&](std::span<const std::byte> bytes) { return file->append(bytes); };
  }
  TRY_ASSIGN(const ArchiveSummary summary,
             contexts.export_context(name, make_portable, sink, watched(progress, cancel)));
  if (file) TRY(file->commit());
  result.archive_bytes = summary.bytes;
  result.xxh3_128 = summary.digest;
  return result;
}

Result<ArchiveResult> import_context(Store& store, const ImportOrigin& from, const ImportOptions& options,
                                     const BytesProgressCallback& progress, const CancelToken* cancel) {
  ContextStore& contexts = *store.impl().contexts;
  ByteSource source;
  if (from.source) {
    source = bytes_from(from.source);
  } else {
    TRY_ASSIGN(source, open_byte_source(contexts.disk(), from.path));
  }
  std::string name;
  const auto admit_it = [&](ContextMeta& meta) -> Status {
    TRY(admit(options, meta));
    name = meta.name;
    return {};
  };
  const auto check = [](ContextData& data) -> Status {
    TRY_ASSIGN(const auto files, parse_sources(data.meta().sources, data.meta().name));
    return check_coverage(data, files);
  };
  const auto summary = contexts.import_context(source, admit_it, watched(progress, cancel), make_portable, check);
  auto evicted = take_evictions(contexts, options.log);
  if (summary.status().code == Code::kCorrupt)
    return Status{Code::kCorrupt, fmt::format("{}: {}", from.path, summary.status().message)};
  if (summary.status().code == Code::kExists)
    return Status{Code::kExists, summary.status().message +
                                     ", with other contents; import it --as another name, or remove that one first"};
  if (summary.status().code == Code::kUsage && !check_context_name(name).ok())
    return Status{Code::kUsage, fmt::format("{}: {}; --as gives it another", from.path, summary.status().message)};
  TRY(summary);
  ArchiveResult result;
  TRY_ASSIGN(result.context, store.find(name));
  result.archive_bytes = summary.value().bytes;
  result.xxh3_128 = summary.value().digest;
  result.evicted = std::move(evicted);
  result.unchanged = summary.value().unchanged;
  return result;
}

}  // namespace reform
