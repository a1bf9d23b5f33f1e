// A stream gives the same as encoding at once, however the text is cut, and an append the same as the joined text.
#include <algorithm>
#include <catch2/catch.hpp>

#include "runtime/tokenizer/merge.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

using namespace reform;

namespace {

std::vector<std::pair<std::string, std::unique_ptr<Tokenizer>>> all_kinds() {
  std::vector<std::pair<std::string, std::unique_ptr<Tokenizer>>> list;
  for (const char* pre : {"gpt-2", "smollm", "qwen2", "llama-bpe", "tekken"})
    list.emplace_back(pre, make_tokenizer(small_bpe(pre)));
  list.emplace_back("sentencepiece", make_tokenizer(small_sentencepiece(false)));
  list.emplace_back("sentencepiece with a space prefix", make_tokenizer(small_sentencepiece(true)));
  list.emplace_back("byte-level BPE without some bytes", make_tokenizer(bpe_without_some_bytes()));
  return list;
}

// Of either kind, "gpt2" or "llama", with these tokens.
std::unique_ptr<Tokenizer> tokenizer_of(const std::string& model, const std::vector<std::string>& tokens,
                                        const std::vector<float>& scores, const std::vector<std::string>& merges) {
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", model);
  writer.add("tokenizer.ggml.pre", std::string("qwen2"));
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.scores", scores);
  writer.add("tokenizer.ggml.merges", merges);
  writer.add("tokenizer.ggml.add_space_prefix", false);
  return make_tokenizer(writer);
}

TokenBatch encode_at_once(const Tokenizer& tokenizer, const std::string& text) {
  TokenBatch batch;
  const auto stream = tokenizer.stream(true);
  REQUIRE(stream->feed(text, batch).ok());
  REQUIRE(stream->finish(batch).ok());
  return batch;
}

// Feeds `text` in pieces of 1 to max_piece bytes.
void feed_in_pieces(TokenStream& stream, std::string_view text, size_t max_piece, SplitMix& rng, TokenBatch& out) {
  bool ok = true;
  while (!text.empty()) {
    const size_t n = std::min(text.size(), size_t(1 + rng.pick(max_piece)));
    ok = ok && stream.feed(text.substr(0, n), out).ok();
    text.remove_prefix(n);
  }
  REQUIRE(ok);
}

size_t n_bytes(const TokenBatch& batch) {
  size_t sum = 0;
  for (const uint32_t length : batch.byte_lengths) sum += length;
  return sum;
}

bool same(const TokenBatch& a, const TokenBatch& b) { return a.ids == b.ids && a.byte_lengths == b.byte_lengths; }

// A document with scattered bytes that are not UTF-8.
std::string damaged_document(int number, SplitMix& rng) {
  std::string text = test_document(number);
  for (int i = 0; i < 20; ++i) text.insert(text.begin() + int64_t(rng.pick(text.size())), char(0x80 + rng.pick(128)));
  for (int i = 0; i < 5; ++i) text.erase(text.begin() + int64_t(rng.pick(text.size())));
  return text;
}

// Texts that are hard to cut: runs, edges, halves of special tokens.
std::vector<std::string> hard_texts() {
  const std::string letters(5000, 'a'), spaces(5000, ' '), newlines(700, '\n'), marks(300, '!');
  return {"",
          std::string(1, '\0'),
          std::string("a\0b\0\0", 5),
          " ",
          "  ",
          "\n",
          letters + spaces + letters,
          spaces,
          spaces + "x",
          "x" + spaces,
          newlines + spaces + newlines + "y",
          marks + newlines,
          "<tool_call",
          "<tool_call>",
          "<<tool_call><h1",
          "<b><b> <b>  <b>\n\n\n<b",
          " a",
          "\x04",
          "\x04\x06",
          "\x04 a\x04\x04"
          "b\x04",
          "a\x04<tool_call>\x04\x04",
          "\xf1\x80\x80\x80 word \xf1\x80\x80\x80",
          "don't '' 'll 'r 'v '"};
}

}  // namespace

