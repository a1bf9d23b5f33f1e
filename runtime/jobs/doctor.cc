#include <fmt/format.h>
#include <reform/doctor.h>
#include <reform/engine.h>
#include <reform/store.h>
#include <reform/units.h>

#include <algorithm>
#include <filesystem>

#include "base/machine.h"
#include "base/try.h"
#include "kernels/ops.h"
#include "runtime/engine/machine.h"
#include "storage/disk/speed.h"

namespace reform {
namespace {

// A measurement writes more than a disk's own cache holds, but little enough to take two seconds and to fit on a nearly
// full disk.
constexpr int64_t kMeasuredBytes = 256 * kMiB, kLeastFreeBytes = 256 * kMiB;
// Below these rates a question mostly waits for the disk: a million tokens are about 272 MB of index, and a gather of
// 8,192 tokens makes some hundred small reads.
constexpr double kSlowBytesPerS = 200e6, kSlowReadsPerS = 2000;
constexpr int64_t kIndexBytesPerToken = 272;

class Examination {
 public:
  Examination(const std::string& store_dir, const CancelToken* cancel) : cancel_(cancel) {
    report_.store_dir = store_dir.empty() ? Store::default_dir() : store_dir;
  }

  Result<DoctorReport> run() {
    look_at_cpu();
    look_at_memory();
    look_at_gpus();
    TRY(look_at_disk());
    return std::move(report_);
  }

 private:
  void advise(const char* about, std::string text) { report_.advice.push_back({about, std::move(text)}); }
  void look_at_cpu();
  void look_at_memory();
  void look_at_gpus();
  Status look_at_disk();
  Status measure(const Disk& disk);

  DoctorReport report_;
  const CancelToken* cancel_;
};

void Examination::look_at_cpu() {
  report_.kernel = kernel_name();
  report_.cpu = cpu_name();
  report_.isa = name(best_isa());
  if (best_isa() == Isa::kPortable)
    advise("cpu",
           "this CPU, or the hypervisor above it, shows no AVX2: everything runs several times slower than it "
           "could; in a virtual machine, pass the host's CPU through");
  report_.n_cores = cores_allowed();
  report_.n_cores_machine = cores_of_machine();
  report_.cpu_quota_cores = group_limits().cpu_cores;
  if (report_.n_cores < report_.n_cores_machine) {
    advise("threads", fmt::format("this process may use {} of {} cores (taskset, a container or a job limits it)",
                                  report_.n_cores, report_.n_cores_machine));
  }
  if (report_.cpu_quota_cores > 0 && report_.cpu_quota_cores < report_.n_cores) {
    advise("threads", fmt::format("the control group allows {:.1f} cores' time: more threads than that only wait for "
                                  "each other; use -t {}",
                                  report_.cpu_quota_cores, std::max(1, int(report_.cpu_quota_cores))));
  }
}

void Examination::look_at_memory() {
  const MachineMemory memory = machine_memory();
  report_.memory_bytes = memory.total_bytes;
  report_.memory_available_bytes = memory.available_bytes;
  const int64_t limit = group_limits().memory_bytes;
  if (limit == 0 || limit >= memory.total_bytes) return;
  report_.memory_limit_bytes = limit;
  advise("memory", fmt::format("the control group allows {} of {}: past that the kernel kills the process; "
                               "--max-host-memory {}MiB stays below it",
                               format_bytes(limit), format_bytes(memory.total_bytes), limit / kMiB * 9 / 10));
}

void Examination::look_at_gpus() {
  report_.gpus = gpus_seen();
  report_.gpu_built_in = cuda_built_in();
  if (!report_.gpus.empty() && !report_.gpu_built_in)
    advise("gpu", "this reform has no GPU code built in: models run on the CPU, whatever GPU there is");
}

std::string absolute_path(const std::string& dir) {
  std::error_code error;
  const std::string path = std::filesystem::absolute(dir, error).lexically_normal().string();
  return path.size() > 1 && path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
}

// The store's directory, or the nearest existing one above it.
std::string existing_directory(const std::string& dir) {
  std::error_code error;
  std::filesystem::path path = dir;
  while (path.has_relative_path() && !std::filesystem::is_directory(path, error)) path = path.parent_path();
  return path.string();
}

Status Examination::look_at_disk() {
  report_.store_dir = absolute_path(report_.store_dir);
  report_.measured_dir = existing_directory(report_.store_dir);
  TRY_ASSIGN(const FileSystemInfo info, file_system_at(report_.measured_dir));
  report_.file_system = info.type;
  report_.disk_free_bytes = info.free_bytes;
  report_.disk_total_bytes = info.total_bytes;
  if (info.type == "tmpfs" || info.type == "ramfs")
    advise("file_system", "this is in memory: contexts are lost when the machine restarts; choose another --store");
  if (info.type.starts_with("nfs") || info.type == "cifs" || info.type == "smb3" || info.type.starts_with("fuse"))
    advise("file_system", info.type + " may not keep locks between machines: use the store from one machine at a time");
  TRY_ASSIGN(const auto disk, Disk::chosen(report_.store_dir));
  report_.io = disk->description();
  report_.io_remark = disk->remark();
  if (!disk->remark().empty()) advise("io", disk->remark());
  return measure(*disk);
}

Status Examination::measure(const Disk& disk) {
  if (report_.disk_free_bytes < kLeastFreeBytes) {
    report_.disk_problem = "nearly full: not measured";
    advise("space", fmt::format("only {} are free; a million tokens take about {}",
                                format_bytes(report_.disk_free_bytes), format_bytes(kIndexBytesPerToken * 1'000'000)));
    return {};
  }
  const auto stopped = [this] { return cancel_ != nullptr && cancel_->cancelled(); };
  const auto speed =
      measure_disk(disk, report_.measured_dir, std::min(kMeasuredBytes, report_.disk_free_bytes / 4), stopped);
  if (speed.status().code == Code::kCancelled) return speed.status();
  if (!speed.ok()) {
    report_.disk_problem = speed.status().message;
    advise("disk", "cannot be written to: " + speed.status().message);
    return {};
  }
  report_.sequential_read_bytes_per_s = speed.value().sequential_bytes_per_s;
  report_.random_reads_per_s = speed.value().random_reads_per_s;
  if (report_.sequential_read_bytes_per_s < kSlowBytesPerS) {
    advise("disk", fmt::format("slow: a question to a million tokens waits {:.1f} s for the index; put the store on a "
                               "local SSD with --store",
                               double(kIndexBytesPerToken) * 1e6 / std::max(1.0, report_.sequential_read_bytes_per_s)));
  } else if (report_.random_reads_per_s < kSlowReadsPerS) {
    advise("disk", "few small reads a second: passages come slowly; put the store on a local SSD with --store");
  }
  return {};
}

}  // namespace

Result<DoctorReport> examine_machine(const std::string& store_dir, const CancelToken* cancel) {
  return Examination(store_dir, cancel).run();
}

}  // namespace reform
