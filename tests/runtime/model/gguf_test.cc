#include "runtime/model/gguf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"
#include "tests/support/temp_dir.h"

using namespace reform;

namespace {

std::vector<std::byte> block_bytes(QuantType type, int64_t n_elems) {
  std::vector<std::byte> out(size_t(row_bytes(type, n_elems)));
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::byte(i * 37 + 11);
  return out;
}

// Every kind of metadata, and a tensor of every type. All shapes differ.
GgufWriter full_file(uint32_t version) {
  GgufWriter w(version);
  w.add("general.architecture", "llama");
  w.add("u8", uint8_t{250}), w.add("i8", int8_t{-3}), w.add("u16", uint16_t{65000}), w.add("i16", int16_t{-30000});
  w.add("u32", uint32_t{4000000000u}), w.add("i32", int32_t{-7}), w.add("u64", uint64_t{1} << 62);
  w.add("i64", std::numeric_limits<int64_t>::min());
  w.add("u64_huge", std::numeric_limits<uint64_t>::max());
  w.add("f32", 1.5f), w.add("f64", -2.25);
  w.add("yes", true), w.add("no", false);
  w.add("text", std::string("h\0i", 3)), w.add("empty", "");
  w.add("strings", std::vector<std::string>{"a", "", "ccc"});
  w.add("ints", std::vector<int32_t>{3, -1, 4}), w.add("counts", std::vector<uint32_t>{7});
  w.add("floats", std::vector<float>{0.5f, -0.25f}), w.add("flags", std::vector<bool>{true, false, true});
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    const int64_t cols = geometry(type).block_elems * int64_t(1 + i % 3), rows = int64_t(2 + i);
    w.add_tensor(std::string("t.") + geometry(type).name, type, {cols, rows}, block_bytes(type, cols * rows));
  }
  return w;
}

// A small file with a bit of everything, to be cut at every byte.
GgufWriter small_file() {
  GgufWriter w;
  w.add("general.alignment", uint32_t{8});
  w.set_alignment(8);
  w.add("a", uint16_t{1}), w.add("t", "xyz"), w.add("f", true);
  w.add("s", std::vector<std::string>{"q", "rs"}), w.add("n", std::vector<int32_t>{5, 6});
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  w.add_tensor_f32("w", {3, 2}, values);
  w.add_tensor("q", QuantType::kQ8_0, {32}, block_bytes(QuantType::kQ8_0, 32));
  return w;
}

Status parse_status(const std::string& bytes) {
  const GgufWriter::Image image(bytes);
  return Gguf::parse(image, "test.gguf").status();
}

// Reads everything in every way, so that a sanitizer sees what the accessors touch.
size_t read_everything(const Gguf& g) {
  size_t sum = 0;
  for (const auto& [key, raw] : g.raw_entries()) {
    sum += raw.size() + g.has(key);
    sum += g.get_int(key).ok() + g.get_float(key).ok() + g.get_bool(key).ok();
    if (const auto r = g.get_string(key); r.ok()) sum += std::string(*r.value()).size();
    if (const auto r = g.get_strings(key); r.ok()) {
      for (const auto text : *r.value()) sum += std::string(text).size();
    }
    if (const auto r = g.get_ints(key); r.ok()) sum += r.value()->size();
    if (const auto r = g.get_floats(key); r.ok()) sum += r.value()->size();
  }
  for (const GgufTensor& t : g.tensors()) {
    for (const std::byte b : t.data) sum += size_t(b);
  }
  return sum;
}

}  // namespace

TEST_CASE("gguf: every kind of metadata reads back, in v2 and v3", "[runtime][gguf]") {
  const uint32_t version = GENERATE(2u, 3u);
  const auto image = full_file(version).image();
  const auto opened = Gguf::parse(image, "test");
  REQUIRE(opened.status().message == "");
  const Gguf& g = *opened.value();
  const std::vector<std::pair<const char*, int64_t>> ints = {{"u8", 250},
                                                             {"i8", -3},
                                                             {"u16", 65000},
                                                             {"i16", -30000},
                                                             {"u32", 4000000000},
                                                             {"i32", -7},
                                                             {"u64", int64_t(1) << 62},
                                                             {"i64", std::numeric_limits<int64_t>::min()}};
  for (const auto& [key, want] : ints) {
    INFO(key);
    CHECK(g.get_int(key).value() == want);
    CHECK(g.get_ints(key).value() == std::vector<int64_t>{want});
  }
  CHECK(g.get_float("f32").value() == 1.5);
  CHECK(g.get_float("f64").value() == -2.25);
  CHECK(g.get_bool("yes").value() == true);
  CHECK(g.get_bool("no").value() == false);
  CHECK(g.get_string("text").value() == std::string_view("h\0i", 3));
  CHECK(g.get_string("empty").value() == "");
  CHECK(g.get_strings("strings").value() == std::vector<std::string_view>{"a", "", "ccc"});
  CHECK(g.get_ints("ints").value() == std::vector<int64_t>{3, -1, 4});
  CHECK(g.get_ints("counts").value() == std::vector<int64_t>{7});
  CHECK(g.get_ints("flags").value() == std::vector<int64_t>{1, 0, 1});
  CHECK(g.get_floats("floats").value() == std::vector<double>{0.5, -0.25});
  CHECK(g.get_floats("f64").value() == std::vector<double>{-2.25});
}