TEST_CASE("token stream: any cutting of a text gives the same ids and lengths", "[tokenizer]") {
  SplitMix rng(7);
  for (const auto& [name, tokenizer] : all_kinds()) {
    std::vector<std::string> texts = hard_texts();
    for (int i = 0; i < 12; ++i) texts.push_back(i % 3 == 2 ? damaged_document(i, rng) : test_document(i));
    for (const std::string& text : texts) {
      const TokenBatch whole = encode_at_once(*tokenizer, text);
      INFO(name << ": " << text.substr(0, 60));
      if (!whole.ids.empty()) REQUIRE(n_bytes(whole) == text.size());
      for (const size_t max_piece : {1, 2, 7, 100, 5000}) {
        TokenBatch pieces;
        const auto stream = tokenizer->stream(true);
        feed_in_pieces(*stream, text, max_piece, rng, pieces);
        CHECK(pieces.ids.size() <= whole.ids.size());
        CHECK((pieces.ids.empty() || n_bytes(pieces) + stream->held_back().size() == text.size()));
        REQUIRE(stream->finish(pieces).ok());
        REQUIRE(same(pieces, whole));
      }
    }
  }
}

TEST_CASE("token stream: a long word gives the same tokens in windows of any size", "[tokenizer]") {
  SplitMix rng(11);
  const auto random_word = [&](std::string_view alphabet, size_t n) {
    std::string word;
    for (size_t i = 0; i < n; ++i) word += alphabet[size_t(rng.pick(alphabet.size()))];
    return word;
  };
  std::vector<std::string> texts = hard_texts();
  for (const char* alphabet : {"etaoinshrdlu", "aab", "ABCdef", " \t", " \n\r", "!?./", "!\n/", "AB\x04"})
    texts.push_back("x " + random_word(alphabet, 1500) + "y" + random_word(alphabet, 700));
  for (const char* piece : {"水", "é", "e\xcc\x81", "\xcc\x81Q", "水QQ", "😀", "0", "\xf1\x80\x80\x80"}) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += piece;
    texts.push_back(text + "!" + text + "z");
  }
  for (const auto& [name, tokenizer] : all_kinds()) {
    for (const std::string& text : texts) {
      const TokenBatch whole = encode_at_once(*tokenizer, text);
      for (const size_t window : {1, 90}) {
        TokenStream stream(*tokenizer, true, window);
        TokenBatch pieces;
        feed_in_pieces(stream, text, 200, rng, pieces);
        // Another stream goes on, as an append does.
        TokenStream second(*tokenizer, true, window);
        second.set_consumed(int64_t(n_bytes(pieces)), stream.within());
        REQUIRE(second.feed(stream.held_back(), pieces).ok());
        REQUIRE(second.finish(pieces).ok());
        INFO(name << ": window " << window << " of " << text.substr(0, 60));
        REQUIRE(same(pieces, whole));
      }
    }
  }
}

// Of the alphabet's pairs the last merges first, so that each letter's token depends on all letters up to the z.
TEST_CASE("token stream: a window gives no token that text far behind it changes", "[tokenizer]") {
  std::vector<std::string> tokens, merges;
  std::vector<float> scores;
  std::string alphabet;
  for (char c = 'a'; c <= 'z'; ++c) tokens.push_back({c}), scores.push_back(0), alphabet += c;
  for (char c = 'y'; c >= 'a'; --c) {
    tokens.push_back({c, char(c + 1)}), scores.push_back(float(c));
    merges.push_back({c, ' ', char(c + 1)});
  }
  std::string text;
  for (int i = 0; i < 40; ++i) text += alphabet.substr(size_t(i) % 3);
  for (const std::string model : {"gpt2", "llama"}) {
    const auto tokenizer = tokenizer_of(model, tokens, scores, merges);
    const TokenBatch whole = encode_at_once(*tokenizer, text);
    for (size_t window = 1; window < 80; ++window) {
      TokenStream stream(*tokenizer, true, window);
      TokenBatch pieces;
      REQUIRE(stream.feed(text, pieces).ok());
      REQUIRE(stream.finish(pieces).ok());
      INFO(model << ": window " << window);
      REQUIRE(same(pieces, whole));
    }
  }
}

