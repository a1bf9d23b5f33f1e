// Whether a model's file changed while it was in use, once work with it has ended.
#pragma once

#include "base/try.h"
#include "runtime/model/gguf.h"

namespace reform {

// How work with the model ended: what looks like success, or like a fault of the model, is the error of
// Gguf::check_unchanged() if there is one.
inline Status judge(const Gguf& gguf, const Status& end) {
  if (end.ok() || end.code == Code::kBadModel || end.code == Code::kInternal) TRY(gguf.check_unchanged());
  return end;
}

}  // namespace reform
