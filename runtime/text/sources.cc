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

  // Where a byte of the joined text, or its end, is in `text`. Within a token exactly, if the text was UTF-8.
  size_t at(int64_t byte) const {
    if (byte == end_byte) return text.size();
    if (byte <= begin_byte) return 0;  // a token may stand for no bytes, as SentencePiece's first space
    const auto after = std::upper_bound(token_bytes.begin(), token_bytes.end(), byte);
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

// Bytes [begin, end) of the joined text.
struct JoinedRange {
  int64_t begin = 0, end = 0;
};

// Of the span's best passage; of all of it if it has none.
JoinedRange best_bytes(const Span& span, const Tokens& tokens, int64_t first) {
  const bool has_best = span.round > 0;
  const int64_t begin = has_best ? span.best_begin_token : span.begin_token;
  const int64_t end = has_best ? span.best_end_token : span.end_token;
  return {tokens.begin_bytes[size_t(begin - first)], tokens.begin_bytes[size_t(end - first)]};
}

// The part of a source that lies in `best`, or all of it: of two files, the best passage may lie in the other. A
// character that is cut at an end is whole.
SourcePart part_of(const Piece& piece, JoinedRange source, JoinedRange best, int64_t file_begin) {
  JoinedRange part{std::max(best.begin, source.begin), std::min(best.end, source.end)};
  if (part.begin >= part.end) part = source;
  const size_t first = piece.at(source.begin), last = piece.at(source.end);
  size_t begin = piece.at(part.begin), end = piece.at(part.end);
  for (; begin > first && is_continuation(piece.text[begin]); --begin) --part.begin;
  for (; end < last && is_continuation(piece.text[end]); ++end) ++part.end;
  return {part.begin - file_begin, part.end - file_begin, 0, begin - first, end - begin};
}

// The part [begin, end) of the piece that lies in one file. Its lines are not known yet.
Source source_of(const Piece& piece, JoinedRange bytes, const Span& span, const SourceFile& file) {
  const size_t from = piece.at(bytes.begin), to = piece.at(bytes.end);
  Source source{.context = "",
                .file = file.name,
                .begin_byte = bytes.begin - file.begin_byte,
                .end_byte = bytes.end - file.begin_byte,
                .edge = span.edge,
                .score = span.score,
                .text = piece.text.substr(from, to - from),
                .begin_line = 0,
                .round = span.round,
                .parts = {},
                .best = {}};
  for (const double part : span.parts) source.parts.push_back({"", part});
  return source;
}

}  // namespace

Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::vector<Span>& spans) {
  std::vector<TokenRange> ranges;
  ranges.reserve(spans.size());
  for (const Span& span : spans) ranges.push_back(range_of(span, data.meta().n_tokens));
  TRY_ASSIGN(const std::vector<Tokens> tokens, data.read_token_ranges(ranges));
  std::vector<Source> sources;
  std::vector<int64_t> starts;  // for each source where its file, it and its best part begin, in the joined text
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    const Piece piece = make_piece(tokenizer, tokens[i], ranges[i].begin, span.begin_token, span.end_token);
    const JoinedRange best = best_bytes(span, tokens[i], ranges[i].begin);
    for (const SourceFile& file : files) {
      // A lossy read, another encoding and SentencePiece's prefix space make the text's length differ from its bytes.
      const JoinedRange bytes{std::max(piece.begin_byte, file.begin_byte),
                              std::min(piece.end_byte, file.begin_byte + file.size_bytes)};
      if (bytes.begin >= bytes.end) continue;
      Source& source = sources.emplace_back(source_of(piece, bytes, span, file));
      source.context = data.meta().name;
      source.best = part_of(piece, bytes, best, file.begin_byte);
      starts.insert(starts.end(), {file.begin_byte, bytes.begin, file.begin_byte + source.best.begin_byte});
    }
  }
  TRY_ASSIGN(const auto feeds, feeds_before(data, tokenizer, starts));
  for (size_t i = 0; i < sources.size(); ++i) {
    const int64_t* const before = feeds.data() + 3 * i;
    sources[i].begin_line = 1 + before[1] - before[0];
    sources[i].best.begin_line = 1 + before[2] - before[0];
  }
  return sources;
}

void rank_sources(std::vector<Source>& sources) {
  std::stable_sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) {
    if (a.edge || b.edge) return !a.edge;
    return a.round != b.round ? a.round < b.round : a.score > b.score;
  });
}

}  // namespace reform
