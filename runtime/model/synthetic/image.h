// A synthetic model's file in this process's addresses. Its matrices have addresses and no memory until materialise():
// whoever touches them before ends the process. What would stand there is made as it is asked for.
// Thread-safety: const calls from any thread.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/model/synthetic/model.h"
#include "runtime/model/synthetic/weight_pattern.h"

namespace reform {

class SyntheticImage {
 public:
  static Result<std::unique_ptr<SyntheticImage>> create(std::string_view name_and_type);
  ~SyntheticImage();
  SyntheticImage(const SyntheticImage&) = delete;
  SyntheticImage& operator=(const SyntheticImage&) = delete;

  std::span<const std::byte> bytes() const { return {base_, size_t(file_.total_bytes)}; }
  // Once the tensors in bytes() are known, in the order of their addresses; not before, the calls below.
  void set_tensors(std::vector<std::span<const std::byte>> tensors) { tensors_ = std::move(tensors); }

  // What stands at the front of `data`, a part of a tensor: at least one byte if there are any. Valid until
  // materialise().
  std::span<const std::byte> front(std::span<const std::byte> data) const;
  // Host memory that takes, besides bytes().
  int64_t pattern_bytes() const;

  // Puts all matrices into memory; kMemoryCap where the system has none left.
  Status materialise();

 private:
  SyntheticImage() = default;
  const WeightPattern& pattern() const;

  SyntheticFile file_;
  std::byte* base_ = nullptr;
  bool materialised_ = false;
  std::vector<std::span<const std::byte>> tensors_;
  // Made when first wanted: a fingerprint does not need it.
  mutable std::once_flag pattern_made_;
  mutable std::unique_ptr<WeightPattern> pattern_;
};

}  // namespace reform
