#include <fmt/format.h>
#include <reform/doctor.h>
#include <reform/engine.h>
#include <reform/errno_status.h>
#include <reform/store.h>
#include <reform/units.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/control_group.h"
#include "base/machine.h"
#include "base/memory_room.h"
#include "base/try.h"
#include "kernels/ops.h"
#include "runtime/engine/directories.h"
#include "runtime/engine/machine.h"
#include "storage/disk/absolute_path.h"
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

void advise(DoctorReport& report, const char* about, std::string text) {
  report.advice.push_back({about, std::move(text)});
}

void look_at_cpu(DoctorReport& report) {
  report.kernel = kernel_name();
  report.cpu = cpu_name();
  report.isa = name(best_isa());
  if (best_isa() == Isa::kPortable)
    advise(report, "cpu",
           "this CPU, or the hypervisor above it, shows no AVX2: everything runs several times slower than it "
           "could; in a virtual machine, pass the host's CPU through");
  report.n_cores = cores_allowed();
  report.n_cores_machine = cores_of_machine();
  report.cpu_quota_cores = group_limits().cpu_cores;
  if (report.n_cores < report.n_cores_machine) {
    advise(report, "threads",
           fmt::format("this process may use {} of {} cores (taskset, a container or a job limits it)", report.n_cores,
                       report.n_cores_machine));
  }
  if (report.cpu_quota_cores > 0 && report.cpu_quota_cores < report.n_cores) {
    advise(report, "threads",
           fmt::format("the control group allows {:.1f} cores' time: more threads than that only wait for "
                       "each other; use -t {}",
                       report.cpu_quota_cores, std::max(1, int(report.cpu_quota_cores))));
  }
}

void look_at_memory(DoctorReport& report) {
  const MachineMemory memory = machine_memory();
  report.memory_bytes = memory.total_bytes;
  report.memory_available_bytes = memory.available_bytes;
  const MemoryRoom limited = limited_room();
  const int64_t limit = group_limits().memory_bytes;
  report.memory_left_bytes = std::min(memory_room().bytes, memory.total_bytes);
  if (limit > 0 && limit < memory.total_bytes) report.memory_limit_bytes = limit;
  if (limited.bytes >= memory.total_bytes) return;
  advise(report, "memory",
         fmt::format("{} are left by {}: work that needs more is refused; raise it, or choose a smaller model or "
                     "smaller chunks",
                     format_bytes(limited.bytes), limited.limit));
}

void look_at_gpus(DoctorReport& report) {
  report.gpus = gpus_seen();
  report.gpu_built_in = cuda_built_in();
  if (!report.gpus.empty() && !report.gpu_built_in)
    advise(report, "gpu", "this reform has no GPU code built in: models run on the CPU, whatever GPU there is");
}

// The store's directory, or the nearest existing one above it, where it would be made.
Result<std::string> existing_directory(const std::string& dir) {
  std::filesystem::path path = dir;
  for (;; path = path.parent_path()) {
    std::error_code error, ignored;
    const auto status = std::filesystem::status(path, error);
    if (std::filesystem::is_directory(status)) return path.string();
    if (std::filesystem::exists(status) && path != dir) return errno_status(ENOTDIR, dir);
    if (std::filesystem::exists(status)) return Status{Code::kUsage, dir + " is a file, not a store"};
    const bool is_link = std::filesystem::is_symlink(std::filesystem::symlink_status(path, ignored));
    if (status.type() != std::filesystem::file_type::not_found || is_link || !path.has_relative_path())
      return errno_status(error ? error.value() : ENOENT, path.string());
  }
}

Status measure(const Disk& disk, DoctorReport& report, const CancelToken* cancel) {
  if (report.disk_free_bytes < kLeastFreeBytes) {
    report.disk_problem = "nearly full: not measured";
    advise(report, "space",
           fmt::format("only {} are free; a million tokens take about {}", format_bytes(report.disk_free_bytes),
                       format_bytes(kIndexBytesPerToken * 1'000'000)));
    return {};
  }
  const auto stopped = [cancel] { return cancel != nullptr && cancel->cancelled(); };
  const auto speed =
      measure_disk(disk, report.measured_dir, std::min(kMeasuredBytes, report.disk_free_bytes / 4), stopped);
  if (speed.status().code == Code::kCancelled) return speed.status();
  if (!speed.ok()) {
    report.disk_problem = speed.status().message;
    advise(report, "disk", "cannot be written to: " + speed.status().message);
    return {};
  }
  report.sequential_read_bytes_per_s = speed.value().sequential_bytes_per_s;
  report.random_reads_per_s = speed.value().random_reads_per_s;
  if (report.sequential_read_bytes_per_s < kSlowBytesPerS) {
    advise(report, "disk",
           fmt::format("slow: a question to a million tokens waits {:.1f} s for the index; put the store on a "
                       "local SSD with --store",
                       double(kIndexBytesPerToken) * 1e6 / std::max(1.0, report.sequential_read_bytes_per_s)));
  } else if (report.random_reads_per_s < kSlowReadsPerS) {
    advise(report, "disk", "few small reads a second: passages come slowly; put the store on a local SSD with --store");
  }
  return {};
}

Status look_at_disk(DoctorReport& report, const CancelToken* cancel) {
  TRY_ASSIGN(report.measured_dir, existing_directory(report.store_dir));
  TRY_ASSIGN(const FileSystemInfo info, file_system_at(report.measured_dir));
  report.file_system = info.type;
  report.disk_free_bytes = info.free_bytes;
  report.disk_total_bytes = info.total_bytes;
  if (info.type == "tmpfs" || info.type == "ramfs")
    advise(report, "file_system",
           "this is in memory: contexts are lost when the machine restarts; choose another --store");
  if (info.type.starts_with("nfs") || info.type == "cifs" || info.type == "smb3" || info.type.starts_with("fuse"))
    advise(report, "file_system",
           info.type + " may not keep locks between machines: use the store from one machine at a time");
  TRY_ASSIGN(const auto disk, Disk::chosen(report.store_dir));
  report.io = disk->description();
  report.io_remark = disk->remark();
  if (!disk->remark().empty()) advise(report, "io", disk->remark());
  return measure(*disk, report, cancel);
}

}  // namespace

Result<DoctorReport> examine_machine(const std::string& store_dir, const CancelToken* cancel) {
  DoctorReport report;
  look_at_cpu(report);
  look_at_memory(report);
  look_at_gpus(report);
  const std::string dir = store_dir.empty() ? Store::default_dir() : store_dir;
  if (dir.empty()) return no_data_dir();
  TRY_ASSIGN(report.store_dir, absolute_path(dir));
  TRY(look_at_disk(report, cancel));
  return report;
}

}  // namespace reform
