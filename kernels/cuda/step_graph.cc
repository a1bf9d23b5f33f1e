#include "kernels/cuda/step_graph.h"

namespace reform {

StepGraph::~StepGraph() {
  if (made_ != nullptr) cudaGraphExecDestroy(made_);
}

bool StepGraph::update(cudaGraph_t graph) {
  cudaGraphExecUpdateResultInfo info{};
  if (made_ != nullptr && cudaGraphExecUpdate(made_, graph, &info) == cudaSuccess) return true;
  (void)cudaGetLastError();  // other kernels than before: a graph of its own
  if (made_ != nullptr) cudaGraphExecDestroy(made_);
  made_ = nullptr;
  return cudaGraphInstantiate(&made_, graph, 0) == cudaSuccess;
}

Status StepGraph::run(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue) {
  if (refused_ || cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    if (!refused_) (void)cudaGetLastError();
    refused_ = true;
    return issue();
  }
  const Status issued = issue();
  cudaGraph_t graph = nullptr;
  bool launched = cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph != nullptr;
  // What was recorded before a cancel is not to be run.
  if (launched && issued.ok()) launched = update(graph) && cudaGraphLaunch(made_, stream) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (launched && issued.ok()) return {};
  ops.forget();
  if (!issued.ok()) return issued;
  (void)cudaGetLastError();
  refused_ = true;
  return issue();
}

}  // namespace reform
