// What a job will take, known before anything of it is allocated: bytes per category, checked against the caps.
#pragma once

#include <reform/status.h>

#include <string>

#include "base/memory.h"
#include "kernels/counting_site.h"
#include "runtime/model/weights/source.h"

namespace reform {

struct MemoryPlan {
  int64_t bytes[size_t(MemoryCategory::kCount)] = {};

  int64_t& operator[](MemoryCategory c) { return bytes[size_t(c)]; }
  int64_t total_bytes() const;
  void raise_to(const MemoryPlan& other);       // in each category the larger
  MemoryPlan& operator+=(const MemoryPlan& o);  // in each category the sum
  // kMemoryCap with the table of what was asked and `advice` where it passes the cap; 0: there is none.
  Status check(int64_t cap_bytes, const std::string& advice) const;
};
MemoryPlan in_use(const MemoryAccount& account);
MemoryPlan peak_of(const MemoryAccount& account);

// Where the device's memory is the host's, all of it counts there. Weights are not part of it.
struct JobPlan {
  MemoryPlan device, host;

  void raise_to(const JobPlan& other);
  // Sees whether both fit, with what `use` needs of the weights, and arranges these in what the job leaves; before any
  // of its buffers is made. kMemoryCap with `advice`; kIo and kCancelled while weights are copied.
  Status fit(Device& device, WeightSource& weights, const WeightUse& use, const MemoryAccount& host_account,
             const std::string& advice, const CancelToken* cancel) const;
};

// What `make` allocates: it makes a job on a Site, and is run here where everything is only counted. `limits` are of
// the job's ops, whose workspace counts too.
template <class Make>
Result<JobPlan> count_job(Device& device, const OpLimits& limits, const Make& make) {
  CountingSite counted(device);
  const Site site = counted.site();
  TRY_ASSIGN(const auto workspace, Buffer<std::byte>::create(site.device.account(), MemoryCategory::kWorkspace,
                                                             device.workspace_bytes(limits)));
  TRY_ASSIGN(const auto job, make(site));
  return JobPlan{peak_of(counted.device_account()), peak_of(counted.host_account())};
}

}  // namespace reform
