// Which device an engine runs on, by EngineOptions::device.
#pragma once

#include <reform/engine.h>
#include <reform/log.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace reform {

// Checks that `device` and the gpu_* texts are known words. open_device() finds out whether the device exists. kUsage.
Status check_device_options(const EngineOptions& options);

// The options for GPUs that were given, by the command's names, in --help's order.
std::vector<std::string> given_gpu_options(const EngineOptions& options);

// kUnavailable names what is missing: the chip, or CUDA in this build. "auto" takes the CPU instead. Tells `log` which
// device was chosen and why, and which options it ignores. For "cpu" without such options it says nothing.
Result<std::unique_ptr<Device>> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool,
                                            MemoryAccount& account, const LogCallback& log);

}  // namespace reform
