// Text in; tokens out in order, a chunk at a time, in bounded memory. It also knows where an append would start.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/source_reader.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

class TokenPump {
 public:
  // Host memory of a pump and its stream, whatever the text is. most_wanted: the most that fill() is asked for.
  static int64_t most_bytes(const Tokenizer& tokenizer, bool lossy, bool converts, int64_t most_wanted);
  static Result<std::unique_ptr<TokenPump>> start(const Tokenizer& tokenizer, std::unique_ptr<SourceReader> reader,
                                                  const PartStart& part, bool lossy, int64_t most_wanted);

  // Reads until at least `want` tokens wait, or the text ends.
  Status fill(int64_t want);
  int64_t waiting() const { return int64_t(batch_.ids.size()) - taken_; }
  std::span<const int32_t> ids(int64_t n) const { return {batch_.ids.data() + taken_, size_t(n)}; }
  std::span<const uint32_t> byte_lengths(int64_t n) const { return {batch_.byte_lengths.data() + taken_, size_t(n)}; }
  // Drops the first n waiting tokens and adds them to hash().
  void take(int64_t n);
  std::string hash() const { return hash_.hex(); }  // over all tokens taken since the part's begin
  std::string hash_with(int64_t n) const;           // the same, as if the first n waiting were taken

  bool ended() const { return ended_; }
  // Whether the first n waiting tokens include some that a continuation of the text could change.
  bool unstable(int64_t n) const { return ended_ && n > stable_waiting(); }
  // Where an append would start if the next chunk began with the first waiting token. Call it only before unstable
  // tokens are taken.
  PartStart append_start(int64_t begin_tokens, int64_t total_bytes) const;

  const SourceReader& reader() const { return *reader_; }
  double tokens_per_byte() const;

 private:
  void count_from(size_t first);
  int64_t stable_waiting() const { return stable_end_ - taken_; }

  std::unique_ptr<SourceReader> reader_;
  std::unique_ptr<TokenStream> stream_;
  TokenBatch batch_;
  int64_t taken_ = 0;       // tokens of batch_
  int64_t stable_end_ = 0;  // tokens of batch_ that were given out before the text ended
  int64_t n_tokens_ = 0, n_token_bytes_ = 0;
  int64_t stable_bytes_ = 0;  // bytes of the joined text that all stable tokens cover
  bool ended_ = false;
  std::string held_back_;  // when the text ended
  WordPart within_ = WordPart::kNone;
  std::vector<TextRun> held_runs_;
  RunningHash hash_;
};

}  // namespace reform
