// What ask and search share on the command line: the contexts and their model, how passages are gathered and shown.
#pragma once

#include <reform/engine.h>
#include <reform/gather.h>
#include <reform/store.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/flags.h"
#include "tools/output.h"

namespace reform::tool {

// How many passages are shown as text if --top does not say.
inline constexpr int64_t kTopPassages = 5;

void add_gather_flags(CLI::App& verb, GatherOptions& options, bool for_search);
// `top` stays empty if the flag is not given; 0: all.
void add_top_flag(CLI::App& verb, std::optional<int64_t>& top, const std::string& about);

struct Asked {
  std::unique_ptr<Store> store;
  std::unique_ptr<Engine> engine;
};
// Opens the store and the model: the one that the flags name, or else the first context's. Contexts that cannot be
// asked are refused before the model is loaded. with_question: the last of several arguments was the question.
Result<Asked> open_asked(const std::string& store_dir, const std::vector<std::string>& names, const EngineFlags& engine,
                         bool with_question, Output& out);

// Whether a result's confidence says that hardly anything in the text fits the question; < 0 says nothing. Of the
// sample questions (heads/samples/, Qwen2.5-Coder-0.5B, fast), 2 in 100 are below this, and about half of them once the
// texts that answer them are taken out.
inline bool is_far(double confidence) { return confidence >= 0 && confidence < 0.2; }

// The best `top` of ranked passages (0: all), and how many more there are.
void print_ranked(Output& out, const std::vector<Source>& ranked, int64_t top);

}  // namespace reform::tool
