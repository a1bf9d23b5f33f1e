// The pieces a GGUF file is made of: kinds of metadata values, and a cursor that never reads past the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace reform::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF values are read as they lie in the file");

// These numbers are in files; never renumber.
enum class Kind : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,    // one byte, 0 or 1
  kString = 8,  // u64 length, then bytes
  kArray = 9,   // u32 kind of the elements, u64 count, the elements
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
  kCount
};

// A kind's name and size in bytes; 0 where the size is in the value.
struct KindInfo {
  const char* name;
  uint32_t bytes;
};
const KindInfo& info(Kind kind);

inline bool is_integer(Kind kind) { return kind <= Kind::kI32 || kind == Kind::kU64 || kind == Kind::kI64; }
inline bool is_float(Kind kind) { return kind == Kind::kF32 || kind == Kind::kF64; }

// A name from the file, safe to show: in quotes, control and non-ASCII bytes as \xNN, cut after 64 bytes.
std::string in_quotes(std::string_view name);

// Reads forward over bytes it does not own. A read that does not fit returns false and leaves the cursor where it was;
// wanted_bytes() then says how many bytes it asked for.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t at() const { return at_; }
  uint64_t remaining() const { return bytes_.size() - at_; }
  uint64_t wanted_bytes() const { return wanted_bytes_; }
  std::span<const std::byte> since(uint64_t begin) const { return bytes_.subspan(begin, at_ - begin); }

  bool has(uint64_t n_bytes) {
    wanted_bytes_ = n_bytes;
    return n_bytes <= remaining();
  }
  // Whether n elements of at least elem_bytes each may fit; the product may overflow.
  bool has(uint64_t n, uint64_t elem_bytes) {
    uint64_t n_bytes = 0;
    return has(__builtin_mul_overflow(n, elem_bytes, &n_bytes) ? UINT64_MAX : n_bytes);
  }
  bool skip(uint64_t n_bytes) {
    if (!has(n_bytes)) return false;
    at_ += n_bytes;
    return true;
  }
  template <class T>
  bool read(T& value) {
    if (!has(sizeof(T))) return false;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  bool read_string(std::string_view& value) {
    uint64_t n_bytes = 0;
    const uint64_t begin = at_;
    if (!read(n_bytes)) return false;
    if (!has(n_bytes)) {
      at_ = begin;
      return false;
    }
    value = {reinterpret_cast<const char*>(bytes_.data()) + at_, size_t(n_bytes)};
    at_ += n_bytes;
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  uint64_t wanted_bytes_ = 0;
};

}  // namespace reform::gguf
