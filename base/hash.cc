#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace reform {

void RunningHash::Free::operator()(XXH3_state_s* state) const noexcept { XXH3_freeState(state); }

RunningHash::RunningHash() : state_(XXH3_createState()) { XXH3_128bits_reset(state_.get()); }

void RunningHash::add(const void* data, size_t n_bytes) { XXH3_128bits_update(state_.get(), data, n_bytes); }

void RunningHash::add_text(std::string_view text) {
  const uint64_t n = text.size();
  add(&n, sizeof(n));
  add(text.data(), text.size());
}

std::string RunningHash::hex() const {
  const XXH128_hash_t h = XXH3_128bits_digest(state_.get());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

RunningHash RunningHash::copy() const {
  RunningHash other;
  XXH3_copyState(other.state_.get(), state_.get());
  return other;
}

}  // namespace reform
