// Little-endian integers, varints and length-prefixed strings to and from bytes. The reader never passes its end. It
// turns bad instead, and a bad reader returns zeros.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace reform {

template <class T>
T to_little_endian(T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (std::endian::native == std::endian::big) {
    T swapped = 0;
    for (size_t i = 0; i < sizeof(T); ++i) swapped = T(swapped << 8 | (value >> (8 * i) & 0xff));
    return swapped;
  }
  return value;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  template <class T>
  void fixed(T value) {
    const auto bits = to_little_endian(std::make_unsigned_t<T>(value));
    out_.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  void varint(uint64_t value) {  // LEB128
    for (; value >= 0x80; value >>= 7) out_.push_back(char(value | 0x80));
    out_.push_back(char(value));
  }
  void text(std::string_view s) { varint(s.size()), out_.append(s); }
  void bytes(std::span<const std::byte> b) { out_.append(reinterpret_cast<const char*>(b.data()), b.size()); }

 private:
  std::string& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> in) : in_(in) {}

  template <class T>
  T fixed() {
    std::make_unsigned_t<T> bits = 0;
    if (in_.size() < sizeof bits) return fail(), T{};
    std::memcpy(&bits, in_.data(), sizeof bits);
    in_ = in_.subspan(sizeof bits);
    return T(to_little_endian(bits));
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto byte = uint8_t(in_[0]);
      in_ = in_.subspan(1);
      if (shift == 63 && byte > 1) break;  // past 64 bits
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return fail(), 0;
  }
  int64_t count() {  // a varint that is a count; bad if it does not fit int64_t
    const uint64_t value = varint();
    if (value > uint64_t(INT64_MAX)) return fail(), 0;
    return int64_t(value);
  }
  std::string text() {
    const uint64_t n = varint();
    if (n > in_.size()) return fail(), std::string();
    std::string s(reinterpret_cast<const char*>(in_.data()), size_t(n));
    in_ = in_.subspan(size_t(n));
    return s;
  }
  std::span<const std::byte> bytes(size_t n) {
    if (n > in_.size()) return fail(), std::span<const std::byte>();
    const auto taken = in_.first(n);
    in_ = in_.subspan(n);
    return taken;
  }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && in_.empty(); }
  size_t left() const { return in_.size(); }

 private:
  void fail() { ok_ = false, in_ = {}; }
  std::span<const std::byte> in_;
  bool ok_ = true;
};

}  // namespace reform