TEST_CASE("gguf: an absent key is nullopt, one of another kind an error naming both", "[runtime][gguf]") {
  const auto image = full_file(3).image();
  const auto opened = Gguf::parse(image, "m.gguf");
  REQUIRE(opened.ok());
  const Gguf& g = *opened.value();
  CHECK(!g.has("nothing"));
  CHECK(!g.get_int("nothing").value().has_value());
  CHECK(!g.get_float("nothing").value().has_value());
  CHECK(!g.get_bool("nothing").value().has_value());
  CHECK(!g.get_string("nothing").value().has_value());
  CHECK(!g.get_strings("nothing").value().has_value());
  CHECK(!g.get_ints("nothing").value().has_value());
  CHECK(!g.get_floats("nothing").value().has_value());
  const std::vector<std::pair<Status, std::string>> cases = {
      {g.get_int("text").status(), "m.gguf: metadata key 'text' is of kind text, expected an integer"},
      {g.get_int("yes").status(), "m.gguf: metadata key 'yes' is of kind boolean, expected an integer"},
      {g.get_int("f32").status(), "m.gguf: metadata key 'f32' is of kind float32, expected an integer"},
      {g.get_float("u8").status(), "m.gguf: metadata key 'u8' is of kind uint8, expected a float"},
      {g.get_bool("u8").status(), "m.gguf: metadata key 'u8' is of kind uint8, expected a boolean"},
      {g.get_string("strings").status(), "m.gguf: metadata key 'strings' is of kind array of text, expected text"},
      {g.get_strings("text").status(), "m.gguf: metadata key 'text' is of kind text, expected array of text"},
      {g.get_strings("ints").status(), "m.gguf: metadata key 'ints' is of kind array of int32, expected array of text"},
      {g.get_ints("floats").status(), "m.gguf: metadata key 'floats' is of kind array of float32, expected integers"},
      {g.get_ints("strings").status(), "m.gguf: metadata key 'strings' is of kind array of text, expected integers"},
      {g.get_floats("ints").status(), "m.gguf: metadata key 'ints' is of kind array of int32, expected floats"},
      {g.get_int("u64_huge").status(),
       "m.gguf: metadata key 'u64_huge': value 0 is 18446744073709551615, past the largest int64"},
  };
  for (const auto& [status, want] : cases) {
    CHECK(status.message == want);
    CHECK(status.code == Code::kBadModel);
  }
}

TEST_CASE("gguf: tensors have their types, shapes and bytes", "[runtime][gguf]") {
  const auto image = full_file(3).image();
  const auto opened = Gguf::parse(image, "test");
  REQUIRE(opened.ok());
  const Gguf& g = *opened.value();
  CHECK(g.tensors().size() == size_t(QuantType::kCount));
  CHECK(g.find_tensor("t") == nullptr);
  CHECK(g.find_tensor("t.F32 ") == nullptr);
  for (size_t i = 0; i < size_t(QuantType::kCount); ++i) {
    const QuantType type = QuantType(i);
    const GgufTensor* t = g.find_tensor(std::string("t.") + geometry(type).name);
    REQUIRE(t != nullptr);
    CHECK(t->type == type);
    REQUIRE(t->shape.size() == 2);
    const auto want = block_bytes(type, t->shape[0] * t->shape[1]);
    CHECK(std::vector<std::byte>(t->data.begin(), t->data.end()) == want);
    CHECK(reinterpret_cast<uintptr_t>(t->data.data()) % 8 == 0);
  }
}

TEST_CASE("gguf: raw entries hold kind and value of every key in file order", "[runtime][gguf]") {
  GgufWriter w;
  w.add("b", uint16_t{0x0201}), w.add("a", "hi");
  const auto image = w.image();
  const auto opened = Gguf::parse(image, "test");
  REQUIRE(opened.ok());
  const auto& entries = opened.value()->raw_entries();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].key == "b");
  CHECK(entries[1].key == "a");
  const auto text = [](std::span<const std::byte> raw) {
    return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
  };
  CHECK(text(entries[0].raw) == std::string("\x02\0\0\0\x01\x02", 6));
  CHECK(text(entries[1].raw) == std::string("\x08\0\0\0\x02\0\0\0\0\0\0\0hi", 14));
}

