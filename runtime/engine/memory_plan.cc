#include "runtime/engine/memory_plan.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/try.h"

namespace reform {
int64_t MemoryPlan::total_bytes() const {
  int64_t total = 0;
  for (const int64_t b : bytes) total += b;
  return total;
}

void MemoryPlan::raise_to(const MemoryPlan& other) {
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) bytes[c] = std::max(bytes[c], other.bytes[c]);
}

Status MemoryPlan::check(int64_t cap_bytes, const std::string& advice) const {
  if (cap_bytes == 0 || total_bytes() <= cap_bytes) return {};
  std::string table;
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) {
    if (bytes[c] == 0) continue;
    table += fmt::format("{}{} {}", table.empty() ? "" : ", ", name(MemoryCategory(c)), format_bytes(bytes[c]));
  }
  return {Code::kMemoryCap, fmt::format("this needs {} and the cap is {} ({}); {}", format_bytes_up(total_bytes()),
                                        format_bytes(cap_bytes), table, advice)};
}

MemoryPlan& MemoryPlan::operator+=(const MemoryPlan& o) {
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) bytes[c] += o.bytes[c];
  return *this;
}

namespace {

MemoryPlan per_category(const MemoryAccount& account, int64_t (MemoryAccount::*bytes)(MemoryCategory) const) {
  MemoryPlan plan;
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) plan.bytes[c] = (account.*bytes)(MemoryCategory(c));
  return plan;
}

}  // namespace

MemoryPlan in_use(const MemoryAccount& account) { return per_category(account, &MemoryAccount::current_bytes); }
MemoryPlan peak_of(const MemoryAccount& account) { return per_category(account, &MemoryAccount::peak_bytes); }

void JobPlan::cover(const JobPlan& other) {
  const auto top_up = [](MemoryPlan& plan, const MemoryPlan& least) {
    plan[MemoryCategory::kIndex] += std::max<int64_t>(0, least.total_bytes() - plan.total_bytes());
  };
  top_up(device, other.device);
  top_up(host, other.host);
}

Status JobPlan::fit(Device& where, WeightSource& weights, const WeightUse& use, const MemoryAccount& host_account,
                    const std::string& advice, const CancelToken* cancel) const {
  MemoryPlan there = device;
  there[MemoryCategory::kWeights] += weights.least_bytes(use);
  const Status fits = there.check(where.account().cap_bytes(), advice);
  if (!fits.ok()) return {fits.code, fmt::format("{}: {}", where.name(), fits.message)};
  const std::string host_advice = device.total_bytes() == 0 ? advice : "a larger --max-host-memory would fit";
  const Status arranged = weights.arrange(use, device.total_bytes(), host.total_bytes(), cancel);
  if (arranged.code == Code::kMemoryCap) return {arranged.code, fmt::format("{}; {}", arranged.message, host_advice)};
  TRY(arranged);
  MemoryPlan here = host;
  here += in_use(host_account);
  return here.check(host_account.cap_bytes(), host_advice);
}

}  // namespace reform
