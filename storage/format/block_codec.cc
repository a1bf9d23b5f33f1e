#include "storage/format/block_codec.h"

#include <algorithm>

#include "base/try.h"
#include "storage/format/bytes.h"
#include "storage/format/frame.h"
#include "storage/format/schema.h"

namespace reform {
namespace {

// Bytes of the largest id, read as unsigned. A negative id (there should be none) takes four.
int id_width(std::span<const int32_t> ids) {
  uint32_t all = 0;
  for (const int32_t id : ids) all |= uint32_t(id);
  return all >> 24 ? 4 : all >> 16 ? 3 : all >> 8 ? 2 : 1;
}

// A source text is far below this, so sums of lengths cannot overflow.
constexpr uint64_t kMaxBeginByte = uint64_t{1} << 62;

}  // namespace

int64_t SpanBlock::end_byte() const {
  int64_t end = begin_byte;
  for (const uint32_t n : byte_lengths) end += n;
  return end;
}

std::string encode_spans(int64_t begin_byte, std::span<const int32_t> ids, std::span<const uint32_t> byte_lengths) {
  CHECK(ids.size() == byte_lengths.size());
  const int width = id_width(ids);
  std::string payload;
  payload.reserve(13 + ids.size() * size_t(width + 2));
  ByteWriter out(payload);
  out.fixed(begin_byte);
  out.fixed(uint32_t(ids.size()));
  out.fixed(uint8_t(width));
  for (const int32_t id : ids) {
    for (int i = 0; i < width; ++i) payload.push_back(char(uint32_t(id) >> (8 * i)));
  }
  for (const uint32_t n : byte_lengths) out.varint(n);
  return payload;
}

Result<SpanBlock> decode_spans(std::span<const std::byte> payload, int64_t n_tokens) {
  const Status bad{Code::kCorrupt, "is not a block of " + std::to_string(n_tokens) + " tokens"};
  ByteReader in(payload);
  const auto begin_byte = in.fixed<uint64_t>();
  const auto n = in.fixed<uint32_t>();
  const int width = in.fixed<uint8_t>();
  if (!in.ok() || begin_byte > kMaxBeginByte || int64_t(n) != n_tokens || n_tokens > schema::kMaxBlockTokens ||
      width < 1 || width > 4) {
    return bad;
  }
  SpanBlock block{int64_t(begin_byte), std::vector<int32_t>(n), std::vector<uint32_t>(n)};
  const auto packed = in.bytes(size_t(n) * size_t(width));
  if (!in.ok()) return bad;
  for (size_t t = 0; t < n; ++t) {
    uint32_t id = 0;
    for (int i = 0; i < width; ++i) id |= uint32_t(packed[t * size_t(width) + size_t(i)]) << (8 * i);
    block.ids[t] = int32_t(id);
  }
  for (uint32_t& length : block.byte_lengths) {
    const uint64_t value = in.varint();
    if (value > UINT32_MAX) return bad;
    length = uint32_t(value);
  }
  if (!in.at_end()) return bad;
  return block;
}

Status SpanChain::add(TokenRange block, std::span<const std::byte> payload) {
  const std::string name = describe_block(schema::Kind::kSpans, uint64_t(block.begin));
  const auto spans = decode_spans(payload, block.n_tokens());
  if (!spans.ok()) return {Code::kCorrupt, name + " " + spans.status().message};
  const bool follows = end_token_ != block.begin || end_byte_ == spans.value().begin_byte;
  end_token_ = block.end;
  end_byte_ = spans.value().end_byte();
  return follows ? Status{} : Status{Code::kCorrupt, name + " does not follow the one before it"};
}

}  // namespace reform
