// A step's kernels as one CUDA graph, which is launched with less to do between kernels than one by one.
#pragma once

#include <cuda_runtime_api.h>
#include <reform/status.h>

#include <functional>

#include "kernels/ops.h"

namespace reform {

// The first step makes the graph; the next ones are recorded again and only its kernels' arguments are changed, as long
// as the kernels are the same. Where the driver refuses any of it, steps are issued as they are from then on.
class StepGraph {
 public:
  StepGraph() = default;
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;
  ~StepGraph();

  // Device::run_step() on the stream.
  Status run(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue);
  bool refused() const { return refused_; }

 private:
  bool update(cudaGraph_t graph);

  cudaGraphExec_t made_ = nullptr;
  bool refused_ = false;
};

}  // namespace reform
