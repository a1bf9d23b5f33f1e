// A step's kernels as one CUDA graph, which is launched with less to do between kernels than one by one.
#pragma once

#include <cuda_runtime_api.h>
#include <reform/status.h>

#include <functional>

#include "kernels/ops.h"

namespace reform {

// A step is recorded each time, and only the arguments of the graph's kernels are changed as long as they are the same
// kernels; else the graph is made anew. Where the driver refuses any of it, steps are issued as they are from then on.
class StepGraph {
 public:
  StepGraph() = default;
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;
  ~StepGraph();

  // Device::prepare_step() and run_step() on the stream.
  Status prepare(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue);
  Status run(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue);
  bool refused() const { return refused_; }
  int n_made() const { return n_made_; }

 private:
  bool record(cudaStream_t stream, const std::function<Status()>& issue, Status& issued);
  bool update(cudaGraph_t graph);

  cudaGraphExec_t made_ = nullptr;
  int n_made_ = 0;
  bool refused_ = false;
};

}  // namespace reform
