// gather: what ask() and search() share: how passages are chosen, and what a passage is (arXiv 2506.01215 section 3.2).
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

struct GatherOptions {
  int64_t gather_tokens = 2048;  // tokens chosen by score, over all contexts
  // In addition, this many first and last tokens of the text. Several contexts share a quarter of gather_tokens.
  int64_t edge_tokens = 256;
  int64_t pool_window = 65;  // each score becomes the maximum over this many tokens around it; odd

  REFORM_API Status validate() const;
};

// A passage. Adjacent passages of one kind are merged; each is widened to whole characters.
struct Source {
  std::string context, file;
  int64_t begin_byte = 0, end_byte = 0;  // in the original file
  bool edge = false;                     // the beginning or end of the text, not chosen by score
  double score = 0;                      // of its best token, a mean of cosines in [-1, 1]; meaningless for edges
  std::string text;
  int64_t begin_line = 0;  // the line of begin_byte in the original file, from 1
};

// Puts the best match first. Edges come last, in the order they had, and so do equal scores.
REFORM_API void rank_sources(std::vector<Source>& sources);

}  // namespace reform