TEST_CASE("token stream: a word of any length gives tokens while it is read", "[tokenizer]") {
  for (const auto& [name, tokenizer] : all_kinds()) {
    for (const std::string_view letters : {"etaoinshrdlu", "水火", "    ", "!?", "AEIOU"}) {
      constexpr size_t kWindow = 2048;
      TokenStream stream(*tokenizer, false, kWindow);
      TokenBatch batch;
      SplitMix rng(5);
      size_t most = 0;
      for (int i = 0; i < 100; ++i) {
        const size_t n = letters[0] < 0 ? 3 : 1;
        std::string piece;
        while (piece.size() < 300) piece += letters.substr(n * rng.pick(letters.size() / n), n);
        REQUIRE(stream.feed(piece, batch).ok());
        most = std::max(most, stream.held_back().size());
      }
      INFO(name << ": " << letters);
      CHECK(most < 3 * kWindow + 300);
    }
  }
}

TEST_CASE("token stream: a strict stream and encode_plain agree on valid text", "[tokenizer]") {
  SplitMix rng(8);
  for (const auto& [name, tokenizer] : all_kinds()) {
    for (int i = 20; i < 26; ++i) {
      const std::string text = test_document(i);
      TokenBatch batch;
      const auto stream = tokenizer->stream(false);
      feed_in_pieces(*stream, text, 50, rng, batch);
      REQUIRE(stream->finish(batch).ok());
      const auto ids = tokenizer->encode_plain(text);
      REQUIRE(ids.ok());
      CHECK(batch.ids == ids.value());
    }
  }
}

TEST_CASE("token stream: going on from what was held back equals the joined text", "[tokenizer]") {
  SplitMix rng(9);
  for (const auto& [name, tokenizer] : all_kinds()) {
    std::vector<std::string> texts = hard_texts();
    for (int i = 30; i < 50; ++i) texts.push_back(i % 3 == 2 ? damaged_document(i, rng) : test_document(i));
    for (const std::string& text : texts) {
      const TokenBatch whole = encode_at_once(*tokenizer, text);
      for (int round = 0; round < 20; ++round) {
        const size_t cut = size_t(rng.pick(text.size() + 1));
        TokenBatch batch;
        const auto first = tokenizer->stream(true);
        feed_in_pieces(*first, std::string_view(text).substr(0, cut), 300, rng, batch);
        const size_t consumed = cut - first->held_back().size();
        REQUIRE(n_bytes(batch) == consumed);
        const auto second = tokenizer->stream(true);
        second->set_consumed(int64_t(consumed), first->within());
        feed_in_pieces(*second, std::string(first->held_back()) + text.substr(cut), 300, rng, batch);
        REQUIRE(second->finish(batch).ok());
        INFO(name << ": cut at " << cut << " of " << text.substr(0, 60));
        REQUIRE(same(batch, whole));
      }
    }
  }
}

TEST_CASE("token stream: what is held back is bounded by the longest word", "[tokenizer]") {
  for (const auto& [name, tokenizer] : all_kinds()) {
    const auto stream = tokenizer->stream(false);
    TokenBatch batch;
    size_t most = 0;
    for (int i = 0; i < 500; ++i) {
      REQUIRE(stream->feed("The ferry left; nobody waved. 水 42\n", batch).ok());
      most = std::max(most, stream->held_back().size());
    }
    INFO(name);
    CHECK(most < 64);
    CHECK(batch.ids.size() > 500);
  }
}

TEST_CASE("token stream: a giant word in small feeds takes time in proportion", "[tokenizer]") {
  const auto tokenizer = make_tokenizer(small_bpe("qwen2"));
  const auto stream = tokenizer->stream(false);
  TokenBatch batch;
  const std::string piece(512, 'a');
  for (int i = 0; i < 4000; ++i) REQUIRE(stream->feed(piece, batch).ok());  // 2 MB: quadratic time would be minutes
  REQUIRE(stream->finish(batch).ok());
  CHECK(n_bytes(batch) == 512 * 4000);
}

