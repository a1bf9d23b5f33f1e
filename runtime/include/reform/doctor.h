// doctor: what of this machine matters to reform, and what to do where it is bad.
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
  std::string text;   // what is bad and what to do, one line
};

struct DoctorReport {
  std::string kernel;  // "Linux 6.1.0-18-amd64 x86_64"
  std::string cpu;     // as the CPU calls itself
  std::string isa;     // the instruction set that reform takes here
  int n_cores = 0;     // that this process may run on, and so the threads it takes
  int n_cores_machine = 0;
  double cpu_quota_cores = 0;  // of the control group; 0: none
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  int64_t memory_limit_bytes = 0;  // of the control group; 0: none
  std::vector<std::string> gpus;   // seen in the machine, whatever their maker
  bool gpu_built_in = false;       // whether this program could use one

  std::string store_dir, measured_dir;  // the latter is where the store is, or will be made
  std::string file_system;              // "ext4", "tmpfs", …; "" if unknown
  int64_t disk_free_bytes = 0, disk_total_bytes = 0;
  std::string io, io_remark;               // how the store's files are read and written; why not faster, or ""
  std::string disk_problem;                // why the disk could not be measured, or ""
  double sequential_read_bytes_per_s = 0;  // as an index is scanned
  double random_reads_per_s = 0;           // of 4 KiB, 64 at a time

  std::vector<DoctorAdvice> advice;  // empty when all is well
};

// About two seconds, most of them for the disk; the store is neither made nor opened. "" is Store::default_dir().
REFORM_API Result<DoctorReport> examine_machine(const std::string& store_dir, const CancelToken* cancel = nullptr);

}  // namespace reform
