// reform doctor: what matters about this machine, and what to do where it is bad.
#include <fmt/format.h>
#include <reform/doctor.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

std::string join(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, ", ")); }

std::string describe_cores(const DoctorReport& r) {
  std::string text = fmt::format("{} of {} cores", r.n_cores, r.n_cores_machine);
  if (r.cpu_quota_cores > 0) text += fmt::format(", {:.1f} cores' time", r.cpu_quota_cores);
  return text;
}

std::string describe_memory(const DoctorReport& r) {
  std::string text =
      fmt::format("{}, {} available", format_bytes(r.memory_bytes), format_bytes(r.memory_available_bytes));
  if (r.memory_limit_bytes > 0) text += fmt::format(", limited to {}", format_bytes(r.memory_limit_bytes));
  return text + fmt::format(", {} left for a job", format_bytes(r.memory_left_bytes));
}

std::string describe_disk(const DoctorReport& r) {
  if (!r.disk_problem.empty()) return r.disk_problem;
  return fmt::format("{}/s one after the other, {} reads of 4 KiB/s",
                     format_bytes(int64_t(r.sequential_read_bytes_per_s)), format_count(int64_t(r.random_reads_per_s)));
}

std::string report_text(const DoctorReport& r) {
  std::string text;
  const auto add = [&](const char* key, const std::string& value, std::initializer_list<const char*> about) {
    text += fmt::format("{:<13}{}\n", key, printable(value, false));
    for (const DoctorAdvice& advice : r.advice) {
      for (const char* topic : about) {
        if (advice.about == topic) text += fmt::format("{:<13}! {}\n", "", printable(advice.text, false));
      }
    }
  };
  add("kernel", r.kernel, {});
  add("cpu", fmt::format("{}: {}", r.cpu, r.isa), {"cpu"});
  add("threads", describe_cores(r), {"threads"});
  add("memory", describe_memory(r), {"memory"});
  add("gpu",
      (r.gpus.empty() ? "none seen" : join(r.gpus)) + (!r.gpu_built_in ? " (not built in: models run on the CPU)"
                                                       : r.gpus.empty()
                                                           ? " (no GPU, or no NVIDIA driver that this can use)"
                                                           : ""),
      {"gpu"});
  add("store", r.store_dir + (r.measured_dir == r.store_dir ? "" : " (not there yet)"), {});
  add("file system",
      fmt::format("{}, {} free of {}", r.file_system.empty() ? "unknown" : r.file_system,
                  format_bytes(r.disk_free_bytes), format_bytes(r.disk_total_bytes)),
      {"file_system", "space"});
  add("i/o", r.io, {"io"});
  add("disk", describe_disk(r), {"disk"});
  return text;
}

Status run_doctor(const std::string& store_dir, Output& out) {
  out.progress().phase("measuring the disk");
  const CancelScope scope;
  const auto report = examine_machine(store_dir, &scope.token());
  if (!report.ok()) return report.status();
  out.text(report_text(report.value()));
  out.object(doctor_fields(report.value()));
  return {};
}

}  // namespace

void add_doctor(CLI::App& app, Invocation& invocation) {
  const auto store_dir = std::make_shared<std::string>();
  CLI::App* verb =
      add_verb(app, invocation, "doctor",
               "Show what of this machine matters to reform, and what to do where it is bad.\n"
               "Measures the store's disk for two seconds; nothing is left there.",
               "  reform doctor --store ~/library", [store_dir](Output& out) { return run_doctor(*store_dir, out); });
  add_store_flag(*verb, *store_dir);
}

}  // namespace reform::tool
