// The C API of verify, export and import.
#include <reform/archive.h>
#include <reform/verify.h>

#include <string>

#include "base/try.h"
#include "runtime/c_api/calls.h"
#include "runtime/c_api/results.h"

namespace reform {
namespace {

reform_import_options import_defaults() {
  reform_import_options o = {};
  o.name = o.model_path = o.cache_dir = "";
  return o;
}

BytesProgressCallback bytes_callback(reform_bytes_fn progress, void* user) {
  if (progress == nullptr) return {};
  return [=](const std::string& context, int64_t done_bytes, int64_t total_bytes) {
    progress(user, context.c_str(), done_bytes, total_bytes);
  };
}

ArchiveSink sink_of(const reform_export_options& o) {
  if (o.write == nullptr) return {};
  return [write = o.write, user = o.write_user](const char* bytes, size_t n) {
    return write(user, bytes, n) == 0 ? Status{} : Status{Code::kIo, "the write callback failed"};
  };
}

ArchiveSource source_of(const reform_import_options& o) {
  if (o.read == nullptr) return {};
  return [read = o.read, user = o.read_user](char* buffer, size_t capacity) -> Result<size_t> {
    const ptrdiff_t n = read(user, buffer, capacity);
    if (n < 0 || size_t(n) > capacity) return Status{Code::kIo, "the read callback failed"};
    return size_t(n);
  };
}

}  // namespace
}  // namespace reform

using namespace reform;

extern "C" {

void reform_verify_options_init(reform_verify_options* options, size_t size) {
  init_options(options, size, reform_verify_options{});
}

reform_code reform_verify(reform_store* store, const char* const* names, size_t n_names,
                          const reform_verify_options* options, const reform_verified_list** list) {
  return guarded([&]() -> Status {
    TRY(need(list, "list"));
    *list = nullptr;
    TRY(need(store, "store"));
    if (n_names > 0) TRY(need(names, "names"));
    reform_verify_options c = {};
    TRY(read_options(options, &c));
    TRY_ASSIGN(auto contexts, verify(*store->store, texts_of(names, n_names),
                                     bytes_callback(c.progress, c.progress_user), token_of(c.cancel)));
    *list = CVerifiedList::make(std::move(contexts)).release();
    return {};
  });
}
void reform_verified_list_free(const reform_verified_list* list) { free_result<CVerifiedList>(list); }

void reform_export_options_init(reform_export_options* options, size_t size) {
  init_options(options, size, reform_export_options{});
}

reform_code reform_export(reform_store* store, const char* name, const char* path, const reform_export_options* options,
                          const reform_archive_result** result) {
  return guarded([&]() -> Status {
    TRY(need(result, "result"));
    *result = nullptr;
    TRY(need(store, "store"));
    TRY(need(name, "name"));
    reform_export_options c = {};
    TRY(read_options(options, &c));
    if (c.write == nullptr) TRY(need(path, "path"));
    TRY_ASSIGN(auto r, export_context(*store->store, name, {text_or_empty(path), c.overwrite != 0, sink_of(c)},
                                      bytes_callback(c.progress, c.progress_user), token_of(c.cancel)));
    *result = CArchiveResult::make(std::move(r)).release();
    return {};
  });
}

void reform_import_options_init(reform_import_options* options, size_t size) {
  init_options(options, size, import_defaults());
}

reform_code reform_import(reform_store* store, const char* path, const reform_import_options* options,
                          const reform_archive_result** result) {
  return guarded([&]() -> Status {
    TRY(need(result, "result"));
    *result = nullptr;
    TRY(need(store, "store"));
    TRY(need(path, "path"));
    reform_import_options c = import_defaults();
    TRY(read_options(options, &c));
    const ImportOptions o{text_or_empty(c.name), text_or_empty(c.model_path), text_or_empty(c.cache_dir)};
    TRY_ASSIGN(auto r, import_context(*store->store, {path, source_of(c)}, o,
                                      bytes_callback(c.progress, c.progress_user), token_of(c.cancel)));
    *result = CArchiveResult::make(std::move(r)).release();
    return {};
  });
}
void reform_archive_result_free(const reform_archive_result* result) { free_result<CArchiveResult>(result); }

}  // extern "C"
