// Every operation that the transformer and the method are made of, with its shapes. Each device implements this one
// interface, and the forward (runtime/model/transformer.cc) is written once over it.
//
// Letters, everywhere: n_tokens rows of the call, d_model, d_ff, n_heads query heads, n_kv_heads key/value heads,
// head_dim, kv_len slots of the cache in use, n_vocab. Activations are FP32, row-major.
// The model loader has checked every shape, so a wrong one here is a bug. Some ops CHECK it, most do not.
// Implementations: kernels/reference (the definition: scalar, sums in double), kernels/cpu (SIMD, threads),
// kernels/cuda. Except for the reference and draw() on the host, no op allocates; its scratch is the workspace given at
// creation. What tests and benches put around ops derives from kernels/forwarding_ops.h.
// Thread-safety: one call at a time per Ops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/quant_type.h"
#include "base/views.h"

namespace reform {

class ThreadPool;

// Memory of the host, on every device. Everything else that ops read and write is the device's memory
// (kernels/device.h), except a Rope's frequencies, which are the host's.
template <class T>
struct HostSpan : std::span<T> {
  using std::span<T>::span;
  HostSpan(std::span<T> s) : std::span<T>(s) {}
};

// A matrix [rows, cols] as the GGUF stores it: rows of quantised blocks, contiguous.
struct Weight {
  QuantType type = QuantType::kF32;
  int64_t rows = 0;  // outputs
  int64_t cols = 0;  // inputs
  const void* data = nullptr;
  // The number of a model's matrix, wherever its bytes lie. A device may keep what it finds out about the matrix under
  // this number. < 0: none.
  int32_t id = -1;
};

// Rotary position embedding. The angle of pair i at slot p is p * inv_freq[i]; cos and sin are scaled by `magnitude`.
struct Rope {
  enum class Pairing : uint8_t {
    kAdjacent,  // (x[2i], x[2i+1]): llama-family GGUFs, whose Q and K rows are permuted for it
    kHalves,    // (x[i], x[i + n/2]): qwen, gemma
  };
  Pairing pairing = Pairing::kHalves;
  std::span<const float> inv_freq;  // [rotary_dim / 2]; dimensions past rotary_dim stay as they are
  float magnitude = 1.0f;
};

// One layer's cache. k and v are [n_kv_heads, capacity, head_dim]; slots [0, kv_len) are in use. A slot is a position:
// eviction compacts, so positions stay contiguous.
struct KvView {
  enum class Type : uint8_t { kF32, kF16 };
  Type type = Type::kF16;
  void* k = nullptr;
  void* v = nullptr;
  int64_t n_kv_heads = 0, head_dim = 0, capacity = 0, kv_len = 0;
};
inline int64_t elem_bytes(KvView::Type type) { return type == KvView::Type::kF32 ? 4 : 2; }

struct AttentionArgs {
  // q [n_tokens, n_heads * head_dim], already rotated. Row t sits at slot kv_len - n_tokens + t and sees slots up to
  // its own (the step's own keys are already in the cache).
  MatView<const float> q;
  KvView kv;
  // Null when the cache holds rotated keys (recompute, decode). Otherwise (compress) the cached keys are not rotated;
  // slot s's key is rotated by s when it is read, so that reassigning positions is free.
  const Rope* key_rope = nullptr;
  float scale = 1.0f;  // of the logits, usually 1 / sqrt(head_dim)
  int64_t window = 0;  // > 0: a query sees only the last `window` slots, its own included (gemma's local layers)
  // Slots [0, known_slots) have not changed since the last attention or column sums over this cache with this key_rope.
  // A device may reuse what it then made of them.
  int64_t known_slots = 0;
  // Added to the logits of the first `cols` slots, in natural units: [n_kv_heads or 1, cols], cols <= kv_len. Null:
  // none. A slot that stands for w tokens has log w (ZSMerge). A device may have no form of it (Device::has_every_op).
  MatView<const float> slot_bias = {};
};

// How a token is drawn from logits. top_k (0: all) keeps the best. Of these, top_p keeps the fewest best whose
// probabilities reach that share of the sum. Of these, min_p keeps those that are at least that many times as likely as
// the best. One of the rest is drawn by its probability at the temperature.
struct Draw {
  int64_t top_k = 0;
  double top_p = 1, min_p = 0;
  double temperature = 1;  // > 0
  double uniform = 0;      // in [0, 1): the point in the running sum of the probabilities, ids ascending
};

// Which slots of a cache are kept when it shrinks to total() of them.
struct KeptSlots {
  int64_t first = 0;     // the oldest
  int64_t heaviest = 0;  // the highest scores between the first and the last; of equal ones the earlier
  int64_t last = 0;      // the newest

