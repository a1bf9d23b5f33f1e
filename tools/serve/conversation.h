// A conversation that does not fit into the model's window: what stays in the prompt, and what becomes a context that
// is asked instead.
//
// The same conversation with more turns at its end has the same pieces, and perhaps more behind them, so its context
// only grows. Turns leave the prompt many at a time, since each growth of a context takes time.
#pragma once

#include <reform/chat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace reform::tool {

inline constexpr int64_t kTurnOverheadTokens = 16;  // what a template writes around a turn, about

struct Conversation {
  std::string system;
  std::vector<Message> turns;  // the last one is a user's
  size_t first_turn = 0;       // its index among the request's messages
};

// A text of the context.
struct Piece {
  std::string name;  // "messages[3] (user)", of which it is a part
  std::string text;
  // In that message's content.
  int64_t begin_byte = 0, n_lines_before = 0;
};

struct SplitConversation {
  std::vector<Piece> pieces;  // in the order in which they left the prompt
  Conversation rest;          // long messages are their beginning and end
};

using CountTokens = std::function<int64_t(const std::string& text)>;
// `room_tokens`: for the whole prompt. The rest takes half of it at most, where its ends allow it.
SplitConversation split_conversation(const Conversation& all, int64_t room_tokens, const CountTokens& count);

// Of a long message: up to where its beginning reaches, which may be an instruction, and from where its end does, which
// is likely the question. What is between them is the text.
struct MessageEnds {
  size_t head_end = 0, tail_begin = 0;
};
// The end has at most so many bytes, and the beginning half as many.
inline constexpr int64_t kMostEndBytes = 800;
MessageEnds find_ends(const std::string& content, size_t most_bytes);

}  // namespace reform::tool
