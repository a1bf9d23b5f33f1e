// A finished context, open for questions: its data, and what its manifest says, checked against the model.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine/engine_impl.h"
#include "runtime/jobs/settings.h"
#include "runtime/text/progress_state.h"
#include "storage/store/context_store.h"

namespace reform {

struct OpenContext {
  std::unique_ptr<ContextData> data;  // keeps writers out, or a read after theirs fails
  ContextSettings settings;
  std::vector<SourceFile> files;

  const std::string& name() const { return data->meta().name; }
  int64_t n_tokens() const { return data->meta().n_tokens; }
};

// Opens all of them, in the order named. kUsage: one is named twice; kBusy: one is not finished; kWrongModel: one
// belongs to another model, or their heads differ, so that their scores cannot be compared.
Result<std::vector<OpenContext>> open_contexts(const Engine::Impl& engine, ContextStore& store,
                                               std::span<const std::string> names);

// Checks that the model has these tokens of the context. A stored number is only as good as whoever wrote the file, and
// tables are looked up by it. kCorrupt.
Status check_ids(const OpenContext& context, const Engine::Impl& engine, std::span<const int32_t> ids);

}  // namespace reform
