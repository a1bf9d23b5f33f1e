// What a context was begun with, as JSON in its manifest: a resume and an ask use these, whatever the flags say.
#pragma once

#include <reform/ingest.h>
#include <reform/status.h>

#include <string>

#include "runtime/compress/heads.h"

namespace reform {

struct ContextSettings {
  std::string model_fingerprint, model_name, model_path, architecture;
  std::string policy;
  int64_t chunk_tokens = 0, cache_tokens = 0, sink_tokens = 0, overlap_tokens = 0;
  bool lossy = false;
  Heads heads;
  int64_t head_dim = 0;
  std::string embedding = "int8";
  std::string kv_type = "f16";  // of the checkpoint
  bool fp8_products = false;    // both factors of products were rounded to e4m3 while the text was read
};

std::string to_json(const ContextSettings& settings);
Result<ContextSettings> parse_settings(const std::string& json, const std::string& context);
// The same settings with another path of the model; "" for an archive, which says nothing of this machine.
Result<std::string> with_model_path(const std::string& json, const std::string& path, const std::string& context);
// "SmolLM2 135M (/models/smollm2.gguf)"; the fingerprint instead of a path that is not known.
std::string describe_model(const ContextSettings& settings);
// What parsing cannot know: that the heads are of this model. kCorrupt names the context.
Status check_settings_fit(const ContextSettings& settings, const ModelShape& shape, const std::string& context);

}  // namespace reform
