#include "runtime/text/lines.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <unordered_map>

#include "base/try.h"
#include "storage/format/block_codec.h"

namespace reform {
namespace {

class FeedCounter {
 public:
  FeedCounter(const Tokenizer& tokenizer, const CharacterBytes& characters)
      : tokenizer_(tokenizer), characters_(characters) {}

  // Line feeds in the part of the token that comes before the byte `at`, where one file ends and the next begins.
  int64_t count_before(int32_t id, RawRange token, int64_t at) const {
    const std::string text = tokenizer_.token_bytes(id, /*special=*/true);
    const size_t n = characters_.text_before(text, token, at);
    return std::count(text.begin(), text.begin() + int64_t(n), '\n');
  }
  // In all of it.
  int64_t count(int32_t id) {
    const auto [known, is_new] = known_.try_emplace(id);
    if (is_new) {
      const std::string text = tokenizer_.token_bytes(id, /*special=*/true);
      known->second = std::count(text.begin(), text.end(), '\n');
    }
    return known->second;
  }

 private:
  const Tokenizer& tokenizer_;
  const CharacterBytes& characters_;
  std::unordered_map<int32_t, int64_t> known_;
};

}  // namespace

Result<std::vector<int64_t>> feeds_before(ContextData& data, const Tokenizer& tokenizer,
                                          const CharacterBytes& characters, std::span<const int64_t> bytes) {
  if (bytes.empty()) return std::vector<int64_t>();
  std::vector<size_t> order(bytes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return bytes[i]; });
  std::vector<int64_t> feeds(bytes.size());
  FeedCounter counter(tokenizer, characters);
  size_t next = 0;  // of `order`
  int64_t n_feeds = 0;
  TRY(data.scan(kTokenSpans, [&](TokenRange tokens, std::span<const std::byte> stored) -> Status {
    if (next == order.size()) return {};
    TRY_ASSIGN(const SpanBlock block, decode_spans(stored, tokens.n_tokens()));
    int64_t byte = block.begin_byte;
    for (size_t t = 0; t < block.ids.size(); ++t) {
      const int64_t end_byte = byte + block.byte_lengths[t];
      for (; next < order.size() && bytes[order[next]] < end_byte; ++next)
        feeds[order[next]] = n_feeds + counter.count_before(block.ids[t], {byte, end_byte}, bytes[order[next]]);
      n_feeds += counter.count(block.ids[t]);
      byte = end_byte;
    }
    return {};
  }));
  for (; next < order.size(); ++next) feeds[order[next]] = n_feeds;
  return feeds;
}

}  // namespace reform
