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
    // Of a converted text's tokens that share a character, all but the last stand for no bytes: it begins with the
    // first.
    const auto begin = std::lower_bound(token_bytes.begin(), token_bytes.end(), byte);
    if (begin != token_bytes.end() && *begin == byte) return token_at[size_t(begin - token_bytes.begin())];
    const size_t token = size_t(begin - token_bytes.begin()) - 1;
    const size_t end = token + 1 < token_at.size() ? token_at[token + 1] : text.size();
    return std::min(end, token_at[token] + size_t(byte - token_bytes[token]));
  }
};

// A span with the tokens around it that may complete a character cut at its edge.
TokenRange range_of(const Span& span, int64_t n_tokens) {
  return {std::max<int64_t>(0, span.begin_token - kCharacterTokens),
          std::min(n_tokens, span.end_token + kCharacterTokens)};
}

// The tokens of a span and those around them that may complete a character.
struct Surroundings {
  const Tokenizer& tokenizer;
  const Tokens& tokens;
  int64_t first = 0;  // of `tokens`

  int64_t last() const { return first + int64_t(tokens.ids.size()); }
  std::string text(int64_t t) const { return tokenizer.decode({tokens.ids[size_t(t - first)]}, true, t == 0); }
  int64_t begin_byte(int64_t t) const { return tokens.begin_bytes[size_t(t - first)]; }
};

// The range, and the tokens around it that complete a cut character.
TokenRange whole_characters(const Surroundings& around, TokenRange range) {
  std::string text;
  for (int64_t t = range.begin; t < range.end; ++t) text += around.text(t);
  while (range.begin > around.first && !text.empty() && is_continuation(text.front()))
    text = around.text(--range.begin) + text;
  while (range.end < around.last() && open_tail_bytes(text) > 0) text += around.text(range.end++);
  return range;
}

// `tokens` holds whole characters.
Piece make_piece(const Surroundings& around, TokenRange tokens) {
  Piece piece{around.begin_byte(tokens.begin), around.begin_byte(tokens.end), "", {}, {}};
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    piece.token_bytes.push_back(around.begin_byte(t));
    piece.token_at.push_back(piece.text.size());
    piece.text += around.text(t);
  }
  return piece;
}

// Bytes [begin, end) of the joined text.
struct JoinedRange {
  int64_t begin = 0, end = 0;
};

// Of the span's best passage; of all of it if it has none.
JoinedRange best_bytes(const Span& span, const Surroundings& around) {
  const TokenRange all{span.begin_token, span.end_token}, best{span.best_begin_token, span.best_end_token};
  const TokenRange tokens = whole_characters(around, span.round > 0 ? best : all);
  return {around.begin_byte(tokens.begin), around.begin_byte(tokens.end)};
}

// The part of a source that lies in `best`, or all of it: of two files, the best passage may lie in the other.
SourcePart part_of(const Piece& piece, JoinedRange source, JoinedRange best, int64_t file_begin) {
  JoinedRange part{std::max(best.begin, source.begin), std::min(best.end, source.end)};
  if (part.begin >= part.end) part = source;
  const size_t first = piece.at(source.begin), begin = piece.at(part.begin), end = piece.at(part.end);
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
    const Surroundings around{tokenizer, tokens[i], ranges[i].begin};
    const Piece piece = make_piece(around, whole_characters(around, {span.begin_token, span.end_token}));
    const JoinedRange best = best_bytes(span, around);
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
