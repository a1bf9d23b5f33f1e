#include "kernels/ops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace reform {
namespace {

#if defined(__x86_64__)
// clang 14's __builtin_cpu_supports does not know F16C.
bool cpu_has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

}  // namespace

const char* name(Isa isa) {
  constexpr const char* kNames[] = {"ref", "portable", "avx2", "avx512"};
  return kNames[size_t(isa)];
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c();
  }
  if (isa == Isa::kAvx512) {
    return isa_supported(Isa::kAvx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
#endif
  return isa == Isa::kRef || isa == Isa::kPortable;
}

Isa best_isa() {
  Isa best = Isa::kPortable;
  for (Isa isa : kIsas) {
    if (isa_supported(isa)) best = isa;
  }
  return best;
}

}  // namespace reform
