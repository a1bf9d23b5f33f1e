#include "tools/serve/conversation.h"

#include <fmt/format.h>
#include <reform/text.h>

#include <algorithm>
#include <deque>
#include <string_view>
#include <utility>

namespace reform::tool {
namespace {

constexpr size_t kLeastTailBytes = 24;
constexpr std::string_view kSpace = " \t\r\n";
constexpr const char* kLeftOut = "\n\n[...]\n\n";

// Where the paragraph, line or sentence that ends at `end` begins; `end` itself if it is longer than `most` bytes.
size_t begin_of_unit(std::string_view text, size_t end, std::string_view separator, size_t most) {
  const size_t least = end - std::min(end, most);
  if (end == 0) return end;
  const size_t at = text.substr(0, end).rfind(separator);
  if (at == text.npos) return least == 0 ? 0 : end;
  return at + separator.size() >= least ? at + separator.size() : end;
}

// The last paragraphs, back to the one that asks something.
size_t asking_paragraphs(std::string_view text, size_t end, size_t most) {
  size_t begin = begin_of_unit(text, end, "\n\n", most);
  const size_t last = begin;
  while (begin < end && begin > 2 && text.substr(begin, end - begin).find('?') == text.npos) {
    const size_t before = begin_of_unit(text, begin - 2, "\n\n", most - std::min(most, end - begin + 2));
    if (before == begin - 2) break;
    begin = before;
  }
  const bool asks = text.substr(begin, end - begin).find('?') != text.npos;
  return asks || end - last < kLeastTailBytes ? begin : last;
}

size_t find_tail(std::string_view text, size_t most) {
  const size_t end = text.find_last_not_of(kSpace) + 1;
  if (const size_t begin = asking_paragraphs(text, end, most); begin < end) return begin;
  for (const std::string_view separator : {"\n", ". ", "? ", "! ", " "})
    if (const size_t begin = begin_of_unit(text, end, separator, most); begin < end) return begin;
  size_t begin = end - std::min(end, most);
  while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;  // a character is not cut
  return begin;
}

size_t find_head(std::string_view text, size_t most) {
  for (const std::string_view separator : {"\n\n", "\n"}) {
    const size_t at = text.find(separator);
    if (at != text.npos && at <= most) return at + separator.size();
  }
  return 0;
}

// Turns as they come in: the conversation at each of its requests in turn.
class Splitter {
 public:
  Splitter(int64_t room_tokens, const CountTokens& count) : room_(room_tokens), count_(count) {}

  // The system text.
  void take_system(const std::string& content) { split.rest.system = shown(cut(content, "system"), content); }

  void take_turn(const Message& message, size_t index) {
    Turn turn{message.role, fmt::format("messages[{}] ({})", index, message.role), &message.content, {}, 0};
    turn.ends = cut(message.content, turn.name);
    turn.n_tokens = count_(shown(turn.ends, message.content)) + kTurnOverheadTokens;
    recent_tokens_ += turn.n_tokens;
    recent_.push_back(std::move(turn));
    if (message.role == "user" && recent_tokens_ > room_ / 2) {
      while (recent_.size() > 1 && recent_tokens_ > room_ / 4) leave();
    }
    while (recent_.size() > 1 && recent_.front().role != "user") leave();  // templates want a user's first
  }

  SplitConversation finish() {
    for (const Turn& turn : recent_) split.rest.turns.push_back({turn.role, shown(turn.ends, *turn.content)});
    return std::move(split);
  }

  SplitConversation split;

 private:
  struct Turn {
    std::string role, name;
    const std::string* content;
    MessageEnds ends;  // what stays of it; all of it if they meet
    int64_t n_tokens;
  };

  // A long text leaves its middle to a piece.
  MessageEnds cut(const std::string& content, const std::string& name) {
    if (count_(content) <= room_ / 8) return {};
    const MessageEnds ends = find_ends(content, size_t(std::clamp<int64_t>(room_ / 4, 64, kMostEndBytes)));
    return add_piece(content, ends.head_end, ends.tail_begin, name) ? ends : MessageEnds{};
  }

  static std::string shown(const MessageEnds& ends, const std::string& content) {
    const bool is_cut = ends.head_end > 0 && ends.head_end < ends.tail_begin;
    return content.substr(0, ends.head_end) + (is_cut ? kLeftOut : "") + content.substr(ends.tail_begin);
  }

  bool add_piece(const std::string& content, size_t begin, size_t end, const std::string& name) {
    std::string text = content.substr(begin, end - begin);
    if (is_blank(text)) return false;
    const auto n_lines = std::ranges::count(std::string_view(content).substr(0, begin), '\n');
    split.pieces.push_back({name, std::move(text), int64_t(begin), int64_t(n_lines)});
    return true;
  }

  void leave() {
    const Turn& turn = recent_.front();
    if (turn.ends.head_end > 0) add_piece(*turn.content, 0, turn.ends.head_end, turn.name);
    add_piece(*turn.content, turn.ends.tail_begin, turn.content->size(), turn.name);
    recent_tokens_ -= turn.n_tokens;
    recent_.pop_front();
  }

  const int64_t room_;
  const CountTokens& count_;
  std::deque<Turn> recent_;
  int64_t recent_tokens_ = 0;
};

}  // namespace

MessageEnds find_ends(const std::string& content, size_t most_bytes) {
  MessageEnds ends;
  ends.tail_begin = find_tail(content, most_bytes);
  ends.head_end = find_head(content, most_bytes / 2);
  if (ends.head_end >= ends.tail_begin) ends.head_end = 0;
  return ends;
}

SplitConversation split_conversation(const Conversation& all, int64_t room_tokens, const CountTokens& count) {
  Splitter splitter(room_tokens, count);
  splitter.take_system(all.system);
  for (size_t i = 0; i < all.turns.size(); ++i) splitter.take_turn(all.turns[i], all.first_turn + i);
  return splitter.finish();
}

}  // namespace reform::tool
