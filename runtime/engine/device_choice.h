// Which device an engine runs on, by EngineOptions::device.
#pragma once

#include <reform/engine.h>

#include <memory>
#include <string>

#include "kernels/device.h"

namespace reform {

// Checks that `device` and the gpu_* texts are known words. open_device() finds out whether the device exists. kUsage.
Status check_device_options(const EngineOptions& options);

struct ChosenDevice {
  std::unique_ptr<Device> device;
  std::string remark;  // for the user: which device was chosen and why, and which options it ignores; may be ""
};
// kUnavailable names what is missing: the chip, or CUDA in this build. "auto" takes the CPU instead.
Result<ChosenDevice> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool, MemoryAccount& account);

}  // namespace reform
