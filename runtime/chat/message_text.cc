#include "runtime/chat/message_text.h"

#include <algorithm>
#include <utility>

#include "runtime/tokenizer/unicode.h"

namespace reform {

MessageText::MessageText(const Tokenizer& tokenizer, const ChatMessage& message) {
  for (const MessagePart& part : message.parts) {
    Placed placed{&part, bytes_.size(), {}};
    bytes_ += part.text;
    for (const int32_t id : part.ids) {
      bytes_ += tokenizer.token_bytes(id, /*special=*/false);
      placed.token_ends.push_back(bytes_.size());
    }
    if (bytes_.size() > placed.begin || !part.ids.empty()) parts_.push_back(std::move(placed));
  }
}

MessagePart::Kind MessageText::kind_at(size_t pos) const {
  MessagePart::Kind kind = MessagePart::Kind::kOther;
  for (const Placed& placed : parts_)
    if (placed.begin <= pos) kind = placed.part->kind;
  return kind;
}

void MessageText::append_ids(const Placed& placed, size_t begin, size_t end, std::vector<PromptPiece>& pieces) const {
  PromptPiece ids{placed.part->kind, "", {}};
  size_t token_begin = placed.begin;
  for (size_t i = 0; i < placed.token_ends.size(); ++i) {
    const size_t token_end = placed.token_ends[i];
    const size_t from = std::max(begin, token_begin), to = std::min(end, token_end);
    const bool is_part = from < to && (from > token_begin || to < token_end);
    const std::string text = is_part ? bytes_.substr(from, to - from) : "";
    if (is_part && check_utf8("", text).ok()) {
      if (!ids.ids.empty()) pieces.push_back(std::exchange(ids, {placed.part->kind, "", {}}));
      pieces.push_back({placed.part->kind, text, {}});
    } else if (from < to || (token_begin == token_end && begin <= token_begin &&
                             (token_end < end || (token_end == end && end == bytes_.size())))) {
      ids.ids.push_back(placed.part->ids[i]);
    }
    token_begin = token_end;
  }
  if (!ids.ids.empty()) pieces.push_back(std::move(ids));
}

void MessageText::append_pieces(size_t begin, size_t end, std::vector<PromptPiece>& pieces) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Placed& placed = parts_[i];
    const size_t part_end = i + 1 < parts_.size() ? parts_[i + 1].begin : bytes_.size();
    const size_t from = std::max(begin, placed.begin), to = std::min(end, part_end);
    if (!placed.token_ends.empty()) {
      if (begin <= part_end && placed.begin <= end) append_ids(placed, begin, end, pieces);
    } else if (from < to) {
      pieces.push_back({placed.part->kind, bytes_.substr(from, to - from), {}});
    }
  }
}

}  // namespace reform
