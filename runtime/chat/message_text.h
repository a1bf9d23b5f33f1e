// What a message says, as bytes that templates see, and back: from those of the bytes that a template prints to the
// tokens that they came from.
#pragma once

#include <string>
#include <vector>

#include "runtime/chat/chat_prompt.h"

namespace reform {

// What is to be encoded: text, or ids as they are.
struct PromptPiece {
  MessagePart::Kind kind = MessagePart::Kind::kOther;
  std::string text;
  std::vector<int32_t> ids;
};

class MessageText {
 public:
  MessageText(const Tokenizer& tokenizer, const ChatMessage& message);

  const std::string& bytes() const { return bytes_; }
  MessagePart::Kind kind_at(size_t pos) const;  // of the part that the byte is of
  // Bytes [begin, end) as pieces. A token of which the range has only a part is text where that is UTF-8, else whole.
  void append_pieces(size_t begin, size_t end, std::vector<PromptPiece>& pieces) const;

 private:
  struct Placed {
    const MessagePart* part;
    size_t begin;
    std::vector<size_t> token_ends;  // of ids, in bytes_
  };
  void append_ids(const Placed& placed, size_t begin, size_t end, std::vector<PromptPiece>& pieces) const;

  std::string bytes_;
  std::vector<Placed> parts_;
};

}  // namespace reform
