#include "runtime/engine/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/machine.h"

namespace reform {
namespace {

namespace fs = std::filesystem;

const char* maker(const std::string& vendor) {
  return vendor == "0x10de" ? "NVIDIA" : vendor == "0x1002" ? "AMD" : vendor == "0x8086" ? "Intel" : nullptr;
}

}  // namespace

std::string kernel_name() {
  utsname name{};
  if (::uname(&name) != 0) return "";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

std::string cpu_name() {
  const std::string name = line_field("/proc/cpuinfo", "model name");
  return name.empty() ? line_field("/proc/cpuinfo", "CPU part") : name;
}

int cores_of_machine() { return int(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))); }

std::vector<std::string> gpus_seen() {
  std::vector<std::string> gpus;
  std::error_code error;
  for (const fs::directory_entry& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    const std::string model = line_field(gpu.path() / "information", "Model:");
    gpus.push_back("NVIDIA " + (model.starts_with("NVIDIA ") ? model.substr(7) : model));
  }
  const bool nvidia_named = !gpus.empty();
  for (const fs::directory_entry& device : fs::directory_iterator("/sys/bus/pci/devices", error)) {
    const std::string kind = first_line(device.path() / "class");  // 0x03xxxx: a display controller
    const char* who = maker(first_line(device.path() / "vendor"));
    if (!kind.starts_with("0x03") || who == nullptr || (nvidia_named && std::string(who) == "NVIDIA")) continue;
    gpus.push_back(fmt::format("{} (PCI {})", who, device.path().filename().string()));
  }
  return gpus;
}

}  // namespace reform
