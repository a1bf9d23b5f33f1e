// A device and accounts that count memory and take none: they show what a job would allocate.
#pragma once

#include <memory>

#include "base/memory.h"
#include "kernels/device.h"

namespace reform {

class CountingSite {
 public:
  explicit CountingSite(Device& real);  // asked for sizes only; must outlive this
  ~CountingSite();

  Site site();
  const MemoryAccount& device_account() const;  // empty if the device's memory is the host's
  const MemoryAccount& host_account() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform
