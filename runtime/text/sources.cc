#include "runtime/text/sources.h"

#include <algorithm>

#include "base/try.h"
#include "runtime/text/lines.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr int64_t kCharacterTokens = 4;  // a character has at most four bytes, so at most four tokens

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

struct Piece {
  int64_t begin_byte = 0, end_byte = 0;
  std::string text;
  std::vector<int64_t> token_bytes;  // where each token begins, in the joined text …
  std::vector<size_t> token_at;      // … and in `text`

  // Where a byte of the joined text is in `text`. Within a token exactly, if the text was UTF-8.
  size_t at(int64_t byte) const {
    const auto after = std::upper_bound(token_bytes.begin(), token_bytes.end(), byte);
    if (after == token_bytes.begin()) return 0;
    const size_t token = size_t(after - token_bytes.begin()) - 1;
    const size_t end = token + 1 < token_at.size() ? token_at[token + 1] : text.size();
    return std::min(end, token_at[token] + size_t(byte - token_bytes[token]));
  }
};

// A span with the tokens around it that may complete a character cut at its edge.
TokenRange range_of(const Span& span, int64_t n_tokens) {
  return {std::max<int64_t>(0, span.begin_token - kCharacterTokens),
          std::min(n_tokens, span.end_token + kCharacterTokens)};
}

// The text of tokens [begin, end), and of those around them that complete a cut character. `tokens` begins at `first`.
Piece make_piece(const Tokenizer& tokenizer, const Tokens& tokens, int64_t first, int64_t begin, int64_t end) {
  const int64_t last = first + int64_t(tokens.ids.size());
  const auto bytes = [&](int64_t t) { return tokenizer.decode({tokens.ids[size_t(t - first)]}, true, t == 0); };
  std::string text;
  for (int64_t t = begin; t < end; ++t) text += bytes(t);
  while (begin > first && !text.empty() && is_continuation(text.front())) text = bytes(--begin) + text;
  while (end < last && open_tail_bytes(text) > 0) text += bytes(end++);
  Piece piece{tokens.begin_bytes[size_t(begin - first)], tokens.begin_bytes[size_t(end - first)], text, {}, {}};
  size_t at = 0;
  for (int64_t t = begin; t < end; at += bytes(t++).size()) {
    piece.token_bytes.push_back(tokens.begin_bytes[size_t(t - first)]);
    piece.token_at.push_back(at);
  }
  return piece;
}

}  // namespace

Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::vector<Span>& spans) {
  std::vector<TokenRange> ranges;
  ranges.reserve(spans.size());
  for (const Span& span : spans) ranges.push_back(range_of(span, data.meta().n_tokens));
  TRY_ASSIGN(const std::vector<Tokens> tokens, data.read_token_ranges(ranges));
  std::vector<Source> sources;
  std::vector<int64_t> starts;  // for each source where its file and where it begins, in the joined text
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    const Piece piece = make_piece(tokenizer, tokens[i], ranges[i].begin, span.begin_token, span.end_token);
    for (const SourceFile& file : files) {
      const int64_t begin = std::max(piece.begin_byte, file.begin_byte);
      const int64_t end = std::min(piece.end_byte, file.begin_byte + file.size_bytes);
      if (begin >= end) continue;
      // A lossy read, another encoding and SentencePiece's prefix space make the text's length differ from its bytes.
      starts.insert(starts.end(), {file.begin_byte, begin});
      const bool whole = begin == piece.begin_byte && end == piece.end_byte;
      const size_t from = piece.at(begin), to = end == piece.end_byte ? piece.text.size() : piece.at(end);
      sources.push_back({.context = data.meta().name,
                         .file = file.name,
                         .begin_byte = begin - file.begin_byte,
                         .end_byte = end - file.begin_byte,
                         .edge = span.edge,
                         .score = span.score,
                         .text = whole ? piece.text : piece.text.substr(from, to - from),
                         .begin_line = 0,
                         .round = span.round,
                         .parts = {}});
      for (const double part : span.parts) sources.back().parts.push_back({"", part});
    }
  }
  TRY_ASSIGN(const auto feeds, feeds_before(data, tokenizer, starts));
  for (size_t i = 0; i < sources.size(); ++i) sources[i].begin_line = 1 + feeds[2 * i + 1] - feeds[2 * i];
  return sources;
}

void rank_sources(std::vector<Source>& sources) {
  std::stable_sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) {
    if (a.edge || b.edge) return !a.edge;
    return a.round != b.round ? a.round < b.round : a.score > b.score;
  });
}

}  // namespace reform
