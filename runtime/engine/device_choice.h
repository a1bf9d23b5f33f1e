// Which device an engine runs on, by EngineOptions::device.
#pragma once

#include <reform/engine.h>

#include <memory>
#include <string>

#include "kernels/device.h"

namespace reform {

// That `device` and the gpu_* texts name something; whether it is there is open_device's to say. kUsage.
Status check_device_options(const EngineOptions& options);

struct ChosenDevice {
  std::unique_ptr<Device> device;
  std::string remark;  // for the user: what was taken, and why not what might have been; "" where cpu was asked for
};
// kUnavailable names what is not there: the chip, or CUDA in this build. "auto" takes the CPU then.
Result<ChosenDevice> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool, MemoryAccount& account);

}  // namespace reform
