#include "runtime/chat/chat_template.h"

#include "runtime/chat/built_in.h"
#include "runtime/chat/chat_prompt.h"
#include "runtime/chat/markers.h"
#include "tests/runtime/chat/chat_model.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;

namespace {

std::string error_of(const ChatModel& model, const std::string& wanted) {
  return load_chat_template(*model.gguf, *model.tokenizer, wanted).status().message;
}

}  // namespace

TEST_CASE("chat template: the file's own, its others, ours and a file's are found by name", "[runtime][chat]") {
  const ChatModel model(Templates{{"", "own"}, {".tool_use", "tools"}, {".rag", "rag"}});
  CHECK(take(template_names(*model.gguf)) == std::vector<std::string>{"default", "rag", "tool_use"});
  CHECK(model.chat().source == "own");
  CHECK(model.chat().name == "default");
  CHECK(model.chat("tool_use").source == "tools");
  CHECK(model.chat("chatml").source.find("<|im_start|>") != std::string::npos);
  const TempDir dir;
  write_file(dir.path("t.jinja"), "from a file");
  CHECK(model.chat(dir.path("t.jinja")).source == "from a file");
  CHECK(error_of(model, "none-such") ==
        "there is no chat template 'none-such': it is no file, and the names are chatml, llama3, gemma, mistral, base, "
        "and "
        "this model's own default, rag, tool_use");
}

TEST_CASE("chat template: a file without one is asked as a base model", "[runtime][chat]") {
  const ChatModel model;
  CHECK(model.chat().name == kBaseTemplate);
  const std::vector<ChatMessage> messages = {{"user", {{MessagePart::Kind::kQuestion, "Text.\n\nWho?", {}}}}};
  CHECK(take(render_chat(model.chat(), *model.tokenizer, messages, {})).bytes() == "Text.\n\nWho?\nAnswer:");
  CHECK(ChatModel(Templates{{".rag", "rag"}}).chat().name == "rag");
}

TEST_CASE("chat template: one that cannot be read says why", "[runtime][chat]") {
  const ChatModel model(Templates{{"", "{% for %}"}});
  CHECK(error_of(model, "") ==
        "model.gguf: the chat template cannot be read: line 1: expected a name to assign to, found '%}'; "
        "name another one with --chat-template");
}

TEST_CASE("chat template: every built-in one takes a talk of two turns", "[runtime][chat]") {
  const ChatModel model;
  for (const BuiltInTemplate& one : built_in_templates()) {
    INFO(one.name);
    using Kind = MessagePart::Kind;
    const std::vector<ChatMessage> talk = {{"user", {{Kind::kOther, "One?", {}}}},
                                           {"assistant", {{Kind::kOther, "Two.", {}}}},
                                           {"user", {{Kind::kQuestion, "Three?", {}}}}};
    const std::string text = take(render_chat(model.chat(std::string(one.name)), *model.tokenizer, talk, {})).bytes();
    CHECK(text.find("One?") < text.find("Two."));
    CHECK(text.find("Two.") < text.find("Three?"));
    CHECK(text.find("system") == std::string::npos);
  }
}

TEST_CASE("markers: what the vocabulary does not hold, and what ends a turn", "[runtime][chat]") {
  const auto markers = [](const std::string& source) {
    const ChatModel model(Templates{{"", source}});
    return find_markers(model.chat(), *model.tokenizer);
  };
  const std::string turn = "{% for m in messages %}<|u|>{{ m.content }}";
  Markers found = markers(turn + "<|e|>{% endfor %}");
  CHECK(found.unknown.empty());
  CHECK(found.turn_end == ChatModel().tokenizer->cut_at_special("<|e|>")[0].id);
  found = markers(turn + "<|im_end|>\n{% endfor %}<|im_start|>");
  CHECK(found.unknown == std::vector<std::string>{"<|im_end|>", "<|im_start|>"});
  CHECK(found.turn_end == -1);
  CHECK(found.turn_end_text == "<|im_end|>");
  found = markers("{% for m in messages %}USER: {{ m.content }}\n{% endfor %}<tools>");
  CHECK(found.unknown.empty());
  CHECK(found.turn_end_text.empty());
  CHECK(markers("{{ raise_exception('no') }}").turn_end == -1);
}
