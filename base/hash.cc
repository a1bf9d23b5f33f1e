#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <iterator>

namespace reform {

RunningHash::RunningHash() : state_(XXH3_createState(), [](XXH3_state_s* state) { XXH3_freeState(state); }) {
  XXH3_128bits_reset(state_.get());
}

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

std::string RunningHash::bytes() const {
  XXH128_canonical_t canonical;  // high half first, big-endian
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
  return {std::rbegin(canonical.digest), std::rend(canonical.digest)};
}

RunningHash RunningHash::copy() const {
  RunningHash other;
  XXH3_copyState(other.state_.get(), state_.get());
  return other;
}

}  // namespace reform
