// A model's fingerprint: a hash over everything that changes states (hyperparameters, tokenizer, tensor names, shapes,
// types and bytes), and over nothing else (not the chat template, the name, the file's place or the device).
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

class Gguf;

// 32 hex digits of XXH3-128.
std::string compute_fingerprint(const Gguf& gguf);

// The same, kept in cache_dir under the path and the identity of the file, so that a file is hashed once, and its
// weights are checked once to be finite. A damaged entry is computed again; if the cache cannot be written, only time
// is lost. kBadModel: a weight is not finite, or the file has changed meanwhile.
Result<std::string> cached_fingerprint(const Gguf& gguf, const std::string& cache_dir);

}  // namespace reform
