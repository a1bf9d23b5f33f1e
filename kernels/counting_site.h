// A device and accounts on which memory is counted and none is taken: what a job would allocate, without doing it.
#pragma once

#include <memory>

#include "base/memory.h"
#include "kernels/device.h"

namespace reform {

class CountingSite {
 public:
  explicit CountingSite(Device& real);  // which outlives it; it is asked for sizes only
  ~CountingSite();

  Site site();
  const MemoryAccount& device_account() const;  // empty where the device's memory is the host's
  const MemoryAccount& host_account() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
