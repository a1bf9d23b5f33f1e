// gather: what ask() and search() share: the method of answering, how passages are chosen, and what a passage is (arXiv
// 2506.01215 section 3.2).
#pragma once

#include <reform/export.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

// How a question is answered. All methods run on the same engine, weights and contexts, so that they can be compared.
struct MethodInfo {
  std::string name, summary;
  std::vector<std::string> options;  // the options below that it heeds, as the command spells them
  bool searches = false;             // search() can use it, too
};
REFORM_API std::vector<MethodInfo> list_methods();  // the first is the default

struct GatherOptions {
  static constexpr int64_t kAuto = -1;
  // A name of list_methods(). An option that it does not heed must keep its default.
  std::string method = "reform";
  // Tokens chosen by score, over all contexts. kAuto: what a model of this size answers best from (late), or 2,048.
  int64_t gather_tokens = kAuto;
  // In addition, this many first and last tokens of the text. Several contexts share a quarter of gather_tokens. kAuto:
  // none (late), or 256.
  int64_t edge_tokens = kAuto;
  // How passages are scored. late: by late interaction, whole passages. paper: the paper's score, runs of tokens. "":
  // late, or paper if the context's heads have no maps for it (those made before reform had them).
  std::string gather_score = "";
  // late: with 2, a quarter of gather_tokens goes to what a second round finds, which is asked with the sentences of
  // the first that fit best. kAuto: 2 from 512 gather_tokens on, else 1.
  int64_t rounds = kAuto;
  int64_t pool_window = 65;  // paper: each score becomes the maximum over this many tokens around it; odd

  REFORM_API Status validate() const;
};

// What a head, such as "k6.0", the words that passage and question share ("lexical"), or "length" adds to a score.
struct ScorePart {
  std::string name;
  double score = 0;
};

// A part of a source's text.
struct SourcePart {
  int64_t begin_byte = 0, end_byte = 0;  // in the original file
  int64_t begin_line = 0;                // the line of begin_byte in it, from 1
  size_t text_begin = 0, text_bytes = 0;
};

// A passage. Adjacent passages of one kind are merged; each is widened to whole characters.
struct Source {
  std::string context, file;
  int64_t begin_byte = 0, end_byte = 0;  // in the original file
  bool edge = false;                     // the beginning or end of the text, not chosen by score
  // late: of its best passage, its neighbours' share included. paper: of its best token, a mean of cosines in [-1, 1].
  // NaN: the method has no scores. Meaningless for edges.
  double score = 0;
  std::string text;
  int64_t begin_line = 0;  // the line of begin_byte in the original file, from 1
  // late: the round that found it, and what brought it: the parts of its best passage's own score.
  int round = 0;
  std::vector<ScorePart> parts = {};
  SourcePart best = {};  // late: the best passage of those that were merged; else all
};

// Puts the best match first. What a second round found comes after what the first did: its scores are of another
// question. Edges come last, in the order they had, and so do equal scores.
REFORM_API void rank_sources(std::vector<Source>& sources);

}  // namespace reform
