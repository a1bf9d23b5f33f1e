#include "runtime/text/token_pump.h"

#include <numeric>

#include "base/try.h"

namespace reform {

namespace {

// Tokens wait for a chunk, or until there is more than white space, while one block more is read.
int64_t most_waiting(const Tokenizer& tokenizer, bool lossy, int64_t most_wanted) {
  return most_wanted + TokenStream::most_tokens(tokenizer, lossy, SourceReader::kMostBlockBytes);
}

}  // namespace

int64_t TokenPump::most_bytes(const Tokenizer& tokenizer, bool lossy, bool converts, int64_t most_wanted) {
  const int64_t run_bytes = converts ? OffsetMap::kMostRuns * int64_t(sizeof(TextRun)) : 0;
  return TokenStream::most_bytes(lossy) + TokenStream::most_held_bytes() + run_bytes +
         most_waiting(tokenizer, lossy, most_wanted) * int64_t(sizeof(int32_t) + sizeof(uint32_t));
}

Result<std::unique_ptr<TokenPump>> TokenPump::start(const Tokenizer& tokenizer, std::unique_ptr<SourceReader> reader,
                                                    const PartStart& part, bool lossy, int64_t most_wanted) {
  auto pump = std::make_unique<TokenPump>();
  pump->reader_ = std::move(reader);
  pump->stream_ = tokenizer.stream(lossy);
  pump->batch_.ids.reserve(size_t(most_waiting(tokenizer, lossy, most_wanted)));
  pump->batch_.byte_lengths.reserve(pump->batch_.ids.capacity());
  pump->batch_.ids.assign(part.seed_ids.begin(), part.seed_ids.end());
  pump->batch_.byte_lengths.assign(part.seed_byte_lengths.begin(), part.seed_byte_lengths.end());
  pump->n_tokens_ = int64_t(part.seed_ids.size());
  pump->stable_end_ = pump->n_tokens_;
  pump->stable_bytes_ = part.stable_bytes;
  for (const TextRun& run : part.held_runs) pump->reader_->offsets().add(run.n_text, run.n_raw, run.count);
  pump->stream_->set_consumed(part.stable_bytes, part.within);
  if (!part.held_back.empty()) {
    TRY(pump->stream_->feed(part.held_back, pump->batch_));
    pump->count_from(part.seed_ids.size());
  }
  return pump;
}

// Counts the tokens of batch_ from `first` on, which were just given out. Their lengths become those in the files.
void TokenPump::count_from(size_t first) {
  if (reader_->converts()) {
    for (size_t i = first; i < batch_.byte_lengths.size(); ++i)
      batch_.byte_lengths[i] = uint32_t(reader_->offsets().take(batch_.byte_lengths[i]));
  }
  const auto begin = batch_.byte_lengths.begin() + ptrdiff_t(first);
  const int64_t bytes = std::accumulate(begin, batch_.byte_lengths.end(), int64_t(0));
  n_tokens_ += int64_t(batch_.ids.size() - first);
  n_token_bytes_ += bytes;
  if (ended_) return;
  stable_bytes_ += bytes;
  stable_end_ = int64_t(batch_.ids.size());
}

Status TokenPump::fill(int64_t want) {
  while (!ended_ && waiting() < want) {
    if (taken_ > 0) {  // drops what was taken, so that the batch stays as small as what waits
      batch_.ids.erase(batch_.ids.begin(), batch_.ids.begin() + taken_);
      batch_.byte_lengths.erase(batch_.byte_lengths.begin(), batch_.byte_lengths.begin() + taken_);
      stable_end_ -= taken_;
      taken_ = 0;
    }
    const size_t before = batch_.ids.size();
    TRY_ASSIGN(const std::string_view block, reader_->next());
    if (block.empty()) {
      held_back_ = stream_->held_back();
      within_ = stream_->within();
      held_runs_.assign(reader_->offsets().left().begin(), reader_->offsets().left().end());
      ended_ = true;
      TRY(stream_->finish(batch_));
    } else {
      TRY(stream_->feed(block, batch_));
    }
    count_from(before);
  }
  return {};
}

namespace {

void add_tokens(RunningHash& hash, std::span<const int32_t> ids, std::span<const uint32_t> byte_lengths) {
  // Token by token, so that the hash does not depend on how many come at a time.
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint32_t pair[2] = {uint32_t(ids[i]), byte_lengths[i]};
    hash.add(pair, sizeof(pair));
  }
}

}  // namespace

std::string TokenPump::hash_with(int64_t n) const {
  RunningHash hash = hash_.copy();
  add_tokens(hash, ids(n), byte_lengths(n));
  return hash.hex();
}

void TokenPump::take(int64_t n) {
  add_tokens(hash_, ids(n), byte_lengths(n));
  taken_ += n;
}

PartStart TokenPump::append_start(int64_t begin_tokens, int64_t total_bytes) const {
  PartStart part;
  part.begin_tokens = begin_tokens;
  part.source_begin_byte = total_bytes;
  part.stable_bytes = stable_bytes_;
  const auto seed = ids(stable_waiting());
  const auto lengths = byte_lengths(stable_waiting());
  part.seed_ids.assign(seed.begin(), seed.end());
  part.seed_byte_lengths.assign(lengths.begin(), lengths.end());
  part.held_back = held_back_;
  part.within = within_;
  part.held_runs = held_runs_;
  return part;
}

double TokenPump::tokens_per_byte() const {
  return n_token_bytes_ > 0 ? double(n_tokens_) / double(n_token_bytes_) : 0.25;
}

}  // namespace reform
