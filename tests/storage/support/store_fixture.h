// What the store's tests share: a directory that is removed at the end, chunks made from a seed, and reads that must
// succeed.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/try.h"
#include "storage/store/context_store.h"
#include "tests/support/temp_dir.h"

namespace reform::test {

// Token t of a text made from `seed`. Every value is a function of (seed, t), so that any process can tell what must be
// stored at t. Texts of different seeds differ nearly everywhere.
int32_t token_id(uint64_t seed, int64_t t);
uint32_t token_bytes(uint64_t seed, int64_t t);
std::byte row_byte(uint64_t seed, int64_t t, int64_t i);
std::byte part_byte(uint64_t seed, int64_t part, int64_t i);

struct Chunk {
  Chunk(uint64_t seed, int64_t begin, int64_t n, int64_t row_bytes, const std::string& progress = "{}");
  ChunkWrite write() const {
    return {begin_token, ids, lengths, {{kEmbeddingRows.name, rows}}, "[\"a.txt\"]", progress};
  }
  int64_t begin_token;
  std::vector<int32_t> ids;
  std::vector<uint32_t> lengths;
  std::vector<std::byte> rows;
  std::string progress;
};

template <class T>
T must(Result<T> result) {
  INFO(result.status().message);
  REQUIRE(result.status().code == Code::kOk);
  return std::move(result).value();
}
void must(const Status& status);

// Saves one checkpoint: parts of the given sizes, with bytes made from seed.
Status save(ContextWriter& writer, int64_t n_tokens, uint64_t seed, const std::vector<int64_t>& part_bytes,
            const std::vector<int64_t>& keep = {});

// Reads all of a context and compares it with what `seed` says. Returns the Status of the first read that fails. A
// value that is read wrong fails the test.
Status compare_tokens(ContextData& data, uint64_t seed);
Status compare_embeddings(ContextData& data, uint64_t seed);
Status compare_checkpoint(ContextData& data, int64_t n_tokens, uint64_t seed, const std::vector<int64_t>& part_bytes);

int64_t file_bytes_below(const std::string& dir);

}  // namespace reform::test
