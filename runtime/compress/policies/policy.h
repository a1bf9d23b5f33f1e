// Eviction policies decide which slots of the cache survive a chunk, and whether a chunk hands anything to the next.
// There is one interface, a file per policy, and one list (policy.cc), from which the help text and the tests take the
// names.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace reform {

struct ModelShape;

// A piece of a checkpoint. Name and size are on disk; never change them. A stored checkpoint is outside data: its names
// and sizes are checked, its values are not.
struct StatePart {
  std::string name;  // what it is, of which layer and of what type: "scores 3 f32"
  std::byte* data = nullptr;
  int64_t slot_bytes = 0;   // of each slot in use, from slot 0 on
  int64_t fixed_bytes = 0;  // whatever the number of slots
  bool on_host = false;     // data is the host's memory; otherwise the device's
  bool is_cache = false;    // keys or values: a chunk adds slots, and only an eviction changes those that are there

  int64_t bytes(int64_t kv_len) const { return kv_len * slot_bytes + fixed_bytes; }
};

// The policy of one Compressor, whose cache it shrinks. Everything but `on_host` state is in the device's memory and is
// touched only by ops and Device::fill_zero, so that the host never waits for the device.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // Whether observe() is to be called. It is then called for each layer of each chunk, after the layer's attention,
  // while q (rotated) and the cache are unchanged. lse [n_heads, n_tokens] is as Ops::attention() gives it. evict() may
  // not follow: a cache within its budget is left alone. The policy chooses the queries it uses and how it weighs them
  // (Ops::attention_column_sums, which adds). A question is not observed.
  virtual bool observes() const { return false; }
  virtual void observe(int64_t /*layer*/, const AttentionArgs& /*args*/, MatView<const float> /*lse*/) {}

  // What a layer's attention adds to the logits of its first slots (AttentionArgs::slot_bias), in chunks and questions
  // alike. Empty: nothing.
  virtual MatView<const float> slot_bias(int64_t /*layer*/) { return {}; }

  // Shrinks one layer's cache of kv_len > budget slots to its first `budget` slots, by moving or merging slots, and the
  // policy's state with it. Called for each layer after a chunk. A slot's new place is its new position.
  virtual void evict(int64_t layer, const KvView& cache) = 0;

  // To the state of an empty cache. Called before the first chunk and before a checkpoint is loaded.
  virtual void reset() {}

  // The policy's state for this layer, which a checkpoint keeps after the layer's keys and values. Called only once, so
  // the state must not move. State that belongs to no layer is given with layer 0.
  virtual std::vector<StatePart> state(int64_t /*layer*/) { return {}; }
};

// What a policy is made from. All of it outlives the policy.
struct PolicySetup {
  MemoryAccount& account() const { return site.device.account(); }

  Site site;                // buffers for ops come from the device's account as kKvCache, when the policy is made
  const ModelShape& shape;  // of the model
  int64_t n_layers = 0;     // layers with a cache
  int64_t capacity = 0;     // slots of each
  int64_t budget = 0;       // slots that an eviction leaves
  int64_t sinks = 0;        // < budget; the first slots, which are never evicted
};
// Allocates the policy's buffers, and touches neither them nor the ops: every job is first made where memory is only
// counted (kernels/counting_site.h). What the buffers hold at first is reset()'s.
using MakePolicy = Result<std::unique_ptr<EvictionPolicy>>(const PolicySetup& setup);

// A row of the list.
struct Policy {
  const char* name;
  const char* summary;      // one line for --help
  MakePolicy* make;         // nullptr if nothing is carried
  bool keeps_sinks = true;  // whether the first PolicySetup::sinks slots always stay
  bool cpu_only = false;    // refused where Device::has_every_op() is false: it lacks an op there, or never ran there

  // Whether the evicted cache goes on to the next chunk. Otherwise chunks are independent; a short overlap before each
  // is run again.
  bool carries() const { return make != nullptr; }
};

std::span<const Policy> policies();                  // the first is the default
const Policy* find_policy(const std::string& name);  // nullptr: unknown
// kUnavailable if the policy calls ops that the device lacks. To be asked before anything is allocated for it.
Status check_policy(const Policy& policy, const Device& device);
std::string policy_names();  // "h2o, recent, ..., none"

}  // namespace reform
