// Which attention heads' states make a token's embedding. Heads are data: a small JSON per model fingerprint
// (head_set.h). It is shipped for the models we test; for any other, heads are chosen once (runtime/heads) and kept in
// the cache directory.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct ModelShape;

struct HeadRef {
  enum class Part : uint8_t { kQ, kK, kV };
  int64_t layer = 0;
  Part part = Part::kQ;
  int64_t head = 0;  // KV head for kK and kV

  bool operator==(const HeadRef&) const = default;
};

using Heads = std::vector<HeadRef>;

// "q14.9": part, layer, head, 0-based.
std::string to_string(const HeadRef& head);
std::string to_string(const Heads& heads);  // "q14.9 v14.1"
Result<HeadRef> parse_head(const std::string& text);

// The topmost layer with a chosen head: phase 1 stops after its projections.
int64_t exit_layer(const Heads& heads);

Status check_heads(const Heads& heads, const ModelShape& shape);

// The heads of every synthetic model. In noise there is nothing to find, but the work is the same with any choice.
// There are four; the topmost is at 70 % of the depth, where the paper's own often are.
Heads synthetic_heads(const ModelShape& shape);

// JSON of the heads compiled in for this fingerprint; empty when there are none.
std::string shipped_heads_json(const std::string& fingerprint);

}  // namespace reform
