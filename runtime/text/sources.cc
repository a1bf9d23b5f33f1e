#include "runtime/text/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/try.h"
#include "runtime/text/character_bytes.h"
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

  // Where a byte of the joined text, or its end, is in `text`.
  size_t at(int64_t byte, const CharacterBytes& characters) const {
    if (byte == end_byte) return text.size();
    if (byte <= begin_byte) return 0;  // a token may stand for no bytes, as SentencePiece's first space
    // Of a converted text's tokens that share a character, all but the last stand for no bytes: it begins with the
    // first.
    const auto begin = std::lower_bound(token_bytes.begin(), token_bytes.end(), byte);
    if (begin != token_bytes.end() && *begin == byte) return token_at[size_t(begin - token_bytes.begin())];
    const size_t token = size_t(begin - token_bytes.begin()) - 1;
    const bool is_last = token + 1 == token_at.size();
    const size_t from = token_at[token], to = is_last ? text.size() : token_at[token + 1];
    const RawRange raw{token_bytes[token], is_last ? end_byte : token_bytes[token + 1]};
    return from + characters.text_before(std::string_view(text).substr(from, to - from), raw, byte);
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

// Of the span's best passage; of all of it if it has none.
RawRange best_bytes(const Span& span, const Surroundings& around) {
  const TokenRange all{span.begin_token, span.end_token}, best{span.best_begin_token, span.best_end_token};
  const TokenRange tokens = whole_characters(around, span.round > 0 ? best : all);
  return {around.begin_byte(tokens.begin), around.begin_byte(tokens.end)};
}

// The part of a source that lies in `best`, or all of it: of two files, the best passage may lie in the other.
SourcePart part_of(const Piece& piece, const CharacterBytes& characters, RawRange source, RawRange best,
                   int64_t file_begin) {
  RawRange part{std::max(best.begin, source.begin), std::min(best.end, source.end)};
  if (part.begin >= part.end) part = source;
  const auto at = [&](int64_t byte) { return piece.at(byte, characters); };
  const size_t first = at(source.begin), begin = at(part.begin), end = at(part.end);
  return {part.begin - file_begin, part.end - file_begin, 0, begin - first, end - begin};
}

// The part [begin, end) of the piece that lies in one file. Its lines are not known yet.
Source source_of(const Piece& piece, const CharacterBytes& characters, RawRange bytes, const Span& span,
                 const SourceFile& file) {
  const size_t from = piece.at(bytes.begin, characters), to = piece.at(bytes.end, characters);
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

std::vector<int64_t> begins_of(const std::vector<SourceFile>& files) {
  std::vector<int64_t> begins;
  begins.reserve(files.size());
  for (const SourceFile& file : files) begins.push_back(file.begin_byte);
  return begins;
}

}  // namespace

Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::string& encoding,
                                         const std::vector<Span>& spans) {
  const CharacterBytes characters(encoding, begins_of(files));
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
    const RawRange best = best_bytes(span, around);
    for (const SourceFile& file : files) {
      // A lossy read, another encoding and SentencePiece's prefix space make the text's length differ from its bytes.
      const RawRange bytes{std::max(piece.begin_byte, file.begin_byte),
                           std::min(piece.end_byte, file.begin_byte + file.size_bytes)};
      if (bytes.begin >= bytes.end) continue;
      Source& source = sources.emplace_back(source_of(piece, characters, bytes, span, file));
      source.context = data.meta().name;
      source.best = part_of(piece, characters, bytes, best, file.begin_byte);
      starts.insert(starts.end(), {file.begin_byte, bytes.begin, file.begin_byte + source.best.begin_byte});
    }
  }
  TRY_ASSIGN(const auto feeds, feeds_before(data, tokenizer, characters, starts));
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

Status check_coverage(ContextData& data, const std::vector<SourceFile>& files) {
  const ContextMeta& meta = data.meta();
  int64_t n_bytes = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].begin_byte != n_bytes)
      return {Code::kCorrupt, fmt::format("context '{}': its file {} begins at byte {}, and those before end at {}",
                                          meta.name, i + 1, files[i].begin_byte, n_bytes)};
    n_bytes += files[i].size_bytes;
  }
  int64_t n_covered = 0;
  if (meta.n_tokens > 0) {
    TRY_ASSIGN(const Tokens last, data.read_tokens(meta.n_tokens - 1, meta.n_tokens));
    n_covered = last.begin_bytes.back();
  }
  if (n_covered == n_bytes) return {};
  return {Code::kCorrupt, fmt::format("context '{}': its files have {} bytes, and its tokens stand for {}", meta.name,
                                      n_bytes, n_covered)};
}

}  // namespace reform
