// The memory a job will take, known before any of it is allocated: bytes per category, checked against the caps.
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
  void raise_to(const MemoryPlan& other);       // takes the larger in each category
  MemoryPlan& operator+=(const MemoryPlan& o);  // adds up each category
  // kMemoryCap, with a table of the plan and `advice`, if the plan exceeds the cap. 0: there is no cap.
  Status check(int64_t cap_bytes, const std::string& advice) const;
};
MemoryPlan in_use(const MemoryAccount& account);
MemoryPlan peak_of(const MemoryAccount& account);

// A job's buffers without weights. If the device's memory is the host's, they all count in `host`.
struct JobPlan {
  MemoryPlan device, host;

  // Takes as much in all as `other`, where that takes more: they do not run at the same time.
  void cover(const JobPlan& other);
  // Checks that both fit together with the weights that `use` needs, and arranges these in what the job leaves. Called
  // before any of the job's buffers is made. kMemoryCap with `advice`; kIo and kCancelled while weights are copied.
  Status fit(Device& device, WeightSource& weights, const WeightUse& use, const MemoryAccount& host_account,
             const std::string& advice, const CancelToken* cancel) const;
};

// Counts what `make` allocates. `make` makes a job on a Site; here the Site only counts. `limits` are those of the
// job's ops, whose workspace counts, too.
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
