#include "runtime/jobs/open_context.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

Status check_model(const Engine::Impl& engine, const OpenContext& context, bool several) {
  const ContextSettings& settings = context.settings;
  const std::string& name = context.name();
  if (settings.model_fingerprint != engine.info.fingerprint) {
    return {Code::kWrongModel, fmt::format("context '{}' belongs to the model {}, not to {}; ask it with that one{}",
                                           name, describe_model(settings), engine.info.path,
                                           several ? ", and contexts of different models one by one" : "")};
  }
  if (settings.kv_type != engine.kv_type_name()) {
    return {Code::kWrongModel, fmt::format("context '{}' was made {} --isa ref; ask it the same way", name,
                                           settings.kv_type == "f32" ? "with" : "without")};
  }
  return check_settings_fit(settings, engine.model->shape(), name);
}

Status check_same_heads(std::span<const OpenContext> contexts) {
  for (const OpenContext& c : contexts) {
    if (c.settings.heads == contexts[0].settings.heads) continue;
    return {
        Code::kWrongModel,
        fmt::format("contexts '{}' and '{}' use different heads ({}; {}), so their scores cannot be "
                    "compared; ask them one by one",
                    contexts[0].name(), c.name(), to_string(contexts[0].settings.heads), to_string(c.settings.heads))};
  }
  return {};
}

}  // namespace

Result<std::vector<OpenContext>> open_contexts(const Engine::Impl& engine, ContextStore& store,
                                               std::span<const std::string> names) {
  std::vector<OpenContext> contexts;
  for (const std::string& name : names) {
    if (std::count(names.begin(), names.end(), name) > 1)
      return Status{Code::kUsage, fmt::format("context '{}' is named twice", name)};
    OpenContext c;
    TRY_ASSIGN(c.data, store.open_reader(name));
    TRY_ASSIGN(c.settings, parse_settings(c.data->meta().settings, name));
    TRY_ASSIGN(c.files, parse_sources(c.data->meta().sources, name));
    if (!c.data->meta().complete) {
      return Status{Code::kBusy, fmt::format("context '{}' is not finished: run its ingest again, it goes on from what "
                                             "was saved",
                                             name)};
    }
    TRY(check_model(engine, c, names.size() > 1));
    contexts.push_back(std::move(c));
  }
  TRY(check_same_heads(contexts));
  return contexts;
}

}  // namespace reform