TEST_CASE("token stream: bytes that are not UTF-8 are refused by offset, or read as Python reads them", "[tokenizer]") {
  const auto tokenizer = make_tokenizer(small_bpe("qwen2"));
  struct Row {
    std::string bytes;
    size_t bad_at;
    std::string as_text;  // Python: bytes.decode("utf-8", errors="replace")
  };
  const std::string r = "\xef\xbf\xbd";
  const Row rows[] = {
      {"ab\xff"
       "cd",
       2, "ab" + r + "cd"},
      {"\xc3", 0, r},
      {"x\xe2\x82", 1, "x" + r},
      {"x\xe2\x82y", 1, "x" + r + "y"},
      {"\xe2(\xa1", 0, r + "(" + r},
      {"\xf0\x9f\x98"
       "z\xf0\x9f",
       0, r + "z" + r},
      {"\xed\xa0\x80", 0, r + r + r},
      {"\xc0\xaf\xf5\x80", 0, r + r + r + r},
      {"\xf4\x90\x80\x80", 0, r + r + r + r},
      {"\xe0\x80\x80.", 0, r + r + r + "."},
      {"ok \xf0\x80 ok", 3, "ok " + r + r + " ok"},
  };
  for (const Row& row : rows) {
    TokenBatch strict, lossy, replaced = encode_at_once(*tokenizer, row.as_text);
    const auto refusing = tokenizer->stream(false);
    refusing->set_consumed(1000, WordPart::kNone);
    Status status = refusing->feed(row.bytes, strict);
    if (status.ok()) status = refusing->finish(strict);
    CHECK(status.code == Code::kBadText);
    CHECK(status.message.find("byte " + std::to_string(1000 + row.bad_at)) != std::string::npos);
    CHECK(tokenizer->encode_plain(row.bytes).status().code == Code::kBadText);
    lossy = encode_at_once(*tokenizer, row.bytes);
    CHECK(lossy.ids == replaced.ids);
    CHECK(n_bytes(lossy) == row.bytes.size());
  }
}

TEST_CASE("text stream: gives whole characters only, whatever the tokens' borders", "[tokenizer]") {
  const auto tokenizer = make_tokenizer(small_bpe("gpt-2"));
  SplitMix rng(3);
  for (int i = 0; i < 10; ++i) {
    const std::string text = test_document(i);
    TextStream stream;
    std::string joined;
    for (size_t pos = 0; pos < text.size();) {
      const size_t n = std::min(text.size() - pos, size_t(1 + rng.pick(4)));
      const std::string piece = stream.push(std::string_view(text).substr(pos, n));
      CHECK(tokenizer->encode_plain(piece).ok());  // which takes valid UTF-8 only
      joined += piece;
      pos += n;
    }
    joined += stream.finish();
    REQUIRE(joined == text);
  }
  TextStream cut;
  CHECK(cut.push("a\xe2\x82") == "a");
  CHECK(cut.finish() == "\xef\xbf\xbd");
  CHECK(cut.push("\xff"
                 "b") ==
        "\xef\xbf\xbd"
        "b");
  CHECK(cut.finish() == "");
}

// A token of more letters than a window can settle: such words are merged whole.
TEST_CASE("token stream: a word that no window settles is refused if it is too long to merge at once", "[tokenizer]") {
  std::vector<std::string> tokens = {"a", "\xe2\x96\x81", "\xc4\xa0"}, merges;
  std::vector<float> scores = {0, 0, 0};
  for (size_t n = 1; n <= kMaxWindowedSymbols; n *= 2) {
    tokens.push_back(std::string(2 * n, 'a')), scores.push_back(float(n));
    merges.push_back(std::string(n, 'a') + " " + std::string(n, 'a'));
  }
  for (const std::string model : {"gpt2", "llama"}) {
    INFO(model);
    const auto tokenizer = tokenizer_of(model, tokens, scores, merges);
    const std::string fits(kMaxMergedBytes - 1, 'a'), too_long(kMaxMergedBytes + 100, 'a');
    CHECK(n_bytes(encode_at_once(*tokenizer, fits + " " + fits)) == 2 * fits.size() + 1);
    CHECK(tokenizer->encode_plain(fits).ok());
    CHECK(tokenizer->encode_plain(too_long).status().code == Code::kBadText);
    for (const std::string& text : {too_long, too_long + " a", too_long + too_long + " a"}) {
      TokenBatch batch;
      const auto stream = tokenizer->stream(false);
      Status status = stream->feed("a " + text, batch);
      if (status.ok()) status = stream->finish(batch);
      CHECK(status.message.find("without a place to split it into tokens") != std::string::npos);
    }
  }
}
