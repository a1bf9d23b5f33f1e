#include "runtime/passages.h"

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kCharacterTokens = 4;  // a character has at most four bytes, so at most four tokens

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes that the text's last character still lacks.
int missing_bytes(const std::string& text) {
  for (size_t n = 1; n <= 4 && n <= text.size(); ++n) {
    const char c = text[text.size() - n];
    if (is_continuation(c)) continue;
    const unsigned char head = static_cast<unsigned char>(c);
    const int wanted = head >= 0xf0 ? 4 : head >= 0xe0 ? 3 : head >= 0xc0 ? 2 : 1;
    return std::max(0, wanted - int(n));
  }
  return 0;
}

struct Piece {
  int64_t begin_byte = 0, end_byte = 0;
  std::string text;
};

// Tokens [begin, end) of the context as text, with the neighbouring tokens that a cut character at either rim needs.
Result<Piece> read_piece(ContextData& data, const Tokenizer& tokenizer, int64_t begin, int64_t end) {
  const int64_t first = std::max<int64_t>(0, begin - kCharacterTokens);
  const int64_t last = std::min(data.meta().n_tokens, end + kCharacterTokens);
  TRY_ASSIGN(const Tokens tokens, data.read_tokens(first, last));
  const auto bytes = [&](int64_t t) { return tokenizer.decode({tokens.ids[size_t(t - first)]}, true, t == 0); };
  std::string text;
  for (int64_t t = begin; t < end; ++t) text += bytes(t);
  while (begin > first && !text.empty() && is_continuation(text.front())) text = bytes(--begin) + text;
  while (end < last && missing_bytes(text) > 0) text += bytes(end++);
  return Piece{tokens.begin_bytes[size_t(begin - first)], tokens.begin_bytes[size_t(end - first)], text};
}

}  // namespace

Result<std::vector<Source>> make_sources(ContextData& data, const Tokenizer& tokenizer,
                                         const std::vector<SourceFile>& files, const std::vector<Span>& spans) {
  std::vector<Source> sources;
  for (const Span& span : spans) {
    TRY_ASSIGN(const Piece piece, read_piece(data, tokenizer, span.begin_token, span.end_token));
    for (const SourceFile& file : files) {
      const int64_t begin = std::max(piece.begin_byte, file.begin_byte);
      const int64_t end = std::min(piece.end_byte, file.begin_byte + file.size_bytes);
      if (begin >= end) continue;
      // Offsets and text run in step except where a lossy read or a prefix space changed the length: then the text is
      // only cut where files meet.
      const bool whole = begin == piece.begin_byte && end == piece.end_byte;
      const size_t from = std::min(piece.text.size(), size_t(begin - piece.begin_byte));
      sources.push_back({.context = data.meta().name,
                         .file = file.name,
                         .begin_byte = begin - file.begin_byte,
                         .end_byte = end - file.begin_byte,
                         .edge = span.edge,
                         .score = span.score,
                         .text = whole ? piece.text : piece.text.substr(from, size_t(end - begin))});
    }
  }
  return sources;
}

}  // namespace reform
