// The JSON texts a context's manifest carries beside its settings: which files it was read from, and where its reading
// stands, so that a killed ingest goes on and a finished one can be appended to.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

// One file of the joined text; offsets in a source are relative to begin_byte.
struct SourceFile {
  std::string name;
  int64_t begin_byte = 0, size_bytes = 0;
};

// Where one ingest call's sources begin in the joined text, and what of the text before must be run again with them.
// All zero and empty for the first call.
struct PartStart {
  int64_t begin_tokens = 0;       // the chunk boundary the call's first chunk starts at
  int64_t source_begin_byte = 0;  // the call's first source byte
  int64_t stable_bytes = 0;       // bytes covered by all tokens up to and including the seed
  std::vector<int32_t> seed_ids;  // tokens from begin_tokens on that no later text can change …
  std::vector<uint32_t> seed_byte_lengths;
  std::string held_back;  // … and the text after them that is not yet tokens for certain
};

// A text that was read to its end, one per call.
struct SourceHash {
  int64_t bytes = 0;
  std::string xxh3_128;
};

struct ProgressState {
  PartStart part;                // of the call in progress, or the last one
  std::string committed_hash;    // over the tokens committed since part.begin_tokens
  std::vector<SourceHash> read;  // calls that are finished
  bool can_append = false;
  PartStart append;  // where an append would start
};

std::string to_json(const std::vector<SourceFile>& sources);
// The names without their folders, for an archive.
std::vector<SourceFile> without_folders(std::vector<SourceFile> sources);
std::string to_json(const ProgressState& state);
Result<std::vector<SourceFile>> parse_sources(const std::string& json, const std::string& context);
Result<ProgressState> parse_progress(const std::string& json, const std::string& context);

}  // namespace reform