  int64_t total() const { return first + heaviest + last; }
};

// The slots of a Cascading KV Cache (arXiv 2406.17808): sinks, then n_rings rings from the oldest to the newest, which
// is ring 0. All are full. They have the same size, but ring 0 also has what is left over.
struct Cascade {
  int64_t sinks = 0;    // slots before the rings
  int64_t n_rings = 0;  // each with at least one slot
  int64_t n_seen = 0;   // tokens so far, with those that are still to be inserted
};

enum class Activation : uint8_t { kSilu, kGeluTanh };

class Ops {
 public:
  virtual ~Ops() = default;
  virtual const char* name() const = 0;  // as name(Isa)

  // out[t, :] = scale * table[ids[t], :]. Ids are in range.
  virtual void embed(const Weight& table, HostSpan<const int32_t> ids, float scale, MatView<float> out) = 0;

  // out[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + eps) * weight. It may work in place. For a per-head norm pass the
  // heads as rows.
  virtual void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) = 0;

  // y[t, r] = sum_c x[t, c] * w[r, c] + bias[r]; bias may be empty. accumulate: y += instead.
  virtual void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
                      MatView<float> y) = 0;

  // gate[t, i] = act(gate[t, i]) * up[t, i].
  virtual void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) = 0;

  // x += y.
  virtual void add(MatView<float> x, MatView<const float> y) = 0;

  // Rotates x [n_tokens, n_heads * head_dim] in place; row t sits at slot first_slot + t.
  virtual void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) = 0;

  // Writes k, v [n_tokens, n_kv_heads * head_dim] to slots [first_slot, first_slot + n_tokens) < capacity.
  virtual void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) = 0;

  // out[t, h * head_dim ...] = softmax(scale * q . K) V; query head h reads KV head h / (n_heads / n_kv_heads). If lse
  // has data, it is [n_heads, n_tokens]: the natural log of each row's softmax denominator (logits included).
  virtual void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) = 0;

  // column_sums[slot] += mean over heads of sum over the chosen queries of weight * attention probability, for all
  // kv_len slots (H2O's accumulated attention, arXiv 2306.14048). query_rows are rows of args.q, ascending; lse is as
  // attention() gave it. The caller decides how to sample queries.
  virtual void attention_column_sums(const AttentionArgs& args, MatView<const float> lse,
                                     HostSpan<const int32_t> query_rows, HostSpan<const float> query_weights,
                                     std::span<float> column_sums) = 0;

  // keep [kept.total()] = the slots of kv_len that are kept, ascending; kept.total() <= kv_len. scores [kv_len] may be
  // empty if no slot is kept for its score. A NaN ranks below every number.
  virtual void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                            std::span<int32_t> keep) = 0;

  // Moves slots keep[0] < keep[1] < ... to 0, 1, ...; the caller shortens kv_len.
  virtual void compact_kv(const KvView& kv, std::span<const int32_t> keep) = 0;
  // Moves the slots' scores likewise; those after them become zero.
  virtual void compact_scores(std::span<float> scores, std::span<const int32_t> keep) = 0;

  // x *= factor.
  virtual void scale(std::span<float> x, float factor) = 0;

  // keep = the slots that are left, ascending. The first keep.size() slots are the cascade, and those after them, up to
  // kv_len, are inserted one by one. A slot goes into ring 0. A ring that accepts gives its oldest slot to the next
  // ring, and the last ring's is dropped. In a ring that does not accept, the slot takes the place of the newest if its
  // score is not lower; one of the two is dropped, and no ring behind it changes. Ring i accepts if the number of the
  // token that is inserted, counted from 0 behind the sinks, is a multiple of 2^i or not above the slots of all rings.
  virtual void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores,
                              std::span<int32_t> keep) = 0;

  // Shrinks the cache of one KV head (kv.n_kv_heads is 1) to weights.size() merged slots, at most kv_len / 2, and
  // behind them the slots `singles`, ascending (ZSMerge, arXiv 2503.10714). A merged slot's key and value are the means
  // over its tokens, weights[i] is their number, and bias[i] its logarithm. has_merged: the cache begins with the
  // merged slots, and singles are counted from behind them. Each other slot joins the merged slot whose key, as it was
  // before, has the largest dot product with its own; of equal ones the earlier. Otherwise the slots that are not in
  // `singles`, at least one for each merged slot, are cut in runs of neighbours, the first of them longer by one, and
  // each run becomes a merged slot.
  virtual void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
                        std::span<float> bias) = 0;

  // For each row of x [n_tokens, head_dim] (any stride): subtracts the centre if there is one, L2-normalises, and
  // quantises to INT8 with one scale: value = scale * q, |q| <= 127, scale = max|value| / 127. A zero row gives zeros
  // and scale 0. q [n_tokens, head_dim] and scales [n_tokens, 1] may have any strides.
  virtual void normalise_quantise(MatView<const float> x, std::span<const float> centre, MatView<int8_t> q,
                                  MatView<float> scales) = 0;

  // scores[i] = max over query rows of mean over heads of scale_i * scale_t * (stored_i . query_t) per head.
  // stored [n_rows, n_heads * head_dim] INT8 with scales [n_rows, n_heads]; query likewise [n_query, ...].
  virtual void score(const struct EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) = 0;

  // best[s, h, t] = max over the stored rows i of segment s of scale_i * scale_t * (stored_i . query_t) of head h. With
  // normalised rows it is the largest cosine: what late interaction (ColBERT, arXiv 2004.12832) sums over query rows.
  // Segment s is the rows [segment_ends[s - 1], segment_ends[s]), the first from row 0 on. None is empty, and the last
  // ends at stored.n_rows. Scales are >= 0. best [n_segments, n_heads, n_query], contiguous.
  virtual void best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query,
                            HostSpan<const int32_t> segment_ends, std::span<float> best) = 0;

  // id[0] = the index of the largest logit, the first of equal ones. NaN never wins. 0 if none is above -infinity.
  // Defined here for ops on the host's memory.
  virtual void argmax(std::span<const float> logits, int32_t* id);
  // id[0] = a drawn token. Of equal logits the first counts as better. If the largest is infinite or none is a number,
  // it is argmax. Defined here for ops on the host's memory; it allocates.
  virtual void draw(std::span<const float> logits, const Draw& draw, int32_t* id);

  // The calls so far may have been recorded and dropped without running. The ops must not use what these calls should
  // have left in scratch.
  virtual void forget() {}
};

