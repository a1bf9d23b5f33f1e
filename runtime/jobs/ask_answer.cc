#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/try.h"
#include "runtime/jobs/ask_method.h"

namespace reform {
namespace {

// The tokens of each span. Spans of one context are next to each other and are read together.
Result<std::vector<Tokens>> read_spans(Ask& ask, std::span<const Span> spans) {
  std::vector<Tokens> tokens;
  for (size_t begin = 0; begin < spans.size(); begin = tokens.size()) {
    std::vector<TokenRange> ranges;
    for (size_t i = begin; i < spans.size() && spans[i].context == spans[begin].context; ++i) {
      ranges.push_back({spans[i].begin_token, spans[i].end_token});
    }
    TRY_ASSIGN(auto read, ask.contexts[size_t(spans[begin].context)].data->read_token_ranges(ranges));
    std::move(read.begin(), read.end(), std::back_inserter(tokens));
  }
  return tokens;
}

// The part of a span that lies in one file.
struct FilePiece {
  int32_t context = 0;
  size_t file = 0;
  bool begins_file = false, continues = false;  // it continues the piece before: no text lies between them
  std::span<const int32_t> ids;
};

// Cuts the spans where one file ends and the next begins.
std::vector<FilePiece> cut_at_files(const Ask& ask, std::span<const Span> spans, const std::vector<Tokens>& tokens) {
  std::vector<FilePiece> pieces;
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    const std::vector<SourceFile>& files = ask.contexts[size_t(span.context)].files;
    const std::vector<int64_t>& bytes = tokens[i].begin_bytes;
    const bool touches = i > 0 && spans[i - 1].context == span.context && spans[i - 1].end_token == span.begin_token;
    for (size_t f = 0; f < files.size(); ++f) {
      const auto at = [&](int64_t byte) {
        return size_t(std::lower_bound(bytes.begin(), bytes.end() - 1, byte) - bytes.begin());
      };
      const size_t begin = at(files[f].begin_byte), end = at(files[f].begin_byte + files[f].size_bytes);
      if (begin >= end) continue;
      const bool same_file = !pieces.empty() && pieces.back().context == span.context && pieces.back().file == f;
      pieces.push_back({span.context, f, bytes[begin] <= files[f].begin_byte, touches && same_file,
                        std::span(tokens[i].ids).subspan(begin, end - begin)});
    }
  }
  return pieces;
}

// The length of the folder's name that all of a context's files begin with.
size_t common_folder(const std::vector<SourceFile>& files) {
  std::string_view common = files[0].name;
  for (const SourceFile& file : files) {
    const auto differ = std::mismatch(common.begin(), common.end(), file.name.begin(), file.name.end());
    common = common.substr(0, size_t(differ.first - common.begin()));
  }
  const size_t slash = common.rfind('/');
  return slash == std::string_view::npos ? 0 : slash + 1;
}

// What the model is told about where a passage is from: the context if there are several, the file if that has several.
std::string heading_of(const Ask& ask, const FilePiece& piece) {
  const OpenContext& context = ask.contexts[size_t(piece.context)];
  const bool several_files = context.files.size() > 1;
  const std::string file = several_files ? context.files[piece.file].name.substr(common_folder(context.files)) : "";
  if (ask.contexts.size() == 1) return file;
  return context.name() + (several_files ? ": " + file : "");
}

Result<GenerateResult> run(Ask& ask, const Prompt& prompt, const std::string& size_option) {
  const ReplyPlan reply = plan_reply(ask, prompt);
  TRY_ASSIGN(auto decoder, ask.engine.open_decoder(
                               int64_t(prompt.ids.size()), reply, store_beside(ask),
                               fmt::format("a smaller {} needs less", size_options(ask, size_option)), ask.cancel));
  return decoder->run(
      prompt.ids, ask.reply_callbacks(), [&] { ask.enter("decode"); }, ask.cancel);
}

}  // namespace

Result<Prompt> make_prompt(Ask& ask, std::span<const Span> spans, const std::string& instruction) {
  return make_prompt(ask, spans, instruction, ask.options.chat);
}

Result<Prompt> make_prompt(Ask& ask, std::span<const Span> spans, const std::string& instruction,
                           const ChatOptions& chat) {
  TRY_ASSIGN(const std::vector<Tokens> tokens, read_spans(ask, spans));
  for (size_t i = 0; i < spans.size(); ++i)
    TRY(check_ids(ask.contexts[size_t(spans[i].context)], ask.engine, tokens[i].ids));
  const std::vector<FilePiece> pieces = cut_at_files(ask, spans, tokens);
  std::vector<Passage> passages;
  std::string last_heading;
  for (const FilePiece& piece : pieces) {
    const std::string heading = heading_of(ask, piece);
    const bool new_heading = heading != last_heading;
    last_heading = heading;
    const std::string header =
        new_heading ? fmt::format("{}[{}]\n", passages.empty() ? "" : "\n\n", heading) : std::string();
    passages.push_back({header, !new_heading && !piece.begins_file && !piece.continues, piece.ids});
  }
  return assemble_prompt(*ask.engine.tokenizer, ask.engine.chat.value(), {ask.options.system, instruction}, passages,
                         ask.question, chat);
}

ReplyPlan plan_reply(const Ask& ask, const Prompt& prompt) {
  return plan_reply(ask.engine.chat.value(), prompt, ask.options.sampling, ask.options.chat);
}

int64_t new_tokens(const Ask& ask) {
  if (ask.options.sampling.max_new_tokens == 0) return 0;  // a search needs no chat template
  return most_reply_tokens(ask.engine.chat.value(), ask.options.sampling, ask.options.chat);
}

std::string size_options(const Ask& ask, const std::string& prompt_option) {
  const std::string reply = reply_size_options(ask.engine.chat.value(), ask.options.sampling, ask.options.chat);
  return prompt_option.empty() ? reply : prompt_option + " or " + reply;
}

int64_t prompt_room(const Ask& ask) { return ask.engine.model->shape().trained_window_tokens - new_tokens(ask); }

Status check_positions(const Ask& ask, int64_t n_positions, const std::string& made_of, const std::string& advice) {
  if (n_positions <= prompt_room(ask)) return {};
  const int64_t n_new = new_tokens(ask);
  return {Code::kUsage, fmt::format("{} and {} to generate pass the model's window of {}; {}", made_of, n_new,
                                    prompt_room(ask) + n_new, advice)};
}

Status check_window(const Ask& ask, const Prompt& prompt, const std::string& size_option) {
  const auto n_prompt = int64_t(prompt.ids.size());
  return check_positions(ask, n_prompt, fmt::format("{} tokens to recompute", n_prompt),
                         fmt::format("lower {}, or ask more briefly", size_options(ask, size_option)));
}

Result<Answer> answer_prompt(Ask& ask, Prompt prompt, const std::string& size_option) {
  TRY(check_window(ask, prompt, size_option));
  Answer answer;
  answer.prompt = std::move(prompt);
  if (ask.options.sampling.max_new_tokens > 0) {
    TRY_ASSIGN(answer.generated, run(ask, answer.prompt, size_option));
  } else {  // the model's run over the prompt takes nearly all of an ask's time, and nothing would use its result
    answer.generated.finish_reason = "length";
  }
  return answer;
}

Result<Answer> answer_by_recompute(Ask& ask, std::span<const Span> spans) {
  TRY_ASSIGN(Prompt prompt, make_prompt(ask, spans));
  return answer_prompt(ask, std::move(prompt), "--gather-tokens");
}

}  // namespace reform
