// A step's kernels as one CUDA graph. Less time passes between its kernels than between kernels launched one by one.
#pragma once

#include <cuda_runtime_api.h>
#include <reform/status.h>

#include <functional>

#include "kernels/ops.h"

namespace reform {

// Every step is recorded. If its kernels are those of the last graph, only their arguments change; otherwise the graph
// is made anew. Once the driver has refused any of this, steps are launched kernel by kernel.
class StepGraph {
 public:
  StepGraph() = default;
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;
  ~StepGraph();

  // Device::prepare_step() and Device::run_step(), on the stream.
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
