// Where a model that reasons before it answers begins and ends its reasoning.
//
// Templates of such models write or look for two markers, as <think> and </think>. A template may open the reasoning in
// the prompt itself (DeepSeek-R1), close it there when told not to think (Qwen3), or leave both to the model.
#pragma once

#include <reform/chat.h>

#include <string>
#include <string_view>

#include "runtime/jinja/text.h"

namespace reform {

struct ReasoningMarkers {
  std::string_view open, close;
};

// Those that a template's source names; nullptr: none that we know.
const ReasoningMarkers* find_reasoning_markers(std::string_view template_source);

// What the template writes behind the last message: no marker; an open reasoning, which the reply goes on with; or one
// that is over.
enum class ReasoningState : uint8_t { kNone, kOpen, kClosed };
ReasoningState reasoning_at_end(const jinja::Text& prompt, const ReasoningMarkers& markers);

// Makes the prompt's end say what is wanted. A template that has a switch was told already, and writes what its model
// knows.
void set_reasoning(Think think, bool has_switch, const ReasoningMarkers& markers, jinja::Text& prompt);

// What ends a reasoning from outside.
std::string closing_text(const ReasoningMarkers& markers);

// A reply as it comes, cut into its reasoning and its answer, both without the markers. White space beside a marker
// belongs to neither. Only what a reply begins with is reasoning.
class ReasoningSplitter {
 public:
  enum class At : uint8_t { kStart, kReasoning, kAnswer };  // kStart: nothing yet tells which
  struct Parts {
    std::string reasoning, answer;  // bytes; they may end within a character
  };

  // No markers: all of it is the answer.
  ReasoningSplitter(const ReasoningMarkers* markers, bool is_open);

  Parts push(std::string_view bytes);
  Parts push_special(std::string_view token);  // a special token, by its text
  Parts settle();                              // if it has not opened a reasoning yet, it does not
  void drop_unfinished();                      // what the reasoning ends with may be half a marker
  Parts finish();

  At at() const { return at_; }
  bool may_open() const;  // what came so far may be the beginning of a marker

 private:
  Parts advance();
  bool take_marker(std::string_view marker);
  bool may_become(std::string_view marker) const;
  void drop_white_space();
  void take_start();
  void take_reasoning(Parts& parts);
  void take_answer(Parts& parts);

  const ReasoningMarkers* markers_;
  At at_;
  bool begins_part_ = true;  // nothing but white space has come since the marker
  std::string held_;         // not yet given out
};

}  // namespace reform
