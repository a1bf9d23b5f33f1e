#include "runtime/jobs/ingest_room.h"

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "runtime/compress/policies/policy.h"
#include "runtime/text/token_pump.h"

namespace reform {
namespace {

// Upper bounds in the store: a token's id and length, and a chunk's record of the text so far, beside its files.
constexpr int64_t kSpanBytes = 16, kStateBytes = 64 * kKiB;
// What such records take, as a rule: the chunk's, and that of a checkpoint behind it.
constexpr int64_t kUsualStateBytes = 4 * kKiB;
// Small tables that checkpoints on the way leave for a while.
constexpr int64_t kTablesBytes = 64 * kKiB;
// An append runs at most this many tokens again for each slot of the cache.
constexpr int64_t kRerunTokensPerSlot = 4;

}  // namespace

Result<int64_t> count_tokens(const Tokenizer& tokenizer, const std::vector<IngestSource>& sources,
                             const PartStart& part, const ContextSettings& settings, int64_t most_wanted,
                             const CancelToken* cancel) {
  TRY_ASSIGN(auto reader,
             SourceReader::open(sources, part.source_begin_byte, settings.lossy, cancel, settings.encoding));
  if (reader->total_bytes() < 0) return kUnknownTokens;
  TRY_ASSIGN(const auto pump, TokenPump::start(tokenizer, std::move(reader), part, settings.lossy, most_wanted));
  int64_t n = 0;
  do {
    TRY(pump->fill(1));
    n += pump->waiting();
    pump->take(pump->waiting());
  } while (!pump->ended());
  return n;
}

bool keeps_append_start(const ContextSettings& settings, int64_t base_tokens) {
  return find_policy(settings.policy)->carries() && base_tokens > kRerunTokensPerSlot * settings.cache_tokens;
}

IngestRoom::IngestRoom(const ContextSettings& settings, ExtraKinds kinds, int64_t row_bytes,
                       std::function<int64_t(int64_t n_tokens)> checkpoint_bytes)
    : settings_(settings),
      carries_(find_policy(settings.policy)->carries()),
      kinds_(std::move(kinds)),
      row_bytes_(row_bytes),
      checkpoint_bytes_(std::move(checkpoint_bytes)) {}

int64_t IngestRoom::rows_bytes(int64_t n_tokens) const {
  int64_t bytes = n_tokens * (row_bytes_ + kSpanBytes);
  for (const auto& [name, row_bytes] : kinds_)
    bytes += ContextKind{find_chunk_kind(name), row_bytes}.part_of(n_tokens).payload_bytes;
  return bytes;
}

Growth IngestRoom::needed(const IngestPlace& place) const {
  Growth growth;
  growth.chunk_bytes = rows_bytes(place.n_next) + kStateBytes + place.state_bytes;
  if (place.n_pending > 0) growth.chunk_bytes += rows_bytes(place.n_pending) + kStateBytes + place.state_bytes;
  growth.checkpoint_bytes = checkpoint_bytes_(place.n_done + place.n_next);
  if (place.one_more) growth.checkpoint_bytes += checkpoint_bytes_(place.n_done);
  growth.later_bytes = later_bytes(place, growth.checkpoint_bytes);
  return growth;
}

int64_t IngestRoom::later_bytes(const IngestPlace& place, int64_t checkpoint_bytes) const {
  const int64_t n_then = place.n_done + place.n_next, n_left = place.n_total - n_then;
  if (place.n_total == kUnknownTokens || n_left <= 0) return 0;
  const int64_t n_chunks = (n_left - 1) / settings_.chunk_tokens + 1;
  const int64_t here = rows_bytes(n_then - place.n_begin);
  const int64_t rows = rows_bytes(n_left) + n_chunks * (place.state_bytes + kUsualStateBytes);
  // The last checkpoint is written beside the one before it and the one that an append starts from.
  const bool has_one = carries_ && place.n_saved > 0;
  const int64_t n_checkpoints = 1 + (has_one || place.one_more) + keeps_append_start(settings_, place.n_total);
  const int64_t there = has_one ? checkpoint_bytes_(place.n_saved) : 0;
  const int64_t more = n_checkpoints * checkpoint_bytes_(place.n_total) - there - checkpoint_bytes;
  return kTablesBytes + logged_bytes(here + rows) - logged_bytes(here) + std::max<int64_t>(0, more);
}

}  // namespace reform
