// Capture and graphs: lists of kernels in the order of one stream.
#include "tests/kernels/cuda/fake_runtime/fake_impl.h"

using namespace reform::test;

namespace {

using Impl = FakeCuda::Impl;

template <class T>
cudaError_t destroyed(Owned<T>& all, T* one, Impl& fake, const char* what) {
  if (!fake.knows(all, one, what)) return cudaErrorInvalidResourceHandle;
  all.erase(one);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return answer("cudaStreamBeginCapture", [&](Impl& fake) {
    if (!fake.knows(fake.streams, stream, "a stream")) return cudaErrorInvalidResourceHandle;
    if (stream->is_capturing) return cudaErrorInvalidValue;
    stream->is_capturing = true, stream->is_invalidated = false;
    stream->capturing_thread = std::this_thread::get_id();
    stream->nodes.clear();
    return cudaSuccess;
  });
}

// Ends the capture in any case. Without a graph if the capture has become invalid.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const cudaError_t error = answer(
      "cudaStreamEndCapture",
      [&](Impl& fake) {
        if (!fake.knows(fake.streams, stream, "a stream")) return cudaErrorInvalidResourceHandle;
        if (!stream->is_capturing || stream->capturing_thread != std::this_thread::get_id()) {
          fake.complain("a capture is ended that this thread has not begun");
          return cudaErrorInvalidValue;
        }
        stream->is_capturing = false;
        if (stream->is_invalidated) return cudaErrorStreamCaptureInvalidated;
        auto made = std::make_unique<CUgraph_st>();
        made->nodes = std::move(stream->nodes);
        *graph = made.get();
        fake.graphs[made.get()] = std::move(made);
        return cudaSuccess;
      },
      /*gives_back=*/true);
  if (error != cudaSuccess && *graph != nullptr) {
    FakeCuda::installed()->impl().graphs.erase(*graph);
    *graph = nullptr;
  }
  return error;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return answer(
      "cudaGraphDestroy", [&](Impl& fake) { return destroyed(fake.graphs, graph, fake, "a graph"); },
      /*gives_back=*/true);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  return answer("cudaGraphInstantiate", [&](Impl& fake) {
    if (!fake.knows(fake.graphs, graph, "a graph")) return cudaErrorInvalidResourceHandle;
    auto exec = std::make_unique<CUgraphExec_st>();
    exec->nodes = graph->nodes;
    *made = exec.get();
    fake.execs[exec.get()] = std::move(exec);
    return cudaSuccess;
  });
}

// CUDA Runtime API, cudaGraphExecUpdate: the graph must be the same except for its nodes' parameters. CUDA lets a
// kernel's function change under conditions that we do not meet, so here it may not.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t made, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  return answer("cudaGraphExecUpdate", [&](Impl& fake) {
    if (!fake.knows(fake.execs, made, "an executable graph") || !fake.knows(fake.graphs, graph, "a graph"))
      return cudaErrorInvalidResourceHandle;
    bool same = made->nodes.size() == graph->nodes.size();
    for (size_t i = 0; same && i < made->nodes.size(); ++i) same = made->nodes[i].function == graph->nodes[i].function;
    info->result = same ? 0 : 1;
    if (!same) return cudaErrorGraphExecUpdateFailure;
    made->nodes = graph->nodes;
    return cudaSuccess;
  });
}

// A graph that is under way is freed when it is done.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t made) {
  return answer(
      "cudaGraphExecDestroy", [&](Impl& fake) { return destroyed(fake.execs, made, fake, "an executable graph"); },
      /*gives_back=*/true);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t made, cudaStream_t stream) {
  return answer("cudaGraphUpload", [&](Impl& fake) {
    const bool known =
        fake.knows(fake.execs, made, "an executable graph") && fake.knows(fake.streams, stream, "a stream");
    return known ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t made, cudaStream_t stream) {
  return answer("cudaGraphLaunch", [&](Impl& fake) {
    if (!fake.knows(fake.execs, made, "an executable graph")) return cudaErrorInvalidResourceHandle;
    std::vector<Item> items;
    for (const Node& node : made->nodes)
      items.push_back({.run = node.run, .kernel = node.is_kernel ? node.function : nullptr});
    ++fake.n_graph_launches;
    return fake.issue(stream, {}, std::move(items));
  });
}