TEST_CASE("gguf: a file cut at any byte is refused, and named truncated", "[runtime][gguf]") {
  const std::string whole = small_file().bytes();
  REQUIRE(parse_status(whole).message == "");
  for (size_t n = 0; n < whole.size(); ++n) {
    // An allocation of exactly this size, so that a sanitizer notices one byte too many.
    const std::vector<std::byte> cut(reinterpret_cast<const std::byte*>(whole.data()),
                                     reinterpret_cast<const std::byte*>(whole.data()) + n);
    const Status status = Gguf::parse(cut, "cut.gguf").status();
    INFO("cut to " << n << " of " << whole.size() << " bytes: " << status.message);
    REQUIRE(status.code == Code::kBadModel);
    const char* want = n == 0 ? "cut.gguf: not a GGUF file: it is empty" : "cut.gguf: truncated";
    REQUIRE(status.message.starts_with(want));
  }
}

TEST_CASE("gguf: any byte changed gives a refusal or a file that can be read", "[runtime][gguf]") {
  const std::string whole = small_file().bytes();
  size_t n_refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = char(changed[at] ^ flip);
      const GgufWriter::Image image(changed);
      const auto opened = Gguf::parse(image, "flip.gguf");
      if (opened.ok()) {
        read_everything(*opened.value());
      } else {
        ++n_refused;
        REQUIRE(opened.status().code == Code::kBadModel);
        REQUIRE(opened.status().message.find('\n') == std::string::npos);
      }
    }
  }
  CHECK(n_refused > whole.size());  // lengths, kinds, counts, offsets: most of the header
}

TEST_CASE("gguf: open maps a file, and says what is wrong with a path", "[runtime][gguf]") {
  const auto dir = std::filesystem::temp_directory_path() / ("reform_gguf_test_" + std::to_string(::getpid()));
  std::filesystem::create_directories(dir);
  const std::string path = dir / "full.gguf";
  full_file(3).write_file(path);
  {
    const auto opened = Gguf::open(path);
    REQUIRE(opened.status().message == "");
    CHECK(opened.value()->path() == path);
    CHECK(opened.value()->file_bytes() == int64_t(std::filesystem::file_size(path)));
    CHECK(read_everything(*opened.value()) > 0);
  }
  const std::string empty = dir / "empty", fifo = dir / "fifo", loop = dir / "loop";
  std::filesystem::create_symlink(loop, loop);
  std::fclose(std::fopen(empty.c_str(), "w"));
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const struct {
    std::string path;
    Code code;
    const char* message;
  } cases[] = {
      {dir / "none.gguf", Code::kNotFound, ": no such file or directory"},
      {path + "/below", Code::kNotFound, ": not a directory: a part of the path is a file"},
      {dir, Code::kUsage, ": is a directory"},
      {loop, Code::kIo, ": its symbolic links lead in a circle"},
      {dir / std::string(300, 'n'), Code::kIo, ": the name is too long for the file system"},
      {fifo, Code::kBadModel, ": is not a regular file, expected a GGUF file"},
      {empty, Code::kBadModel, ": not a GGUF file: it is empty"},
  };
  for (const auto& c : cases) {
    const Status status = Gguf::open(c.path).status();
    CHECK(status.code == c.code);
    CHECK(status.message == c.path + c.message);
  }
  std::filesystem::remove_all(dir);
}

TEST_CASE("gguf: a file that was written to, cut, replaced or removed is noticed, whatever its times say",
          "[runtime][gguf]") {
  const test::TempDir dir;
  const std::string path = dir.path() + "/model.gguf", other = dir.path() + "/other.gguf";
  const auto keep_times = [&](const std::function<void()>& change) {
    struct stat info;
    REQUIRE(::stat(path.c_str(), &info) == 0);
    change();
    const timespec times[] = {info.st_atim, info.st_mtim};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  };
  const auto write_byte = [&] {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200).put('x');
  };
  const struct {
    const char* says;
    std::function<void()> change;
  } cases[] = {{"was changed", [&] { keep_times(write_byte); }},
               {"was cut from", [&] { std::filesystem::resize_file(path, 100); }},
               {"was replaced by another file", [&] { std::filesystem::rename(other, path); }},
               {"was removed or renamed", [&] { std::filesystem::remove(path); }}};
  for (const auto& c : cases) {
    full_file(3).write_file(path);
    full_file(3).write_file(other);
    const auto opened = Gguf::open(path);
    REQUIRE(opened.ok());
    CHECK(opened.value()->check_unchanged().ok());
    c.change();
    const Status changed = opened.value()->check_unchanged();
    CHECK(changed.code == Code::kBadModel);
    INFO(changed.message);
    CHECK(changed.message.find(path + ": " + c.says) == 0);
  }
}
