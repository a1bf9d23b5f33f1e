// A model's fingerprint: a hash over everything that changes states (hyperparameters, tokenizer, tensor names, shapes,
// types and bytes), and over nothing else (not the chat template, the name, the file's place or the device).
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

class Gguf;

// 32 hex digits of XXH3-128.
std::string compute_fingerprint(const Gguf& gguf);

// The same, remembered in cache_dir by path, size, modification time and inode, so that the file is hashed once. A
// cache that cannot be written costs time, not correctness.
std::string cached_fingerprint(const Gguf& gguf, const std::string& cache_dir);

}  // namespace reform
