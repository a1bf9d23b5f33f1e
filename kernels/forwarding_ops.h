// Ops that pass every call on to other ops. The devices of tests and benches derive from them. They override the ops
// they change, or the hooks that all ops share, and so need not name any op. A new op is one line here.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "kernels/ops.h"

namespace reform {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(std::unique_ptr<Ops> inner) : inner_(std::move(inner)) {}
  const char* name() const override { return inner_->name(); }
  void forget() override { inner_->forget(); }

  void embed(const Weight& table, HostSpan<const int32_t> ids, float scale, MatView<float> out) override {
    pass(&Ops::embed, table, ids, scale, out);
  }
  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    pass(&Ops::rms_norm, x, weight, eps, out);
  }
  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    pass(&Ops::matmul, w, x, bias, accumulate, y);
  }
  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    pass(&Ops::gated_activation, act, gate, up);
  }
  void add(MatView<float> x, MatView<const float> y) override { pass(&Ops::add, x, y); }
  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    pass(&Ops::rope, rope, first_slot, head_dim, x);
  }
  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    pass(&Ops::store_kv, k, v, first_slot, kv);
  }
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    pass(&Ops::attention, args, out, lse);
  }
  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, HostSpan<const int32_t> query_rows,
                             HostSpan<const float> query_weights, std::span<float> column_sums) override {
    pass(&Ops::attention_column_sums, args, lse, query_rows, query_weights, column_sums);
  }
  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    pass(&Ops::choose_slots, kept, kv_len, scores, keep);
  }
  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override { pass(&Ops::compact_kv, kv, keep); }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    pass(&Ops::compact_scores, scores, keep);
  }
  void scale(std::span<float> x, float factor) override { pass(&Ops::scale, x, factor); }
  void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores,
                      std::span<int32_t> keep) override {
    pass(&Ops::choose_cascade, cascade, kv_len, scores, keep);
  }
  void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
                std::span<float> bias) override {
    pass(&Ops::merge_kv, kv, has_merged, singles, weights, bias);
  }
  void normalise_quantise(MatView<const float> x, std::span<const float> centre, MatView<int8_t> q,
                          MatView<float> scales) override {
    pass(&Ops::normalise_quantise, x, centre, q, scales);
  }
  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    pass(&Ops::score, stored, query, scores);
  }
  void best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query, HostSpan<const int32_t> segment_ends,
                    std::span<float> best) override {
    pass(&Ops::best_cosines, stored, query, segment_ends, best);
  }
  void argmax(std::span<const float> logits, int32_t* id) override { pass(&Ops::argmax, logits, id); }
  void draw(std::span<const float> logits, const Draw& draw, int32_t* id) override {
    pass(&Ops::draw, logits, draw, id);
  }

 protected:
  Ops& inner() { return *inner_; }
  virtual void begin() {}  // called before each op
  virtual void end() {}    // called after each op
  // Called for device memory that the op reads and, unless is_const, writes; data is not null. Returns where the inner
  // op finds it.
  virtual void* operand(void* data, int64_t /*bytes*/, bool /*is_const*/) { return data; }

 private:
  template <class... Params>
  void pass(void (Ops::*op)(Params...), const std::type_identity_t<Params>&... args) {
    begin();
    ((*inner_).*op)(placed(args)...);
    end();
  }

  template <class T>
  T* placed(T* data, int64_t n_elems) {
    if (data == nullptr) return nullptr;
    using Elem = std::remove_const_t<T>;
    return static_cast<T*>(operand(const_cast<Elem*>(data), n_elems * int64_t(sizeof(T)), std::is_const_v<T>));
  }
  // Numbers, and what the host has. An op with a view of another type does not compile until its memory is named here.
  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) T placed(T number) { return number; }
  template <class T>
  HostSpan<T> placed(const HostSpan<T>& host) {
    return host;
  }
  const Rope& placed(const Rope& host) { return host; }
  const KeptSlots& placed(const KeptSlots& numbers) { return numbers; }
  const Draw& placed(const Draw& numbers) { return numbers; }
  const Cascade& placed(const Cascade& numbers) { return numbers; }
  int32_t* placed(int32_t* const& id) { return placed(id, 1); }
  template <class T>
  MatView<T> placed(const MatView<T>& m) {
    return {placed(m.data, m.rows > 0 ? (m.rows - 1) * m.stride_elems + m.cols : 0), m.rows, m.cols, m.stride_elems};
  }
  template <class T>
  std::span<T> placed(const std::span<T>& s) {
    return {placed(s.data(), int64_t(s.size())), s.size()};
  }
  Weight placed(const Weight& w) {
    Weight to = w;
    to.data = placed(static_cast<const std::byte*>(w.data), w.rows * row_bytes(w.type, w.cols));
    return to;
  }
  template <class Byte>
  KvView placed_cache(KvView kv) {
    const int64_t bytes = kv.n_kv_heads * kv.capacity * kv.head_dim * elem_bytes(kv.type);
    kv.k = const_cast<std::byte*>(placed(static_cast<Byte*>(kv.k), bytes));
    kv.v = const_cast<std::byte*>(placed(static_cast<Byte*>(kv.v), bytes));
    return kv;
  }
  KvView placed(const KvView& kv) { return placed_cache<std::byte>(kv); }
  AttentionArgs placed(const AttentionArgs& args) {  // reads the cache
    AttentionArgs to = args;
    to.q = placed(args.q), to.kv = placed_cache<const std::byte>(args.kv), to.slot_bias = placed(args.slot_bias);
    return to;
  }
  EmbeddingRows placed(const EmbeddingRows& e) {
    const int64_t n_scales = e.n_rows * e.n_heads;
    return {placed(e.values, n_scales * e.head_dim), placed(e.scales, n_scales), e.n_rows, e.n_heads, e.head_dim};
  }

  const std::unique_ptr<Ops> inner_;
};

}  // namespace reform
