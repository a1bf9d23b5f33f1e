#include "tests/storage/support/store_fixture.h"

namespace reform::test {
namespace {

// splitmix64's finisher: a good hash of three numbers at a few multiplications.
uint64_t mix(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t x = a * 0x9E3779B97F4A7C15 ^ (b + 0x632BE59BD9B4E019) * 0xBF58476D1CE4E5B9 ^ (c + 1) * 0x94D049BB133111EB;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

}  // namespace

int32_t token_id(uint64_t seed, int64_t t) { return int32_t(mix(seed, uint64_t(t), 1) % 151936); }
uint32_t token_bytes(uint64_t seed, int64_t t) {
  const uint64_t h = mix(seed, uint64_t(t), 2);
  // 0, and some that take more than one byte as a varint.
  return h % 97 == 0 ? uint32_t(h >> 40) % 1000 : uint32_t(h >> 32) % 9;
}
std::byte row_byte(uint64_t seed, int64_t t, int64_t i) {
  return std::byte(mix(seed, uint64_t(t), 3) >> (i % 57) ^ uint64_t(i));
}
std::byte part_byte(uint64_t seed, int64_t part, int64_t i) {
  return std::byte(mix(seed, uint64_t(part), uint64_t(i) / 32) >> (i % 32));
}

Chunk::Chunk(uint64_t seed, int64_t begin, int64_t n, int64_t row_bytes, const std::string& progress_json)
    : begin_token(begin), progress(progress_json) {
  for (int64_t t = begin; t < begin + n; ++t) {
    ids.push_back(token_id(seed, t));
    lengths.push_back(token_bytes(seed, t));
    for (int64_t i = 0; i < row_bytes; ++i) rows.push_back(row_byte(seed, t, i));
  }
}

void must(const Status& status) {
  INFO(status.message);
  REQUIRE(status.code == Code::kOk);
}

Status save(ContextWriter& writer, int64_t n_tokens, uint64_t seed, const std::vector<int64_t>& part_bytes,
            const std::vector<int64_t>& keep) {
  std::vector<std::vector<std::byte>> bytes(part_bytes.size());
  std::vector<NamedBytes> parts;
  for (size_t p = 0; p < bytes.size(); ++p) {
    bytes[p].resize(size_t(part_bytes[p]));
    for (size_t i = 0; i < bytes[p].size(); ++i) bytes[p][i] = part_byte(seed, int64_t(p), int64_t(i));
    parts.push_back({"part/" + std::to_string(p), bytes[p]});
  }
  return writer.save_checkpoint(n_tokens, parts, keep);
}

Status compare_tokens(ContextData& data, uint64_t seed) {
  const int64_t n = data.meta().n_tokens;
  TRY_ASSIGN(const Tokens tokens, data.read_tokens(0, n));
  REQUIRE(int64_t(tokens.ids.size()) == n);
  REQUIRE(int64_t(tokens.begin_bytes.size()) == n + 1);
  int64_t at_byte = 0;
  bool same = true;
  for (int64_t t = 0; t < n; ++t) {
    same = same && tokens.ids[size_t(t)] == token_id(seed, t) && tokens.begin_bytes[size_t(t)] == at_byte;
    at_byte += token_bytes(seed, t);
  }
  REQUIRE(same);
  REQUIRE(tokens.begin_bytes.back() == at_byte);
  return {};
}

Status compare_embeddings(ContextData& data, uint64_t seed) {
  const int64_t row_bytes = data.meta().row_bytes;
  int64_t expected_begin = 0;
  TRY(data.scan(kEmbeddingRows, [&](TokenRange tokens, std::span<const std::byte> rows) -> Status {
    REQUIRE(tokens.begin == expected_begin);
    REQUIRE(int64_t(rows.size()) == tokens.n_tokens() * row_bytes);
    bool same = true;
    for (int64_t i = 0; i < tokens.n_tokens() * row_bytes; ++i) {
      const int64_t t = tokens.begin + i / row_bytes;
      same = same && rows[size_t(i)] == row_byte(seed, t, i % row_bytes);
    }
    REQUIRE(same);
    expected_begin += tokens.n_tokens();
    return {};
  }));
  REQUIRE(expected_begin == data.meta().n_tokens);
  return {};
}

Status compare_checkpoint(ContextData& data, int64_t n_tokens, uint64_t seed, const std::vector<int64_t>& part_bytes) {
  size_t p = 0;
  TRY(data.load_checkpoint(n_tokens, [&](const std::string& name, std::span<const std::byte> bytes) -> Status {
    REQUIRE(p < part_bytes.size());
    REQUIRE(name == "part/" + std::to_string(p));
    REQUIRE(int64_t(bytes.size()) == part_bytes[p]);
    bool same = true;
    for (size_t i = 0; i < bytes.size(); ++i) same = same && bytes[i] == part_byte(seed, int64_t(p), int64_t(i));
    REQUIRE(same);
    ++p;
    return {};
  }));
  REQUIRE(p == part_bytes.size());
  return {};
}

int64_t file_bytes_below(const std::string& dir) {
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(dir)) {
    if (file.is_regular_file()) bytes += int64_t(file.file_size());
  }
  return bytes;
}

}  // namespace reform::test
