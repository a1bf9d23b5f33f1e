// GGUF v2 and v3 files, memory-mapped. A file may be hostile, so every offset, length, count, type and alignment is
// checked before use. A bad file gives a Status that names the file, the place and what was expected.
// Where the system refuses the file: <reform/errno_status.h>. kBadModel: everything else.
// A tensor has 1 to 4 dimensions, none of them 0. Its rows are whole blocks, and its data begins at a multiple of at
// least 8 bytes in the file. Tensors may overlap. Nobody may write to the file while it is open: check_unchanged() says
// if somebody has. If it was shortened, access to the mapping faults with SIGBUS (read() gives kBadModel).
// Thread-safety: const once made; readable from any thread.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_identity.h"
#include "base/quant_type.h"

namespace reform {

struct GgufTensor {
  std::string name;
  QuantType type = QuantType::kF32;
  std::vector<int64_t> shape;       // as in the file: shape[0] is the contiguous one (cols), shape[1] rows
  std::span<const std::byte> data;  // in the mapping
};

class Gguf {
 public:
  // `synthetic:NAME:TYPE` (kSyntheticModel) is not a path. It gives a model of that shape with random weights. kUsage:
  // the name or the type is unknown.
  static Result<std::unique_ptr<Gguf>> open(const std::string& path);
  // From memory, for tests and fuzzing. `bytes` must outlive the result, and must begin at a multiple of 8 if tensors
  // are to be read in place. `label` replaces the path in messages.
  static Result<std::unique_ptr<Gguf>> parse(std::span<const std::byte> bytes, const std::string& label);
  ~Gguf();

  const std::string& path() const;
  std::string absolute_path() const;  // a synthetic model's name is left as it is
  int64_t file_bytes() const;
  const std::vector<GgufTensor>& tensors() const;
  const GgufTensor* find_tensor(std::string_view name) const;  // nullptr: none
  // The bytes at `data`, a part of a tensor's data: all of them, or only the first (at least one unless `data` is
  // empty). Code that copies weights must use this, since a synthetic model's matrices have no memory of their own.
  std::span<const std::byte> bytes_at(std::span<const std::byte> data) const;

  bool is_synthetic() const;
  // Host memory that the first call of bytes_at() takes besides the mapping; 0 for a file.
  int64_t made_bytes() const;
  // Makes all tensor data readable in place: writes a synthetic model's into memory, file_bytes() in all.
  Status materialise() const;

  // Which file was opened, and in which state. Nothing: it is no file.
  const std::optional<FileIdentity>& identity() const;
  // kBadModel if the file has been written to, or the path is another file's, since open(). What was computed before
  // may then be wrong, so whoever keeps or shows a result asks first.
  Status check_unchanged() const;

  // Copies a part of a tensor's data. It reads the file and not the mapping, so a file that was shortened gives
  // kBadModel and no fault.
  Status read(std::span<const std::byte> data, std::byte* to) const;

  // Metadata. An absent key gives nullopt. A value of another kind is an error that names the key and both kinds. Every
  // integer type reads as int64 (a uint64 beyond its range is an error); f32 and f64 read as double.
  bool has(std::string_view key) const;
  Result<std::optional<int64_t>> get_int(std::string_view key) const;
  Result<std::optional<double>> get_float(std::string_view key) const;
  Result<std::optional<bool>> get_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> get_string(std::string_view key) const;
  Result<std::optional<std::vector<std::string_view>>> get_strings(std::string_view key) const;
  // In get_ints and get_floats a scalar reads as one element; get_ints takes an array of booleans as 0 and 1.
  Result<std::optional<std::vector<int64_t>>> get_ints(std::string_view key) const;
  Result<std::optional<std::vector<double>>> get_floats(std::string_view key) const;
  // Every key in file order, with its raw bytes in the file: the number of its kind (4 bytes), then its value. For the
  // fingerprint.
  struct RawEntry {
    std::string_view key;
    std::span<const std::byte> raw;
  };
  const std::vector<RawEntry>& raw_entries() const;

 private:
  struct Impl;
  explicit Gguf(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
