// The JSON texts in a context's manifest beside its settings: which files it was read from, and how far its reading has
// come. With them a killed ingest goes on and a finished context can be appended to.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/text/offset_map.h"
#include "runtime/tokenizer/word_part.h"

namespace reform {

// One file of the joined text. Offsets in a source are relative to begin_byte.
struct SourceFile {
  std::string name;
  int64_t begin_byte = 0, size_bytes = 0;
};

// Where one ingest call's sources begin in the joined text, and which text before them must run again with them. All
// zero and empty for the first call.
struct PartStart {
  int64_t begin_tokens = 0;       // the chunk boundary where the call's first chunk starts
  int64_t source_begin_byte = 0;  // the call's first source byte
  int64_t stable_bytes = 0;       // bytes covered by all tokens up to and including the seed
  std::vector<int32_t> seed_ids;  // tokens from begin_tokens on that no later text can change …
  std::vector<uint32_t> seed_byte_lengths;
  std::string held_back;              // … and the text after them whose tokens are not certain yet
  WordPart within = WordPart::kNone;  // where the text was cut before it
  std::vector<TextRun> held_runs;     // of a converted text: which bytes of the files held_back came from
};

// A text that was read to its end; one per call.
struct SourceHash {
  int64_t bytes = 0;
  std::string xxh3_128;
};

struct ProgressState {
  PartStart part;                // of the current call, or the last one
  std::string committed_hash;    // over the tokens committed since part.begin_tokens
  std::vector<SourceHash> read;  // finished calls
  bool can_append = false;
  PartStart append;  // where an append would start
};

std::string to_json(const std::vector<SourceFile>& sources);

// to_json() of a list that grows at its end and whose last file grows, for a text of many files that is written down
// again and again: a file becomes JSON once, and not with every chunk.
class GrowingSources {
 public:
  std::string json(const std::vector<SourceFile>& before, const std::vector<SourceFile>& now);  // both, joined

 private:
  void close_up_to(const std::vector<SourceFile>& files, size_t n, size_t& n_closed);
  size_t n_before_ = 0, n_now_ = 0;  // of each list, whose JSON is in closed_
  std::string closed_;               // each with a comma behind it
};
// Host memory of a file of this name in the lists and their JSON, while an ingest runs.
int64_t listed_bytes(const std::string& name);
// Its object, its heap block and some slack.
inline int64_t string_bytes(const std::string& text) { return int64_t(text.size()) + 48; }
// Host memory of two starts with n_held bytes of text, n_runs runs and n_seeds tokens each, of their JSON and of what
// it is made from.
int64_t most_progress_bytes(int64_t n_held, int64_t n_runs, int64_t n_seeds);

// The files' names without their folders, for an archive.
std::vector<SourceFile> without_folders(std::vector<SourceFile> sources);
std::string to_json(const ProgressState& state);
Result<std::vector<SourceFile>> parse_sources(const std::string& json, const std::string& context);
Result<ProgressState> parse_progress(const std::string& json, const std::string& context);

}  // namespace reform
