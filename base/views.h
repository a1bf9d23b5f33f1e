// Non-owning views of row-major arrays, passed by value. Owners are Buffer (base/memory.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace reform {

// [rows, cols], row-major; row r starts at data + r * stride_elems, stride_elems >= cols.
template <class T>
struct MatView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride_elems = 0;

  MatView() = default;
  MatView(T* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride_elems(c) {}
  MatView(T* d, int64_t r, int64_t c, int64_t stride) : data(d), rows(r), cols(c), stride_elems(stride) {}
  // A mutable view converts to a const one.
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  MatView(const MatView<U>& o) : data(o.data), rows(o.rows), cols(o.cols), stride_elems(o.stride_elems) {}

  T* row(int64_t r) const { return data + r * stride_elems; }
  MatView row_range(int64_t begin, int64_t end) const { return {row(begin), end - begin, cols, stride_elems}; }
  MatView col_range(int64_t begin, int64_t end) const { return {data + begin, rows, end - begin, stride_elems}; }
};

// Bytes under a name: what a chunk leaves of one kind, or a part of a checkpoint (one layer's keys, say). Not its
// owner.
struct NamedBytes {
  std::string name;
  std::span<const std::byte> bytes;
};

}  // namespace reform
