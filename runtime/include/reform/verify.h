// verify: reads and checks everything that contexts hold on the disk.
//
// What the stored numbers mean to a model is checked where they are used: a cache's parts against the model's shape,
// the settings against its heads.
#pragma once

#include <reform/cancel.h>
#include <reform/store.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace reform {

struct VerifiedContext {
  std::string name, id;
  std::string state;         // "ok"; "damaged"; "busy": another process writes it, so it was not read
  bool replacement = false;  // made to take the place of the one that has its name now
  int64_t n_tokens = 0;
  int64_t checked_bytes = 0;  // each once as a file's and once as a value's
  int64_t n_damages = 0;
  std::vector<std::string> problems;  // the first twenty damages, each with its block or file; or who is writing
};

struct VerifyProgress {
  std::string context;
  int64_t done_bytes = 0, total_bytes = 0;  // of this context
};
using VerifyProgressCallback = std::function<void(const VerifyProgress&)>;

// The contexts named, or all in the store, replacements too. Damage is in what it returns; a failed Status is a name
// that is not there, a cancellation, or a machine that cannot do it.
REFORM_API Result<std::vector<VerifiedContext>> verify(Store& store, const std::vector<std::string>& names,
                                                       const VerifyProgressCallback& progress = {},
                                                       const CancelToken* cancel = nullptr);

}  // namespace reform
