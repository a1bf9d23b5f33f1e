// The C API of verify, export and import, from files and through callbacks.
#include <reform/reform.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/runtime/support/ingest_support.h"

using namespace reform::test;

namespace {

int append(void* user, const char* bytes, size_t n) {
  static_cast<std::string*>(user)->append(bytes, n);
  return 0;
}
int refuse(void*, const char*, size_t) { return 1; }

struct Input {
  std::string bytes;
  size_t at = 0;
  static ptrdiff_t read(void* user, char* buffer, size_t capacity) {
    auto& self = *static_cast<Input*>(user);
    const size_t n = std::min(capacity, self.bytes.size() - self.at);
    std::memcpy(buffer, self.bytes.data() + self.at, n);
    self.at += n;
    return ptrdiff_t(n);
  }
};

void count_calls(void* user, const char*, int64_t done_bytes, int64_t total_bytes) {
  if (done_bytes <= total_bytes) ++*static_cast<int*>(user);
}

void note_name(void* user, const char* context, int64_t, int64_t) { *static_cast<std::string*>(user) = context; }

}  // namespace

TEST_CASE("C API: a context is exported, imported and verified", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("c", {made_text(5, 400)}, IngestBench::options("h2o")).ok());
  reform_store* store = nullptr;
  REQUIRE(reform_store_open(bench.store().dir().c_str(), &store) == REFORM_OK);

  std::string bytes;
  int n_calls = 0;
  reform_export_options to;
  reform_export_options_init(&to, sizeof to);
  to.write = append, to.write_user = &bytes;
  to.progress = count_calls, to.progress_user = &n_calls;
  const reform_archive_result* done = nullptr;
  REQUIRE(reform_export(store, "c", nullptr, &to, &done) == REFORM_OK);
  CHECK(done->archive_bytes == int64_t(bytes.size()));
  CHECK(std::strlen(done->xxh3_128) == 32);
  CHECK(std::string(done->context->name) == "c");
  CHECK(n_calls > 0);
  reform_archive_result_free(done);

  const std::string file = bench.store().dir() + "/../c.reform";
  REQUIRE(reform_export(store, "c", file.c_str(), nullptr, &done) == REFORM_OK);
  CHECK(std::filesystem::file_size(file) == bytes.size());
  reform_archive_result_free(done);
  CHECK(reform_export(store, "c", file.c_str(), nullptr, &done) == REFORM_EXISTS);
  CHECK(done == nullptr);
  CHECK(reform_export(store, "c", nullptr, nullptr, &done) == REFORM_USAGE);
  to.write = refuse;
  CHECK(reform_export(store, "c", nullptr, &to, &done) == REFORM_IO);

  Input input{bytes};
  reform_import_options from;
  reform_import_options_init(&from, sizeof from);
  std::string shown;
  from.name = "copy", from.read = Input::read, from.read_user = &input;
  from.progress = note_name, from.progress_user = &shown;
  REQUIRE(reform_import(store, "callback", &from, &done) == REFORM_OK);
  CHECK(shown == "copy");
  CHECK(std::string(done->context->name) == "copy");
  CHECK(std::string(done->context->state) == "complete");
  reform_archive_result_free(done);
  REQUIRE(reform_import(store, file.c_str(), nullptr, &done) == REFORM_OK);  // the same is there
  reform_archive_result_free(done);
  input = {bytes.substr(0, bytes.size() / 2)};
  from.name = "half";
  CHECK(reform_import(store, "callback", &from, &done) == REFORM_CORRUPT);
  CHECK(std::string(reform_last_error()).starts_with("callback: "));

  const reform_verified_list* list = nullptr;
  REQUIRE(reform_verify(store, nullptr, 0, nullptr, &list) == REFORM_OK);
  REQUIRE(list->n == 2);
  CHECK((std::string(list->contexts[0]->state) == "ok" && list->contexts[0]->n_problems == 0));
  CHECK(std::string(list->contexts[1]->name) == "copy");
  reform_verified_list_free(list);
  const char* names[] = {"nobody"};
  CHECK(reform_verify(store, names, 1, nullptr, &list) == REFORM_NOT_FOUND);
  reform_store_close(store);
}
