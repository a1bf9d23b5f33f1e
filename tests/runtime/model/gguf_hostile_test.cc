// Files made to break a reader. Each must be refused with a message that names the place, what was found and what was
// expected.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "runtime/model/gguf.h"
#include "tests/support/gguf_writer.h"

using namespace reform;

namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

std::string array_header(uint32_t kind, uint64_t n) { return raw(kind) + raw(n); }

// Each case changes this good file, which has 16 bytes of tensor data.
GgufWriter good_file() {
  GgufWriter w;
  w.add("a", uint32_t{1});
  const std::vector<float> values = {1, 2, 3, 4};
  w.add_tensor_f32("w", {4}, values);
  return w;
}

std::string with(const std::function<void(GgufWriter&)>& change) {
  GgufWriter w = good_file();
  change(w);
  return w.bytes();
}

std::string with_raw(uint32_t kind, const std::string& value) {
  return with([&](GgufWriter& w) { w.add_raw("k", kind, value); });
}

std::string with_info(uint32_t type, const std::vector<uint64_t>& shape, uint64_t offset) {
  return with([&](GgufWriter& w) { w.add_tensor_info("t", type, shape, offset); });
}

std::string with_alignment(uint32_t alignment) {
  return with([&](GgufWriter& w) { w.add("general.alignment", alignment); });
}

std::string with_version(uint32_t version) { return GgufWriter(version).bytes(); }

struct Case {
  std::string bytes;
  std::string message;  // what follows "x.gguf: "; its end may be left out
};

void check_refused(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const GgufWriter::Image image(c.bytes);
    const Status status = Gguf::parse(image, "x.gguf").status();
    INFO("got:  " << status.message << "\nwant: " << c.message);
    CHECK(status.code == Code::kBadModel);
    CHECK(status.message.starts_with("x.gguf: " + c.message));
    CHECK(status.message.find('\n') == std::string::npos);
  }
}

}  // namespace

TEST_CASE("gguf: the file that the hostile cases change is good", "[runtime][gguf]") {
  const auto image = good_file().image();
  CHECK(Gguf::parse(image, "x.gguf").status().message == "");
}

TEST_CASE("gguf: what is not a GGUF of ours is told apart", "[runtime][gguf]") {
  check_refused({
      {"", "not a GGUF file: it is empty"},
      {"PK\x03\x04zip", "not a GGUF file: it begins with 'PK\\x03\\x04', expected 'GGUF'"},
      {"\n", "not a GGUF file: it begins with '\\x0a', expected 'GGUF'"},
      {"GG", "truncated or damaged: the header at byte 0 needs 4 bytes, but only 2 of the file's 2 are left"},
      {std::string("GGUF\x03\0\0\0\x01", 9),
       "truncated or damaged: the header at byte 8 needs 8 bytes, but only 1 of the file's 9 are left"},
      {with_version(0x03000000), "a big-endian GGUF"},
      {with_version(0x02000000), "a big-endian GGUF"},
      {with_version(0), "GGUF version 0, expected 2 or 3"},
      {with_version(1), "GGUF version 1, expected 2 or 3"},
      {with_version(4), "GGUF version 4, expected 2 or 3"},
      {with([](GgufWriter& w) { w.add("split.no", uint16_t{1}), w.add("split.count", uint16_t{5}); }),
       "part 2 of a GGUF split into 5 files; join them first"},
      {with([](GgufWriter& w) { w.add("split.count", "five"); }),
       "metadata key 'split.count' has kind text or is out of range, expected a small integer"},
  });
}

TEST_CASE("gguf: counts and lengths that the file cannot hold are refused before anything is sized by them",
          "[runtime][gguf]") {
  check_refused({
      {with([](GgufWriter& w) { w.claim_entries(kHuge); }),
       "truncated or damaged: a table of 18446744073709551615 metadata entries at byte 24 needs"},
      {with([](GgufWriter& w) { w.claim_entries(uint64_t{1} << 40); }),
       "truncated or damaged: a table of 1099511627776 metadata entries at byte 24 needs 14293651161088 bytes, but "
       "only"},
      {with([](GgufWriter& w) { w.claim_tensors(kHuge); }),
       "truncated or damaged: a table of 18446744073709551615 tensors at byte 41 needs"},
      {with_raw(8, raw(kHuge) + "x"), "truncated or damaged: the value of metadata key 'k' at byte"},
      {with_raw(9, array_header(4, kHuge / 4 + 1)),  // 4 * n overflows to 0
       "truncated or damaged: the array of 4611686018427387904 values of metadata key 'k' at byte"},
      {with_raw(9, array_header(10, uint64_t{1} << 61)),  // 8 * n likewise
       "truncated or damaged: the array of 2305843009213693952 values of metadata key 'k' at byte"},
      {with_raw(9, array_header(8, uint64_t{1} << 50)),
       "truncated or damaged: the array of 1125899906842624 values of metadata key 'k' at byte"},
      {with_raw(9, array_header(9, 1000)),
       "truncated or damaged: the array of 1000 values of metadata key 'k' at byte"},
      {with_raw(9, array_header(7, kHuge)), "truncated or damaged: the value of metadata key 'k' at byte"},
      {"GGUF" + raw(uint32_t{3}) + raw(uint64_t{0}) + raw(uint64_t{1}) + raw(kHuge) + "12345",
       "truncated or damaged: the key of metadata entry 0 of 1 at byte 24 needs 18446744073709551615 bytes, but only "
       "13 "
       "of the file's 37 are left"},
  });
}

