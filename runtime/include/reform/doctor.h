// doctor: what matters to reform on this machine, and what to do about what is bad.
#pragma once

#include <reform/cancel.h>
#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct DoctorAdvice {
  std::string about;  // "cpu", "threads", "memory", "gpu", "file_system", "space", "io", "disk"
  std::string text;   // what is bad and what to do about it, one line
};

struct DoctorReport {
  std::string kernel;  // "Linux 6.1.0-18-amd64 x86_64"
  std::string cpu;     // the CPU's own name for itself
  std::string isa;     // the instruction set that reform uses here
  int n_cores = 0;     // cores this process may run on; also the default number of threads
  int n_cores_machine = 0;
  double cpu_quota_cores = 0;  // CPU time that the control group allows; 0: no limit
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  int64_t memory_limit_bytes = 0;  // the control group's; 0: no limit
  int64_t memory_left_bytes = 0;   // for this process, by every limit and by what the machine has
  std::vector<std::string> gpus;   // seen in the machine, of any maker
  bool gpu_built_in = false;       // whether this program could use one

  std::string store_dir, measured_dir;  // measured_dir is store_dir or its nearest existing parent
  std::string file_system;              // "ext4", "tmpfs", …; "" if unknown
  int64_t disk_free_bytes = 0, disk_total_bytes = 0;
  std::string io, io_remark;               // how the store's files are read and written; why not by a faster way, or ""
  std::string disk_problem;                // why the disk could not be measured, or ""
  double sequential_read_bytes_per_s = 0;  // as an index is scanned
  double random_reads_per_s = 0;           // of 4 KiB, 64 at a time

  std::vector<DoctorAdvice> advice;  // empty when all is well
};

// Takes about two seconds, mostly for measuring the disk. Neither creates nor opens the store. "" is
// Store::default_dir().
REFORM_API Result<DoctorReport> examine_machine(const std::string& store_dir, const CancelToken* cancel = nullptr);

}  // namespace reform
