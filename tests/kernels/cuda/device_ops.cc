#include "tests/kernels/cuda/device_ops.h"

#include "base/try.h"
#include "tests/support/gpu.h"

#ifndef REFORM_CUDA

namespace reform::test {

std::unique_ptr<Ops> device_ops(const OpLimits&, const CudaOptions&) {
  CHECK(!gpu_needed());
  return nullptr;
}

}  // namespace reform::test

#else

#include <cuda_runtime_api.h>

#include <cstdio>
#include <vector>

namespace reform::test {
namespace {

void must(cudaError_t error) {
  if (error != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
  CHECK(error == cudaSuccess);
}

class DeviceMemory {
 public:
  explicit DeviceMemory(int64_t bytes) { must(cudaMalloc(&data_, size_t(std::max<int64_t>(bytes, 256)))); }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_ = nullptr;
};

// What one op touches: host ranges and where they lie on the device, copied back when the op is done.
class Staging {
 public:
  template <class T>
  T* in(T* host, int64_t n_elems) {
    if (host == nullptr || n_elems <= 0) return nullptr;
    const int64_t bytes = n_elems * int64_t(sizeof(T));
    pieces_.push_back(
        {const_cast<std::remove_const_t<T>*>(host), bytes, std::is_const_v<T>, std::make_unique<DeviceMemory>(bytes)});
    Piece& p = pieces_.back();
    must(cudaMemcpy(p.memory->data(), p.host, size_t(bytes), cudaMemcpyHostToDevice));
    return reinterpret_cast<T*>(p.memory->data());
  }
  template <class T>
  MatView<T> in(const MatView<T>& m) {
    return {in(m.data, m.rows > 0 ? (m.rows - 1) * m.stride_elems + m.cols : 0), m.rows, m.cols, m.stride_elems};
  }
  template <class T>
  std::span<T> in(std::span<T> s) {
    return {in(s.data(), int64_t(s.size())), s.size()};
  }
  Weight in(Weight w) {
    w.data = in(static_cast<const std::byte*>(w.data), w.rows * row_bytes(w.type, w.cols));
    return w;
  }
  KvView in(KvView kv, bool is_const) {
    const int64_t bytes = kv.n_kv_heads * kv.capacity * kv.head_dim * (kv.type == KvView::Type::kF32 ? 4 : 2);
    for (void** side : {&kv.k, &kv.v}) {
      auto* host = static_cast<std::byte*>(*side);
      *side = is_const ? const_cast<std::byte*>(in(static_cast<const std::byte*>(host), bytes)) : in(host, bytes);
    }
    return kv;
  }
  EmbeddingRows in(EmbeddingRows e) {
    e.values = in(e.values, e.n_rows * e.n_heads * e.head_dim);
    e.scales = in(e.scales, e.n_rows * e.n_heads);
    return e;
  }
  ~Staging() {
    must(cudaGetLastError());  // a launch that the chip refused; the next call would not say so
    must(cudaDeviceSynchronize());
    for (const Piece& p : pieces_) {
      if (!p.is_const) must(cudaMemcpy(p.host, p.memory->data(), size_t(p.bytes), cudaMemcpyDeviceToHost));
    }
  }

 private:
  struct Piece {
    void* host;
    int64_t bytes;
    bool is_const;
    std::unique_ptr<DeviceMemory> memory;
  };
  std::vector<Piece> pieces_;
};

class StagedOps final : public Ops {
 public:
  StagedOps(const OpLimits& limits, const CudaOptions& options) : workspace_(cuda_workspace_bytes(limits)) {
    const auto bytes = size_t(cuda_workspace_bytes(limits));
    must(cudaMemset(workspace_.data(), 0xff, bytes));  // scratch is never assumed to be zero
    ops_ = make_cuda_ops(limits, nullptr, {workspace_.data(), bytes}, options);
  }
  const char* name() const override { return ops_->name(); }
  void embed(const Weight& table, std::span<const int32_t> ids, float scale, MatView<float> out) override {
    Staging s;
    ops_->embed(s.in(table), ids, scale, s.in(out));
  }
  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    Staging s;
    const MatView<float> y = s.in(out);
    ops_->rms_norm(x.data == out.data ? MatView<const float>(y) : s.in(x), s.in(weight), eps, y);
  }
  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    Staging s;
    ops_->matmul(s.in(w), s.in(x), s.in(bias), accumulate, s.in(y));
  }
  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    Staging s;
    ops_->gated_activation(act, s.in(gate), s.in(up));
  }
  void add(MatView<float> x, MatView<const float> y) override {
    Staging s;
    ops_->add(s.in(x), s.in(y));
  }
  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    Staging s;
    ops_->rope(rope, first_slot, head_dim, s.in(x));
  }
  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    Staging s;
    ops_->store_kv(s.in(k), s.in(v), first_slot, s.in(kv, false));
  }
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    Staging s;
    ops_->attention(staged(s, args), s.in(out), s.in(lse));
  }
  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                             std::span<const float> query_weights, std::span<float> column_sums) override {
    Staging s;
    ops_->attention_column_sums(staged(s, args), s.in(lse), query_rows, query_weights, s.in(column_sums));
  }
  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    Staging s;
    ops_->compact_kv(s.in(kv, false), s.in(keep));
  }
  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    Staging s;
    ops_->choose_slots(kept, kv_len, s.in(scores), s.in(keep));
  }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    Staging s;
    ops_->compact_scores(s.in(scores), s.in(keep));
  }
  void normalise_quantise(MatView<const float> x, std::span<const float> centre, int8_t* q_out, int64_t q_stride,
                          float* scales_out, int64_t scale_stride) override {
    Staging s;
    const int64_t last = x.rows - 1;
    ops_->normalise_quantise(s.in(x), s.in(centre), s.in(q_out, last * q_stride + x.cols), q_stride,
                             s.in(scales_out, last * scale_stride + 1), scale_stride);
  }
  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    Staging s;
    ops_->score(s.in(stored), s.in(query), s.in(scores));
  }
  void argmax(std::span<const float> logits, int32_t* id) override {
    Staging s;
    ops_->argmax(s.in(logits), s.in(id, 1));
  }
  void draw(std::span<const float> logits, const Draw& draw, int32_t* id) override {
    Staging s;
    ops_->draw(s.in(logits), draw, s.in(id, 1));
  }

 private:
  static AttentionArgs staged(Staging& s, AttentionArgs args) {
    args.q = s.in(args.q);
    args.kv = s.in(args.kv, true);
    return args;
  }
  DeviceMemory workspace_;
  std::unique_ptr<Ops> ops_;
};

}  // namespace

bool chip_has_warpgroups() {
#ifdef REFORM_CUDA_90A
  cudaDeviceProp chip;
  return cudaGetDeviceProperties(&chip, 0) == cudaSuccess && chip.major == 9 && chip.minor == 0;
#else
  return false;  // none are built in
#endif
}

std::unique_ptr<Ops> device_ops(const OpLimits& limits, const CudaOptions& options) {
  int n_devices = 0;
  if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
    CHECK(!gpu_needed());
    return nullptr;
  }
  if (options.warpgroups && !chip_has_warpgroups()) return nullptr;
  return std::make_unique<StagedOps>(limits, options);
}

}  // namespace reform::test

#endif
