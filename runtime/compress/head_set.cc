#include "runtime/compress/head_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/parse_json.h"
#include "base/try.h"

namespace reform {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Throws as the library does, so that one catch serves for all that a file can have wrong.
[[noreturn]] void throw_bad(const char* what) { throw json::other_error::create(500, what, nullptr); }

double finite(const json& number) {
  constexpr double kLargest = 1e6;  // sums of such numbers stay far from infinity
  const double x = number.get<double>();
  if (!number.is_number() || !(std::abs(x) <= kLargest)) throw_bad("a number is too large");
  return x;
}

// Other kinds could be iterated, too: an object's values, or a string as one element.
const json& array(const json& elements) {
  if (!elements.is_array()) throw_bad("expected an array");
  return elements;
}

ordered_json map_json(const ScoreMap& map) { return {map.mu, map.sigma, map.weight}; }

ScoreMap parse_map(const json& map, size_t first = 0) {
  if (!map.is_array() || map.size() != first + 3) throw_bad("a map is not [mu, sigma, weight]");
  const ScoreMap parsed{finite(map[first]), finite(map[first + 1]), finite(map[first + 2])};
  if (parsed.sigma < 1e-6) throw_bad("a sigma is not positive");
  return parsed;
}

void parse_rest(const json& maps, ScoreMaps& parsed) {
  parsed.lexical = parse_map(maps.at("lexical"));
  parsed.length_weight = finite(maps.at("length"));
  const json& confidence = maps.at("confidence");
  if (!confidence.is_array() || confidence.size() != 2) throw_bad("confidence is not [offset, slope]");
  parsed.confidence_offset = finite(confidence[0]), parsed.confidence_slope = finite(confidence[1]);
}

Result<HeadRef> parse_name(const json& name) {
  if (!name.is_string()) return Status{Code::kUsage, "a head must be a string like q14.9"};
  return parse_head(name.get<std::string>());
}

// A set with maps: each head is [name, mu, sigma, weight].
Result<HeadSet> parse_set(const json& set) {
  HeadSet parsed;
  for (const json& entry : array(set.at("heads"))) {
    TRY_ASSIGN(const HeadRef head, parse_name(entry.at(0)));
    parsed.heads.push_back(head);
    parsed.maps.heads.push_back(parse_map(entry, 1));
  }
  parse_rest(set, parsed.maps);
  return parsed;
}

Result<HeadSets> parse_sets(const json& root) {
  HeadSets sets;
  if (root.contains("heads")) {
    HeadSet& paper = sets[kPaperDepth];
    for (const json& name : array(root.at("heads"))) {
      TRY_ASSIGN(const HeadRef head, parse_name(name));
      paper.heads.push_back(head);
    }
  }
  if (!root.contains("sets")) return sets;
  for (const auto& [depth, set] : root.at("sets").items()) {
    if (depth == kPaperDepth || std::count(std::begin(kDepths), std::end(kDepths), depth) == 0)
      return Status{Code::kUsage, fmt::format("\"{}\" is no depth: expected fast, balanced or deep", depth)};
    TRY_ASSIGN(sets[depth], parse_set(set));
  }
  return sets;
}

Status check_fingerprint(const json& root, const std::string& fingerprint) {
  const auto whose = root.find("fingerprint");
  if (fingerprint.empty() || whose == root.end() || !whose->is_string()) return {};
  const auto named = whose->get<std::string>();
  if (named.empty() || named == fingerprint) return {};
  return {Code::kWrongModel, fmt::format("these heads were chosen for another model ({}, this one is {}); without the "
                                         "\"fingerprint\" they are taken all the same",
                                         named, fingerprint)};
}

Result<HeadSets> parse_checked(const std::string& text, const ModelShape& shape, const std::string& fingerprint) {
  const json root = parse_json(text);
  if (!root.is_object() || !(root.contains("heads") || root.contains("sets")))
    return Status{Code::kUsage, "expected a JSON object with \"heads\" or \"sets\""};
  TRY(check_fingerprint(root, fingerprint));
  try {
    TRY_ASSIGN(HeadSets sets, parse_sets(root));
    for (const auto& [depth, set] : sets) TRY(check_heads(set.heads, shape));
    if (sets.empty()) return Status{Code::kUsage, "it has no heads"};
    return sets;
  } catch (const json::exception& e) {
    return Status{Code::kUsage, e.what()};
  }
}

}  // namespace

