// Where a model that reasons before it answers begins and ends its reasoning.
//
// Templates of such models write or look for two markers, as <think> and </think>. A template may open the reasoning in
// the prompt itself (DeepSeek-R1), close it there when told not to think (Qwen3), or leave both to the model.
#pragma once

#include <reform/chat.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/jinja/text.h"

namespace reform {

struct ReasoningMarkers {
  std::string_view open, close;
};
using MarkerList = std::vector<const ReasoningMarkers*>;

// Those that a template's source names; empty: none that we know.
MarkerList find_reasoning_markers(std::string_view template_source);

// What a template writes behind the last message.
struct ReasoningState {
  bool is_closed = false;
  const ReasoningMarkers* open = nullptr;  // of a reasoning that the reply goes on with; null: it begins none
};
ReasoningState reasoning_at_end(const jinja::Text& prompt, const MarkerList& markers);

// Makes the prompt's end say what is wanted. A template that has a switch was told already, and writes what its model
// knows.
void set_reasoning(Think think, bool has_switch, const MarkerList& markers, jinja::Text& prompt);

// What ends a reasoning from outside.
std::string closing_text(const ReasoningMarkers& markers);

// A reply as it comes, cut into its reasoning and its answer, both without the markers. White space beside a marker
// belongs to neither. What comes before the answer's first character is reasoning; a later marker is text.
class ReasoningSplitter {
 public:
  enum class At : uint8_t { kStart, kReasoning, kAnswer };  // kStart: nothing yet tells which
  struct Parts {
    std::string reasoning, answer;  // bytes; they may end within a character
  };

  // No markers: all of it is the answer.
  ReasoningSplitter(MarkerList markers, const ReasoningState& prompt);

  Parts push(std::string_view bytes);
  Parts push_special(std::string_view token);  // a special token, by its text
  Parts settle();                              // what has not opened a reasoning by now is the answer
  void drop_unfinished();                      // what the reasoning ends with may be half a marker
  Parts finish();

  At at() const { return at_; }
  bool is_behind_marker() const;                          // and the white space that follows it, if any
  const ReasoningMarkers* open() const { return open_; }  // while at kReasoning

 private:
  Parts advance();
  void take_start();
  void take_reasoning(Parts& parts);
  void take_answer(Parts& parts);
  bool take_marker_at_start();
  bool may_become_marker() const;
  void drop_white_space();

  const MarkerList markers_;
  const ReasoningMarkers* open_ = nullptr;
  At at_ = At::kStart;
  bool follows_marker_ = false;  // of what is held: white space at its beginning is dropped
  bool has_reasoned_ = false;
  std::string held_;  // not yet given out
};

}  // namespace reform
