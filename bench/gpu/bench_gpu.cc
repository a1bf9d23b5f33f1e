// Times every op on a GPU at the shapes of Mistral-NeMo-12B, beside the chip's best measured rates, in one run.
//
//   bench_gpu [--device N] [--json FILE] [--seconds S] [--only PREFIX] [--tiny] [--cpu]
//
// A case is compared with the reference before it is timed; times are medians of batches. --cpu runs the cases on the
// CPU's device, and --tiny runs small shapes once each; both test the bench itself. Exit status 1 if a case is
// wrong, cannot be run, or was not reached within the seconds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/thread_pool.h"
#include "bench/gpu/gpu_bench.h"
#include "bench/gpu/peaks.h"
#include "kernels/cuda/cuda_device.h"

namespace reform::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  int device = 0;
  std::string json, only;
  double seconds = 600;
  bool tiny = false, cpu = false;
  bool fp8 = true;  // whether the device has FP8 products
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Json describe(const Case& c, const Result<Measured>& found) {
  Json out = {{"name", c.name}, {"unit", c.unit}};
  if (c.per_layer > 0) out["per_layer"] = c.per_layer;
  if (!found.ok()) {
    out["state"] = "failed", out["note"] = found.status().message;
    return out;
  }
  const Measured& m = found.value();
  const bool right = m.error <= m.allowed;
  out["state"] = right ? "ok" : "wrong";
  out["note"] = fmt::format("off by {:.1e}, allowed {:.0e}", m.error, m.allowed);
  out["work"] = m.work;
  if (!right || m.timing.median_ms <= 0) return out;
  const double scale = std::string_view(c.unit) == "TFLOP/s" ? 1e12 : 1e9;
  out["median_ms"] = m.timing.median_ms, out["min_ms"] = m.timing.min_ms, out["max_ms"] = m.timing.max_ms;
  out["spread"] = (m.timing.max_ms - m.timing.min_ms) / m.timing.median_ms;
  out["batches"] = m.timing.n_batches, out["calls"] = m.timing.n_calls;
  out["value"] = m.work / (m.timing.median_ms * 1e-3) / scale;
  return out;
}

void print_case(const Json& c) {
  fmt::print("{:44} {:8} {:9.3f} ms {:10.1f} {:8} {}\n", c["name"].get<std::string>(), c["state"].get<std::string>(),
             c.value("median_ms", 0.0), c.value("value", 0.0), c["unit"].get<std::string>(),
             c.value("note", std::string()));
  std::fflush(stdout);
}

// True if the case was right.
bool run_case(GpuBench& bench, const Case& c, double deadline, Json& out) {
  Json found = {{"name", c.name}, {"unit", c.unit}, {"state", "not reached"}};
  if (seconds_now() < deadline) found = describe(c, c.run(bench));
  const bool right = found["state"] == "ok";
  print_case(found);
  out["cases"].push_back(std::move(found));
  return right;
}

// True if all cases were right.
bool run_cases(Device& device, const Arguments& arguments, double deadline, Json& out) {
  GpuBench bench(device, arguments.tiny);
  bool all_right = true;
  for (const auto make : {matmul_cases, attention_cases, row_cases}) {
    for (const Case& c : make(arguments.tiny)) {
      if (!c.name.starts_with(arguments.only)) continue;
      if (!arguments.fp8 && c.name.starts_with(kFp8Matmul)) continue;
      all_right &= run_case(bench, c, deadline, out);
    }
  }
  return all_right;
}

// On a chip with warpgroups: also the kernels that it does not use.
bool run_attention_by_warps(Device& device, const Arguments& arguments, double deadline, Json& out) {
  GpuBench bench(device, arguments.tiny);
  bool all_right = true;
  for (Case c : attention_cases(arguments.tiny)) {
    const bool differs = c.name.starts_with("attention/") || c.name.starts_with("column_sums/");
    if (!differs || !c.name.starts_with(arguments.only)) continue;
    c.name = "by_warps/" + c.name;
    all_right &= run_case(bench, c, deadline, out);
  }
  return all_right;
}

Status measure_peaks(const Arguments& arguments, Json& out) {
  TRY_ASSIGN(const GpuPeaks peaks, measure_gpu_peaks(arguments.device));
  for (const auto& [name, value] : peaks.values) {
    out["peaks"][name] = value;
    fmt::print("{:44} {:10.1f}\n", name, value);
  }
  if (!peaks.dense_by.empty()) out["peaks"]["dense_by"] = peaks.dense_by;
  return {};
}

Result<bool> run(Arguments arguments, Json& out) {
  const double deadline = seconds_now() + arguments.seconds;
  ThreadPool pool(int(std::thread::hardware_concurrency()));
  MemoryAccount host;
  if (arguments.cpu) {
    const auto device = make_cpu_device(best_isa(), pool, host);
    return run_cases(*device, arguments, deadline, out);
  }
  TRY(measure_peaks(arguments, out));
  auto opened = open_cuda_device(arguments.device, {.fp8 = true});
  if (opened.status().code == Code::kUnavailable) {
    fmt::print("no FP8 products: {}\n", opened.status().message);
    arguments.fp8 = false;
    opened = open_cuda_device(arguments.device, {});
  }
  TRY_ASSIGN(auto device, std::move(opened));
  out["device"] = device->name(), out["attention"] = device->attention();
  const bool right = run_cases(*device, arguments, deadline, out);
  if (!std::string_view(device->attention()).starts_with("warpgroups")) return right;
  device.reset();  // frees the arena for the next device
  TRY_ASSIGN(device, open_cuda_device(arguments.device, {.warpgroups = false}));
  return run_attention_by_warps(*device, arguments, deadline, out) && right;
}

}  // namespace
}  // namespace reform::bench

int main(int argc, char** argv) {
  using namespace reform::bench;
  Arguments arguments;
  CLI::App app("Every op on a GPU, beside what the chip reaches at best");
  app.add_option("--device", arguments.device, "which GPU, as CUDA counts");
  app.add_option("--json", arguments.json, "write the result to this file, too");
  app.add_option("--seconds", arguments.seconds, "begin no case after so long");
  app.add_option("--only", arguments.only, "only cases whose names begin so");
  app.add_flag("--tiny", arguments.tiny, "small shapes, once each");
  app.add_flag("--cpu", arguments.cpu, "on the CPU's device");
  CLI11_PARSE(app, argc, argv);
  Json out = {{"cases", Json::array()}, {"peaks", Json::object()}};
  const auto all_right = run(arguments, out);
  if (!all_right.ok()) {
    fmt::print(stderr, "bench_gpu: {}\n", all_right.status().message);
    return 1;
  }
  if (!arguments.json.empty()) {
    std::ofstream file(arguments.json);
    file << out.dump(1) << '\n';
    if (!file.flush()) {
      fmt::print(stderr, "bench_gpu: {} cannot be written\n", arguments.json);
      return 1;
    }
  }
  return all_right.value() ? 0 : 1;
}