TEST_CASE("gguf: metadata of unknown kinds, bad booleans and doubled keys are refused", "[runtime][gguf]") {
  std::string nested;
  for (int i = 0; i < 6; ++i) nested += array_header(9, 1);
  check_refused({
      {with_raw(13, "x"), "metadata key 'k' has values of the unknown kind 13 (at byte 50), expected 0 to 12"},
      {with_raw(9, array_header(0xffffffff, 0)),
       "metadata key 'k' has values of the unknown kind 4294967295 (at byte 54)"},
      {with_raw(7, "\x02"), "metadata key 'k' has the boolean value 2 (at byte 54), expected 0 or 1"},
      {with_raw(9, array_header(7, 3) + std::string("\x01\0\xff", 3)),
       "metadata key 'k' has the boolean value 255 (at byte 68), expected 0 or 1"},
      {with_raw(9, nested + array_header(0, 50)), "metadata key 'k' nests arrays more than 4 deep (at byte 102)"},
      {with([](GgufWriter& w) { w.add("b", true), w.add("a", 2.0f); }),
       "metadata key 'a' is there twice (entries 0 and 2)"},
  });
}

TEST_CASE("gguf: alignment must be a power of two and sane", "[runtime][gguf]") {
  for (const uint32_t bad : {0u, 1u, 4u, 12u, 33u, 48u, 0x80000000u}) {
    check_refused({{with_alignment(bad),
                    "general.alignment is " + std::to_string(bad) + ", expected a power of two from 8 to 1073741824"}});
  }
  check_refused({{with([](GgufWriter& w) { w.add("general.alignment", "32"); }),
                  "metadata key 'general.alignment' has kind text or is out of range"}});
  for (const uint32_t good : {8u, 64u, 4096u}) {
    GgufWriter w;
    w.add("general.alignment", good);
    w.set_alignment(good);
    const std::vector<float> values = {1, 2, 3};
    w.add_tensor_f32("a", {3}, values), w.add_tensor_f32("b", {3}, values);
    const auto image = w.image();
    CHECK(Gguf::parse(image, "x.gguf").status().message == "");
  }
}

TEST_CASE("gguf: tensor descriptions that cannot be are refused, and say which tensor", "[runtime][gguf]") {
  const uint64_t big = uint64_t{1} << 62;
  check_refused({
      {with_info(0, {}, 32), "tensor 't' has 0 dimensions (at byte 83), expected 1 to 4"},
      {with_info(0, {1, 1, 1, 1, 1}, 32), "tensor 't' has 5 dimensions"},
      {with_info(0, {4, 0}, 32), "tensor 't': dimension 1 is 0"},
      {with_info(0, {uint64_t{1} << 63}, 32), "tensor 't': dimension 0 is 9223372036854775808"},
      {with_info(0, {big, 2}, 32), "tensor 't': shape 4611686018427387904 x 2 has more elements than can be counted"},
      {with_info(0, {1u << 31, 1u << 31, 4}, 32), "tensor 't': shape"},
      {with_info(0, {big}, 0), "tensor 't' has 4611686018427387904 elements, more than can be addressed"},
      {with_info(4, {32}, 0), "tensor 't' has the unknown quantisation 4 (Q4_2); known are F32"},
      {with_info(23, {256}, 0), "tensor 't' has the unknown quantisation 23 (IQ4_XS); known are F32"},
      {with_info(999, {32}, 0), "tensor 't' has the unknown quantisation 999; known are F32"},
      {with_info(8, {33}, 0), "tensor 't' has rows of 33 elements, expected a multiple of Q8_0's block of 32"},
      {with_info(12, {128, 2}, 0), "tensor 't' has rows of 128 elements, expected a multiple of Q4_K's block of 256"},
      {with_info(0, {4}, 16), "tensor 't' begins at offset 16, expected a multiple of the alignment 32"},
      {with_info(0, {4}, kHuge - 31), "tensor 't' has offset 18446744073709551584 and 16 bytes, past any file's end"},
      {with_info(0, {4}, 64),
       "truncated: tensor 't' (16 bytes) ends at byte 208, but the file has 144 bytes (64 missing)"},
      {with_info(0, {5}, 0),
       "truncated: tensor 't' (20 bytes) ends at byte 148, but the file has 144 bytes (4 missing)"},
      {with([](GgufWriter& w) { w.add_tensor_info("w", 0, {2}, 0); }), "tensor 'w' is there twice (entries 0 and 1)"},
  });
}

TEST_CASE("gguf: names from the file are shown cut and without control characters", "[runtime][gguf]") {
  const std::string evil = "\x1b[2J\n" + std::string(5000, 'n');
  GgufWriter w;
  w.add_raw(evil, 99, "");
  const auto image = w.image();
  const std::string message = Gguf::parse(image, "x.gguf").status().message;
  CHECK(message.find("'\\x1b[2J\\x0ann") != std::string::npos);
  CHECK(message.find_first_of("\x1b\n") == std::string::npos);
  CHECK(message.size() < 300);
}

TEST_CASE("gguf: nested arrays within the limit are kept, though no accessor reads them", "[runtime][gguf]") {
  GgufWriter w;
  w.add_raw("k", 9, array_header(9, 2) + array_header(0, 1) + "x" + array_header(8, 1) + raw(uint64_t{2}) + "yz");
  w.add("after", uint32_t{7});
  const auto image = w.image();
  const auto opened = Gguf::parse(image, "x.gguf");
  REQUIRE(opened.ok());
  CHECK(opened.value()->get_int("after").value() == 7);
  CHECK(opened.value()->raw_entries()[0].raw.size() == 4 + 12 + 13 + 12 + 10);
  CHECK(opened.value()->get_strings("k").status().message ==
        "x.gguf: metadata key 'k' is of kind array of array, expected array of text");
}