Result<HeadSets> parse_heads_file(const std::string& text, const std::string& label, const ModelShape& shape,
                                  const std::string& fingerprint) {
  auto sets = parse_checked(text, shape, fingerprint);
  if (!sets.ok()) return Status{sets.status().code, label + ": " + sets.status().message};
  return sets;
}

// A head, and what else is a list of numbers, takes one line.
std::string heads_file_json(const HeadSets& sets, const std::string& model_name, const std::string& fingerprint) {
  const auto plain = [](const ordered_json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  const auto text = [&](const ordered_json& value) {
    if (!value.is_array()) return plain(value);
    std::string list;
    for (const ordered_json& entry : value) list += (list.empty() ? "" : ", ") + plain(entry);
    return "[" + list + "]";
  };
  std::string file = fmt::format("{{\n  \"model\": {},\n  \"fingerprint\": {}", text(model_name), text(fingerprint));
  if (const auto paper = sets.find(kPaperDepth); paper != sets.end()) {
    ordered_json names;
    for (const HeadRef& head : paper->second.heads) names.push_back(to_string(head));
    file += fmt::format(",\n  \"heads\": {}", text(names));
  }
  std::string with_maps;
  for (const char* depth : kDepths) {
    const auto found = sets.find(depth);
    if (found == sets.end() || depth == std::string(kPaperDepth)) continue;
    const auto& [heads, maps] = found->second;
    const ordered_json rest = maps_json(maps);
    std::string lines;
    for (size_t i = 0; i < heads.size(); ++i) {
      const ScoreMap& map = maps.heads[i];
      lines += fmt::format("{}        {}", i == 0 ? "" : ",\n",
                           text(ordered_json::array({to_string(heads[i]), map.mu, map.sigma, map.weight})));
    }
    with_maps +=
        fmt::format("{}    \"{}\": {{\n      \"heads\": [\n{}\n      ]", with_maps.empty() ? "" : ",\n", depth, lines);
    for (const char* key : {"lexical", "length", "confidence"})
      with_maps += fmt::format(",\n      \"{}\": {}", key, text(rest.at(key)));
    with_maps += "\n    }";
  }
  if (!with_maps.empty()) file += fmt::format(",\n  \"sets\": {{\n{}\n  }}", with_maps);
  return file + "\n}\n";
}

Result<HeadSet> choose_set(const HeadSets& sets, const std::string& depth) {
  const auto found = sets.find(depth.empty() ? kUsualDepth : depth);
  if (found != sets.end()) return found->second;
  const auto paper = sets.find(kPaperDepth);
  if (depth.empty() && paper != sets.end()) return paper->second;
  std::string known;
  for (const auto& [name, set] : sets) known += (known.empty() ? "" : ", ") + name;
  return Status{Code::kUsage, fmt::format("no heads for the depth '{}' are known for this model; known: {}",
                                          depth.empty() ? kUsualDepth : depth, known)};
}

ordered_json maps_json(const ScoreMaps& maps) {
  ordered_json root;
  for (const ScoreMap& head : maps.heads) root["heads"].push_back(map_json(head));
  root["lexical"] = map_json(maps.lexical);
  root["length"] = maps.length_weight;
  root["confidence"] = {maps.confidence_offset, maps.confidence_slope};
  return root;
}

ScoreMaps parse_maps(const json& maps, size_t n_heads) {
  ScoreMaps parsed;
  for (const json& head : array(maps.at("heads"))) parsed.heads.push_back(parse_map(head));
  if (parsed.heads.size() != n_heads) throw_bad("maps and heads differ in number");
  parse_rest(maps, parsed);
  return parsed;
}

}  // namespace reform
