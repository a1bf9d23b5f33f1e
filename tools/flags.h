// Flags that several verbs share.
#pragma once

#include <reform/ask.h>
#include <reform/engine.h>
#include <reform/store.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/verbs.h"

namespace reform::tool {

struct EngineFlags {
  std::string model;
  EngineOptions options;
};
void add_engine_flags(CLI::App& verb, EngineFlags& flags, bool model_required);
// -m and what may replace it; part of the above.
CLI::Option* add_model_flags(CLI::App& verb, std::string& model, const std::string& about);

void add_store_flag(CLI::App& verb, std::string& store_dir);
std::string store_path(const std::string& store_dir);  // the default store if empty
// For verbs that make no store. A directory that does not exist is not made, so that a typing error in --store leaves
// nothing behind. A missing store has none of the contexts `names`, so the result is kNotFound; without names it is
// nullptr.
Result<std::unique_ptr<Store>> open_existing(const std::string& store_dir, const std::vector<std::string>& names);

// A store, and contexts in it.
struct StoreFlags {
  std::string store_dir;
  std::vector<std::string> names;
};
// Adds a verb for contexts by their names, and returns the option for these.
CLI::Option* add_names_verb(CLI::App& app, Invocation& invocation, const std::string& name,
                            const std::string& description, const std::string& example,
                            const std::function<Status(const StoreFlags& flags, Output& out)>& run);

// For verbs that write contexts: the cap on the store.
void add_store_limit_flags(CLI::App& verb, StoreOptions& options);

// Sampling flags as llama.cpp's users know them. --seed -1 draws a seed.
struct SamplingFlags {
  SamplingOptions options;
  int64_t seed = 0;
};
void add_sampling_flags(CLI::App& verb, SamplingFlags& flags);
SamplingOptions sampling_options(const SamplingFlags& flags);

}  // namespace reform::tool