// INT8 embedding rows: n_heads normalised head states of head_dim each, one scale per head.
struct EmbeddingRows {
  const int8_t* values = nullptr;  // [n_rows, n_heads * head_dim]
  const float* scales = nullptr;   // [n_rows, n_heads]
  int64_t n_rows = 0, n_heads = 0, head_dim = 0;
};

// The largest call that will be made; fixes the workspace.
struct OpLimits {
  int64_t max_tokens = 0;  // rows of one call
  int64_t max_cols = 0;    // largest matmul input width
  int64_t max_kv_len = 0;
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t max_block_tokens = 0;  // rows of one matmul or attention, if fewer than max_tokens; 0: max_tokens
  // > 0: products of many rows may round their factors to FP8 (e4m3), for weights whose id is below this.
  int64_t code_weights = 0;

  int64_t block_tokens() const { return max_block_tokens > 0 ? max_block_tokens : max_tokens; }
};

// kAvx512: F, BW, VL, DQ and VNNI. kAmx: besides, AVX512_BF16, AMX-TILE and AMX-BF16, for attention over many rows.
enum class Isa : uint8_t { kRef, kPortable, kAvx2, kAvx512, kAmx };
constexpr Isa kIsas[] = {Isa::kRef, Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAmx};  // the best one last

const char* name(Isa isa);
Isa best_isa();  // the best that this machine runs
bool isa_supported(Isa isa);

// The bytes that make_cpu_ops() wants as workspace. The reference needs none.
int64_t cpu_workspace_bytes(Isa isa, const OpLimits& limits, int n_threads);
// workspace: 64-byte aligned, at least cpu_workspace_bytes(). It and the pool must outlive the Ops.
std::unique_ptr<Ops> make_cpu_ops(Isa isa, const OpLimits& limits, ThreadPool& pool, std::span<std::byte> workspace);
// The definition of every op; exact conversions, sums in double, one thread.
std::unique_ptr<Ops> make_reference_ops();

// Dequantises n_elems (a whole number of blocks) exactly, bit for bit as the format's definition says.
void dequantise(QuantType type, const void* blocks, int64_t n_elems, float* out);

}  // namespace reform
