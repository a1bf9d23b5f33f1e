// Writes the heads fuzz target's first inputs: heads files and settings, with maps and without.
#include <cstdio>
#include <fstream>
#include <string>

#include "runtime/compress/head_set.h"
#include "runtime/jobs/settings.h"

using namespace reform;

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  int n = 0;
  const auto write = [&](char kind, const std::string& text) {
    std::ofstream(std::string(argv[1]) + "/seed" + std::to_string(n++), std::ios::binary) << kind << text;
  };
  const HeadSet paper{{{14, HeadRef::Part::kQ, 9}, {14, HeadRef::Part::kV, 1}}, {}};
  HeadSet mapped = paper;
  mapped.maps = {.heads = {{0.95, 0.0053, 0.0884}, {-0.4, 0.05, -1e-9}},
                 .lexical = {0.04, 0.04, 0.3},
                 .length_weight = -0.24,
                 .confidence_offset = -4,
                 .confidence_slope = 1};
  write(0, heads_file_json({{"paper", paper}}, "m", "f"));
  write(0, heads_file_json({{"paper", paper}, {"fast", mapped}, {"balanced", mapped}, {"deep", mapped}}, "m", "f"));
  write(0, heads_file_json({{"balanced", mapped}}, "m", ""));
  ContextSettings settings;
  settings.model_fingerprint = "f", settings.model_name = "m", settings.model_path = "/m",
  settings.architecture = "llama";
  settings.policy = "h2o";
  settings.chunk_tokens = 64, settings.cache_tokens = 64, settings.sink_tokens = 4, settings.overlap_tokens = 16;
  settings.heads = paper.heads, settings.head_dim = 64;
  write(1, to_json(settings));
  settings.maps = mapped.maps, settings.fp8_products = true;
  write(1, to_json(settings));
  return 0;
}
