#include "tests/runtime/tokenizer/tokenizer_documents.h"

#include <utf8cpp/utf8.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/runtime/support/model_support.h"
#include "tests/support/files.h"

namespace reform {
namespace {

const std::string kGolden = test::golden_path("tokenizer/");

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line, '\n');) lines.push_back(line);
  return lines;
}

std::string unescape(const std::string& line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out += line[i];
      continue;
    }
    const char c = line[++i];
    if (c == 'u') {
      const size_t end = line.find('}', i);
      utf8::append(char32_t(std::stoul(line.substr(i + 2, end - i - 2), nullptr, 16)), out);
      i = end;
    } else {
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    }
  }
  return out;
}

const std::vector<std::string>& fragments() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> lines = read_lines(kGolden + "fragments.txt");
    for (std::string& line : lines) line = unescape(line);
    return lines;
  }();
  return list;
}

constexpr uint32_t kSpaces[] = {0x20, 0x20, 0x20, 0x20, 9, 10, 10, 13, 11, 0x85, 0xa0, 0x2003, 0x3000};
constexpr uint32_t kDigits[] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0x663, 0x96b, 0xb2, 0x2167};
constexpr uint32_t kRepeated[] = {'a', 'b', ' ', '=', '-', '#', '/', '*', '\n', '\t', '.'};

template <size_t n>
void add_from(const uint32_t (&list)[n], uint64_t max, SplitMix& rng, std::string& out) {
  for (uint64_t left = 1 + rng.pick(max); left > 0; --left) utf8::append(char32_t(list[rng.pick(n)]), out);
}
void add_range(uint32_t first, uint32_t n, uint64_t max, SplitMix& rng, std::string& out) {
  for (uint64_t left = 1 + rng.pick(max); left > 0; --left) utf8::append(char32_t(first + uint32_t(rng.pick(n))), out);
}

void add_piece(SplitMix& rng, std::string& out) {
  const uint64_t kind = rng.pick(16);
  if (kind < 8) {
    out += fragments()[rng.pick(fragments().size())];
  } else if (kind == 8) {
    add_from(kSpaces, 8, rng, out);
  } else if (kind == 9) {
    add_from(kDigits, 14, rng, out);
  } else if (kind == 10) {
    add_range(0x4e00, 0x51ff, 12, rng, out);
  } else if (kind == 11) {
    add_range(0x600, 0x100, 12, rng, out);
  } else if (kind == 12) {
    const auto point = uint32_t(rng.pick(0x110000));
    utf8::append(char32_t(point >= 0xd800 && point < 0xe000 ? 0xfffd : point), out);
  } else if (kind == 13) {
    add_range(0x20, 0x5f, 20, rng, out);
  } else if (kind == 14) {
    add_range(0, 0x300, 10, rng, out);
  } else {
    const uint32_t c = kRepeated[rng.pick(std::size(kRepeated))];
    for (uint64_t left = 1 + rng.pick(60); left > 0; --left) utf8::append(char32_t(c), out);
  }
}

}  // namespace

uint64_t SplitMix::next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

std::string test_document(int number) {
  SplitMix rng(uint64_t(number) + 1);
  std::string out;
  for (int i = 0; i < 50; ++i) add_piece(rng, out);
  return out;
}

uint64_t hash_of(const std::vector<int32_t>& ids) {
  NumberHash hash;
  for (const int32_t id : ids) hash.add(uint64_t(id));
  return hash.value();
}

std::vector<uint64_t> golden_hashes(const std::string& name) {
  std::vector<uint64_t> hashes;
  for (const std::string& line : read_lines(kGolden + name + ".hashes"))
    hashes.push_back(std::stoull(line, nullptr, 16));
  return hashes;
}

namespace {
GgufWriter bpe_writer(const std::string& pre, const std::vector<uint8_t>& missing_bytes) {
  std::vector<std::string> tokens(256);
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    utf8::append(char32_t(printable ? b : next++), tokens[b]);
  }
  for (const uint8_t b : missing_bytes) tokens[b] = "no token for " + std::to_string(b);
  const std::vector<std::string> merges = read_lines(kGolden + "small_merges.txt");
  for (const std::string& merge : merges) {
    const size_t space = merge.find(' ', 1);
    tokens.push_back(merge.substr(0, space) + merge.substr(space + 1));
  }
  for (const char* word : {"Ġferry", "Ġisland", "Ġ水", "ĠÐ¿Ð°ÑĢÐ¾Ð¼"}) tokens.push_back(word);
  std::vector<int32_t> kinds(tokens.size(), 1);
  for (const char* text : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) tokens.push_back(text), kinds.push_back(3);
  for (const char* text : {"<tool_call>", "</tool_call>", "<h1>"}) tokens.push_back(text), kinds.push_back(4);
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", pre);
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", kinds);
  writer.add("tokenizer.ggml.merges", merges);
  writer.add("tokenizer.ggml.eos_token_id", uint32_t(tokens.size() - 4));  // <|im_end|>
  return writer;
}

}  // namespace

GgufWriter small_bpe(const std::string& pre) { return bpe_writer(pre, {}); }
GgufWriter bpe_without_some_bytes() { return bpe_writer("smollm", {0x04, 0x06, 0xf1}); }

GgufWriter small_sentencepiece(bool space_prefix) {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  for (const std::string& line : read_lines(kGolden + "small_sentencepiece.txt")) {
    std::istringstream words(line);
    int32_t kind = 0;
    float score = 0;
    std::string hex, text;
    words >> kind >> score >> hex;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) text += char(std::stoi(hex.substr(i, 2), nullptr, 16));
    tokens.push_back(text), scores.push_back(score), kinds.push_back(kind);
  }
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", "llama");
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.scores", scores);
  writer.add("tokenizer.ggml.token_type", kinds);
  writer.add("tokenizer.ggml.unknown_token_id", uint32_t{0});
  writer.add("tokenizer.ggml.bos_token_id", uint32_t{1});
  writer.add("tokenizer.ggml.eos_token_id", uint32_t{2});
  writer.add("tokenizer.ggml.add_space_prefix", space_prefix);
  return writer;
}

std::unique_ptr<Tokenizer> make_tokenizer(const GgufWriter& writer) {
  const GgufWriter::Image image = writer.image();
  auto gguf = Gguf::parse(image, "test");
  INFO(gguf.status().message);
  REQUIRE(gguf.ok());
  auto tokenizer = Tokenizer::create(*gguf.value());
  INFO(tokenizer.status().message);
  REQUIRE(tokenizer.ok());
  return std::move(tokenizer).value();
}

std::unique_ptr<Tokenizer> real_tokenizer(const std::string& name) {
  const std::string path = test::real_model_path(name);
  if (path.empty()) return nullptr;
  auto gguf = Gguf::open(path);
  INFO(gguf.status().message);
  REQUIRE(gguf.ok());
  auto tokenizer = Tokenizer::create(*gguf.value());
  INFO(tokenizer.status().message);
  REQUIRE(tokenizer.ok());
  return std::move(tokenizer).value();
}

}  // namespace reform
