#include "runtime/chat/markers.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "runtime/chat/chat_prompt.h"

namespace reform {
namespace {

// The length of a marker at text[pos], such as <|im_end|> or [INST]; 0: none is there. A tag of another shape, such as
// <tools>, is text for most models.
size_t marker_at(std::string_view text, size_t pos) {
  constexpr size_t kMostBytes = 64;
  for (const std::string_view known : {"<s>", "</s>", "[INST]", "[/INST]", "<start_of_turn>", "<end_of_turn>"})
    if (text.substr(pos).starts_with(known)) return known.size();
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>("<|", "|>"), {"<｜", "｜>"}}) {
    if (!text.substr(pos).starts_with(open)) continue;
    const size_t end = text.find(close, pos + open.size());
    if (end == text.npos || end - pos > kMostBytes) continue;
    const std::string_view marker = text.substr(pos, end + close.size() - pos);
    if (marker.find_first_of(" \t\r\n") == marker.npos) return marker.size();
  }
  return 0;
}

// The template's own text, without what the messages say.
std::string own_text(const jinja::Text& text) {
  std::string own;
  size_t done = 0;
  for (const jinja::Origin& origin : text.origins()) {
    own.append(text.bytes(), done, origin.begin - done);
    done = origin.end;
  }
  return own.append(text.bytes(), done);
}

void add_unknown(const Tokenizer& tokenizer, std::string_view text, std::vector<std::string>& unknown) {
  for (const Tokenizer::Stretch& stretch : tokenizer.cut_at_special(text)) {
    if (stretch.id >= 0) continue;
    for (size_t pos = stretch.begin; pos < stretch.end; ++pos) {
      const size_t n = marker_at(text.substr(0, stretch.end), pos);
      const std::string marker(text.substr(pos, n));
      if (n > 0 && std::find(unknown.begin(), unknown.end(), marker) == unknown.end()) unknown.push_back(marker);
    }
  }
}

// The first marker of the template's behind what the assistant says.
void find_turn_end(const Tokenizer& tokenizer, const jinja::Text& text, int32_t assistant, Markers& markers) {
  const auto& origins = text.origins();
  const auto said = std::find_if(origins.rbegin(), origins.rend(),
                                 [&](const jinja::Origin& origin) { return origin.source == assistant; });
  if (said == origins.rend()) return;
  const size_t begin = text.bytes().find_first_not_of(" \n", said->end);
  if (begin == std::string::npos) return;
  const std::string_view behind = std::string_view(text.bytes()).substr(begin);
  const auto stretches = tokenizer.cut_at_special(behind);
  if (stretches.empty()) return;
  markers.turn_end = stretches[0].id;
  markers.turn_end_text = behind.substr(0, stretches[0].id >= 0 ? stretches[0].end : marker_at(behind, 0));
}

}  // namespace

Markers find_markers(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  constexpr const char* kDate = "2026-03-07";
  Markers markers;
  const std::vector<ChatMessage> question = {{"user", {{MessagePart::Kind::kQuestion, "a", {}}}}};
  const auto asked = render_chat(chat, tokenizer, question, {"", kDate});
  if (!asked.ok()) return markers;
  add_unknown(tokenizer, own_text(asked.value()), markers.unknown);
  std::vector<ChatMessage> turns = question;
  turns.push_back({"assistant", {{MessagePart::Kind::kOther, "b", {}}}});
  const auto answered = render_chat(chat, tokenizer, turns, {R"({"add_generation_prompt": false})", kDate});
  if (answered.ok()) find_turn_end(tokenizer, answered.value(), 1, markers);
  return markers;
}

}  // namespace reform
