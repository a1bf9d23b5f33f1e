// Which heads make the rows, and how gather weighs them. A heads file (heads/*.json) has a set per depth:
//   {"model": …, "fingerprint": …, "heads": ["q14.9", …],
//    "sets": {"balanced": {"heads": [["k6.0", mu, sigma, weight], …], "lexical": [mu, sigma, weight],
//                          "length": weight, "confidence": [offset, slope]}, …}}
// "heads" is the set `paper`, which has no maps: only the paper's own score can use it.
#pragma once

#include <reform/status.h>

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/compress/heads.h"

namespace reform {

// What a number x adds to a passage's score: weight * (x - mu) / sigma.
struct ScoreMap {
  double mu = 0, sigma = 1, weight = 0;

  double operator()(double x) const { return weight * (x - mu) / sigma; }
  bool operator==(const ScoreMap&) const = default;
};

// How late interaction (runtime/gather/late_score.h) weighs what it compares.
struct ScoreMaps {
  std::vector<ScoreMap> heads;  // in the order of the heads; empty: there are no maps
  ScoreMap lexical;             // x is 1 where the passage has the question's token, else 0
  double length_weight = 0;     // times ln(the passage's tokens): long passages have large cosines by chance
  // The chance that the text answers the question is 1 / (1 + exp(-(offset + slope * best score))).
  double confidence_offset = 0, confidence_slope = 0;

  bool empty() const { return heads.empty(); }
  bool operator==(const ScoreMaps&) const = default;
};

struct HeadSet {
  Heads heads;
  ScoreMaps maps;
};

// The depths that a set can have, shallowest first, and the paper's own choice of heads.
inline constexpr const char* kDepths[] = {"fast", "balanced", "deep", "paper"};
inline constexpr const char* kUsualDepth = "balanced";
inline constexpr const char* kPaperDepth = "paper";

using HeadSets = std::map<std::string, HeadSet>;  // by depth

// The sets of a heads file, at least one, checked against the shape. kWrongModel: the file names another fingerprint;
// "" takes any.
Result<HeadSets> parse_heads_file(const std::string& json, const std::string& label, const ModelShape& shape,
                                  const std::string& fingerprint = "");
std::string heads_file_json(const HeadSets& sets, const std::string& model_name, const std::string& fingerprint);
// The set of a depth; "" takes kUsualDepth, or else `paper`. kUsage: there is none, and which there are.
Result<HeadSet> choose_set(const HeadSets& sets, const std::string& depth);

// The depth of the shipped set that has these heads; "": there is none.
std::string shipped_depth(const std::string& fingerprint, const Heads& heads);

// Maps as a context's settings and a heads file keep them.
nlohmann::ordered_json maps_json(const ScoreMaps& maps);
// kUsage, with the place below `place`, unless they are maps of n_heads heads with finite numbers.
Result<ScoreMaps> parse_maps(const nlohmann::json& maps, const std::string& place, size_t n_heads);

}  // namespace reform
