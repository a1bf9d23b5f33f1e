#include "kernels/cuda/step_graph.h"

namespace reform {

StepGraph::~StepGraph() {
  if (made_ != nullptr) cudaGraphExecDestroy(made_);
}

bool StepGraph::update(cudaGraph_t graph) {
  cudaGraphExecUpdateResultInfo info{};
  if (made_ != nullptr && cudaGraphExecUpdate(made_, graph, &info) == cudaSuccess) return true;
  (void)cudaGetLastError();  // the kernels differ from before, so they need a graph of their own
  if (made_ != nullptr) cudaGraphExecDestroy(made_);
  made_ = nullptr;
  ++n_made_;
  return cudaGraphInstantiate(&made_, graph, 0) == cudaSuccess;
}

// True if made_ is now the step that issue() asks for. A step whose recording was cancelled must not run.
bool StepGraph::record(cudaStream_t stream, const std::function<Status()>& issue, Status& issued) {
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) return false;
  issued = issue();
  cudaGraph_t graph = nullptr;
  // A refused launch is missing from the graph, though the graph looks complete.
  const bool launched = cudaGetLastError() == cudaSuccess;
  const bool recorded = cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph != nullptr && launched;
  const bool made = recorded && issued.ok() && update(graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  return made;
}

Status StepGraph::prepare(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue) {
  if (refused_) return {};
  Status issued;
  const bool ready = record(stream, issue, issued) && cudaGraphUpload(made_, stream) == cudaSuccess;
  ops.forget();  // nothing has run
  (void)cudaGetLastError();
  refused_ = !ready && issued.ok();
  return issued;
}

Status StepGraph::run(cudaStream_t stream, Ops& ops, const std::function<Status()>& issue) {
  if (refused_) return issue();
  Status issued;
  if (record(stream, issue, issued) && cudaGraphLaunch(made_, stream) == cudaSuccess) return {};
  ops.forget();
  if (!issued.ok()) return issued;
  (void)cudaGetLastError();
  refused_ = true;
  return issue();
}

}  // namespace reform
