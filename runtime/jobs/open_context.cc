#include "runtime/jobs/open_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "base/try.h"
#include "runtime/compress/head_set.h"

namespace reform {
namespace {

// How the heads of two contexts differ, as far as is known.
std::string difference(const ContextSettings& a, const ContextSettings& b) {
  const std::string depth_a = shipped_depth(a.model_fingerprint, a.heads);
  const std::string depth_b = shipped_depth(b.model_fingerprint, b.heads);
  if (!depth_a.empty() && !depth_b.empty())
    return fmt::format("were read at different depths (--depth {} and {})", depth_a, depth_b);
  const std::string heads = fmt::format("{}; {}", to_string(a.heads), to_string(b.heads));
  if (exit_layer(a.heads) == exit_layer(b.heads)) return fmt::format("use different heads ({})", heads);
  return fmt::format("were read at different depths (up to layers {} and {}, by the heads {})", exit_layer(a.heads),
                     exit_layer(b.heads), heads);
}

Status check_same_heads(std::span<const OpenContext> contexts) {
  for (const OpenContext& c : contexts) {
    if (c.settings.heads == contexts[0].settings.heads) continue;
    return {
        Code::kWrongModel,
        fmt::format("contexts '{}' and '{}' {}, so their scores cannot be compared; ask them one by one, or read one "
                    "text again as the other was (ingest --replace with its --depth or --heads)",
                    contexts[0].name(), c.name(), difference(contexts[0].settings, c.settings))};
  }
  return {};
}

// Each context is scored by the maps that it was made with. They were fitted to say the same, but by other choices.
void say_if_scored_otherwise(const Engine::Impl& engine, std::span<const OpenContext> contexts) {
  const auto other = std::ranges::find_if(contexts, [&](const OpenContext& c) {
    return !c.settings.maps.empty() && c.settings.maps != contexts[0].settings.maps;
  });
  if (other == contexts.end() || contexts[0].settings.maps.empty()) return;
  engine.remark(
      LogLevel::kWarning,
      fmt::format("contexts '{}' and '{}' weigh their heads otherwise, so how their passages are ranked among "
                  "each other says less; ingest --replace makes one as the other",
                  contexts[0].name(), other->name()));
}

}  // namespace

Status check_ids(const OpenContext& context, const Engine::Impl& engine, std::span<const int32_t> ids) {
  const int64_t n_vocab = engine.tokenizer->n_vocab();
  const auto wrong = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= n_vocab; });
  if (wrong == ids.end()) return {};
  return {Code::kCorrupt,
          fmt::format("context '{}' has a token {}, and its model has {}", context.name(), *wrong, n_vocab)};
}

Result<std::vector<OpenContext>> open_contexts(const Engine::Impl& engine, ContextStore& store,
                                               std::span<const std::string> names) {
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) return Status{Code::kUsage, fmt::format("context '{}' is named twice", name)};
  }
  TRY_ASSIGN(auto readers, store.open_readers(names));
  std::vector<OpenContext> contexts;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    OpenContext c;
    c.data = std::move(readers[i]);
    TRY_ASSIGN(c.settings, parse_settings(c.data->meta().settings, name));
    TRY_ASSIGN(c.files, parse_sources(c.data->meta().sources, name));
    if (!c.data->meta().complete) {
      return Status{Code::kBusy, fmt::format("context '{}' is not finished: run the same ingest again, it goes on from "
                                             "what was saved",
                                             name)};
    }
    const char* const advice =
        names.size() > 1 ? "ask it with that one, and contexts of different models one by one" : "ask it with that one";
    TRY(check_model(c.settings, c.data->meta(), engine, advice));
    contexts.push_back(std::move(c));
  }
  TRY(check_same_heads(contexts));
  if (!contexts.empty()) say_if_scored_otherwise(engine, contexts);
  return contexts;
}

}  // namespace reform
