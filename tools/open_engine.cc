#include "tools/open_engine.h"

#include <filesystem>

#include "tools/output.h"
#include "tools/sudden_end.h"

namespace reform::tool {
namespace {

LastWords lost_model(const std::string& model_path, const Output& out) {
  return out.last_words(
      {Code::kBadModel, model_path + ": was cut short while it was in use, or its disk cannot be read; run this again "
                                     "with the whole file, once nobody writes to it"});
}

}  // namespace

void expect_lost_model(const std::string& model_path, const Output& out) {
  LastWords words = lost_model(model_path, out);
  // A file's own name has at most 255 bytes, so it fits even if JSON escapes each of them.
  if (!words.fit()) words = lost_model(std::filesystem::path(model_path).filename().string(), out);
  if (words.fit()) end_when_mapping_is_lost(std::move(words));
}

Result<std::unique_ptr<Engine>> open_engine(const std::string& model_path, const EngineOptions& options, Output& out) {
  expect_lost_model(model_path, out);
  return Engine::open(model_path, options, out.log());
}

}  // namespace reform::tool
