// A synthetic model's file in this process's address space. Until materialise(), its matrices have addresses but no
// memory: touching them ends the process, and front() makes their bytes on demand.
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
  // Call this before any call below, once the tensors in bytes() are known. They are in the order of their addresses.
  void set_tensors(std::vector<std::span<const std::byte>> tensors) { tensors_ = std::move(tensors); }

  // The first bytes of `data`, a part of a tensor: at least one unless `data` is empty. Valid until materialise().
  std::span<const std::byte> front(std::span<const std::byte> data) const;
  // Host memory that front() takes besides bytes().
  int64_t pattern_bytes() const;

  // Writes all matrices into memory. kMemoryCap: the system has none left.
  Status materialise();

 private:
  SyntheticImage() = default;
  const WeightPattern& pattern() const;

  SyntheticFile file_;
  std::byte* base_ = nullptr;
  bool materialised_ = false;
  std::vector<std::span<const std::byte>> tensors_;
  // Made on first use, since a fingerprint does not need it.
  mutable std::once_flag pattern_made_;
  mutable std::unique_ptr<WeightPattern> pattern_;
};

}  // namespace reform
