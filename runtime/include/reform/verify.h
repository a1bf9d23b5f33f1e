// verify: reads and checks everything that contexts hold on the disk.
//
// verify does not check what the stored numbers mean to a model. ask and ingest do: they check a cache's parts against
// the model's shape, and the settings against its heads.
#pragma once

#include <reform/cancel.h>
#include <reform/store.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct VerifiedContext {
  std::string name, id;
  // "ok"; "damaged"; "unreadable": the system refuses to read it or a part of it; "busy": another process is writing
  // it, so it was not read
  std::string state;
  bool replacement = false;  // will take the place of the context that has its name now
  int64_t n_tokens = 0;
  int64_t checked_bytes = 0;  // each byte counts once as a file's and once as a value's
  int64_t n_damages = 0;
  // The first twenty damages, each with its block or file; or what could not be read, and why; or who is writing it.
  std::vector<std::string> problems;
};

// Checks the contexts named; if none is named, all in the store, replacements too. Damage is reported in the result.
// The call itself fails only if a name does not exist, it was cancelled, or the machine cannot do it.
REFORM_API Result<std::vector<VerifiedContext>> verify(Store& store, const std::vector<std::string>& names,
                                                       const BytesProgressCallback& progress = {},
                                                       const CancelToken* cancel = nullptr);

}  // namespace reform
