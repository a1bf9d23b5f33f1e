// What tests of gather by late interaction share: heads with maps, texts, and contexts made of them.
#pragma once

#include <reform/search.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

#include "tests/runtime/support/ingest_support.h"

namespace reform::test {

inline constexpr char kWithMaps[] = R"({"heads": ["q1.1", "k1.0", "v2.1"], "sets": {
  "balanced": {"heads": [["q1.1", 0.3, 0.2, 1], ["k1.0", 0.5, 0.1, -0.4], ["v2.1", 0.1, 0.25, 0.8]],
               "lexical": [0.05, 0.2, 0.6], "length": -0.2, "confidence": [-1, 0.5]},
  "fast": {"heads": [["k0.1", 0.2, 0.3, 1]], "lexical": [0, 1, 0.5], "length": 0, "confidence": [0, 1]}}})";
// With line ends, so that passages end at lines, at sentences and at a length.
inline std::string text_of(uint64_t seed, size_t n_bytes) {
  std::string text = made_text(seed, n_bytes);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ' && i % 11 == seed % 11) text[i] = '\n';
  }
  return text;
}

inline IngestOptions in_chunks(int64_t chunk_tokens) {
  IngestOptions options = IngestBench::options("h2o");
  options.chunk_tokens = chunk_tokens;
  return options;
}

inline SearchOptions gathering(int64_t gather_tokens, int64_t rounds = 1, int64_t edge_tokens = 0) {
  SearchOptions options;
  options.gather_tokens = gather_tokens, options.rounds = rounds, options.edge_tokens = edge_tokens;
  options.pool_window = 5;
  return options;
}

// A bench with contexts a, b and c, and the first heads file.
struct LateBench : IngestBench {
  explicit LateBench(int n_threads = 2, Memory memory = Memory::kHost) : IngestBench(n_threads, "qwen2", memory) {
    use_heads(kWithMaps);
    REQUIRE(ingest("a", {text_of(1, 3500)}, in_chunks(64)).ok());
    REQUIRE(ingest("b", {text_of(2, 300)}, in_chunks(200)).ok());
    REQUIRE(ingest("c", {text_of(3, 2500)}, in_chunks(1000)).ok());
  }
};

}  // namespace reform::test
