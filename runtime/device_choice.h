// Which device an engine runs on, by EngineOptions::device.
#pragma once

#include <reform/engine.h>

#include <memory>

#include "kernels/device.h"

namespace reform {

struct DeviceName {
  enum class Kind { kCpu, kCuda, kAuto } kind = Kind::kCpu;
  int index = 0;  // of a CUDA device
};
Result<DeviceName> parse_device_name(const std::string& text);  // kUsage

// kUnavailable names what is not there: the chip, or CUDA in this build. "auto" takes the CPU then.
Result<std::unique_ptr<Device>> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool,
                                            MemoryAccount& account);
bool cuda_built_in();

}  // namespace reform
