// Where options are checked; those of ask and search go by the method (runtime/jobs/methods/options.cc).
#include <fmt/format.h>
#include <reform/generate.h>
#include <reform/ingest.h>
#include <reform/ranges.h>
#include <reform/text.h>

#include <cmath>

#include "base/try.h"
#include "kernels/ops.h"
#include "runtime/compress/head_set.h"
#include "runtime/compress/policies/policy.h"
#include "runtime/constrain/json_schema.h"
#include "runtime/engine/device_choice.h"
#include "runtime/engine/in_range.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {

Status EngineOptions::validate() const {
  TRY(in_range("threads", int64_t(n_threads), ranges::kThreads));
  TRY(in_range("max host memory", max_host_memory_bytes, ranges::kMaxMemoryBytes));
  TRY(in_range("prompt cache bytes", prompt_cache_bytes, ranges::kMaxMemoryBytes));
  TRY(in_range("max GPU memory", max_gpu_memory_bytes, ranges::kMaxMemoryBytes));
  TRY(check_device_options(*this));
  if (isa.empty()) return {};
  for (const Isa candidate : kIsas) {
    if (isa != name(candidate)) continue;
    if (isa_supported(candidate)) return {};
    return {Code::kUnavailable, fmt::format("this machine has no {}; it runs up to {}", isa, name(best_isa()))};
  }
  return {Code::kUsage, fmt::format("unknown isa '{}'; expected ref, portable, avx2, avx512 or amx", isa)};
}

Status StoreOptions::validate() const {
  return in_range("max store bytes", max_bytes.value_or(0), ranges::kMaxStoreBytes);
}

std::vector<PolicyInfo> list_policies() {
  std::vector<PolicyInfo> all;
  for (const Policy& p : policies()) all.push_back({p.name, p.summary});
  return all;
}

bool IngestOptions::overlap_is_open() const {
  return overlap_tokens == kUsualOverlapTokens && !chosen.contains("overlap_tokens");
}

Status IngestOptions::validate() const {
  if (find_policy(policy) == nullptr) {
    return {Code::kUsage, fmt::format("unknown policy '{}'; expected one of {}", policy, policy_names())};
  }
  if (!depth.empty() && std::count(std::begin(kDepths), std::end(kDepths), depth) == 0)
    return {Code::kUsage, fmt::format("unknown depth '{}'; expected one of {}", depth, fmt::join(kDepths, ", "))};
  TRY(check_encoding(encoding));
  if (chunk_tokens != 0) TRY(in_range("chunk tokens", chunk_tokens, ranges::kChunkTokens));
  if (cache_tokens != 0) TRY(in_range("cache tokens", cache_tokens, ranges::kCacheTokens));
  TRY(in_range("sink tokens (--sink-tokens)", sink_tokens,
               {0, cache_tokens == 0 ? ranges::kSinkTokens.most : cache_tokens / 2}));
  // Only a policy that carries nothing uses the overlap. Under others, a chunk may be shorter than it.
  const bool chunk_limits = !find_policy(policy)->carries() && chunk_tokens != 0 && !overlap_is_open();
  TRY(in_range("overlap tokens (--overlap-tokens)", overlap_tokens,
               {0, chunk_limits ? chunk_tokens : ranges::kOverlapTokens.most}));
  return in_range("checkpoint seconds", checkpoint_seconds, ranges::kCheckpointSeconds);
}

Status SamplingOptions::validate() const {
  TRY(in_range("temperature", temperature, ranges::kTemperature));
  TRY(in_range("top-k", top_k, ranges::kTopK));
  TRY(in_range("top-p", top_p, ranges::kShare));
  TRY(in_range("min-p", min_p, ranges::kShare));
  TRY(in_range("top logprobs", top_logprobs, ranges::kTopLogprobs));
  if (!json_schema.empty()) TRY(grammar_of_schema(json_schema));
  TRY(in_range("stop texts", int64_t(stop.size()), ranges::kStopTexts));
  for (const std::string& text : stop) {
    TRY(in_range("bytes of a stop text", int64_t(text.size()), ranges::kStopBytes));
    TRY(check_utf8("a stop text", text));
  }
  return in_range("new tokens", max_new_tokens, ranges::kNewTokens);
}

}  // namespace reform
