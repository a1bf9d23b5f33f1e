// Which device an engine runs on, by EngineOptions::device.
#pragma once

#include <reform/engine.h>

#include <memory>
#include <string>

#include "kernels/device.h"

namespace reform {

struct DeviceName {
  enum class Kind { kCpu, kCuda, kAuto } kind = Kind::kCpu;
  int index = 0;  // of a CUDA device
};
Result<DeviceName> parse_device_name(const std::string& text);  // kUsage
Result<bool> parse_gpu_products(const std::string& text);       // whether they are FP8; kUsage
Result<bool> parse_gpu_attention(const std::string& text);      // whether it may be by warpgroups; kUsage

struct ChosenDevice {
  std::unique_ptr<Device> device;
  std::string remark;  // for the user: what was taken, and why not what might have been; "" where cpu was asked for
};
// kUnavailable names what is not there: the chip, or CUDA in this build. "auto" takes the CPU then.
Result<ChosenDevice> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool, MemoryAccount& account);
bool cuda_built_in();

}  // namespace reform
