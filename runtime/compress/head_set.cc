#include "runtime/compress/head_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/parse_json.h"
#include "base/try.h"

namespace reform {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// `place` is where a value stands in its file, as in sets.fast.heads[2].
Status unlike(const std::string& place, const std::string& expected, const json& found) {
  std::string what = found.is_number() ? found.dump() : fmt::format("a {}", found.type_name());
  if (found.is_array()) what = fmt::format("an array of {}", found.size());
  if (found.is_object()) what = "an object";
  if (found.is_null()) what = "nothing";
  return {Code::kUsage, fmt::format("{}: expected {}, found {}", place, expected, what)};
}

// Null if there is none.
const json& member(const json& object, const char* key) {
  static const json kNone;
  const auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

std::string element(const std::string& place, size_t i) { return fmt::format("{}[{}]", place, i); }

ordered_json map_json(const ScoreMap& map) { return {map.mu, map.sigma, map.weight}; }

Result<double> parse_number(const json& number, const std::string& place) {
  constexpr double kLargest = 1e6;  // sums of such numbers stay far from infinity
  if (!number.is_number() || !(std::abs(number.get<double>()) <= kLargest))
    return unlike(place, "a number from -1e6 to 1e6", number);
  return number.get<double>();
}

// The map's numbers follow `first` other elements.
Result<ScoreMap> parse_map(const json& map, const std::string& place, size_t first = 0) {
  if (!map.is_array() || map.size() != first + 3)
    return unlike(place, first == 0 ? "[mu, sigma, weight]" : "[head, mu, sigma, weight]", map);
  ScoreMap parsed;
  TRY_ASSIGN(parsed.mu, parse_number(map[first], element(place, first)));
  TRY_ASSIGN(parsed.sigma, parse_number(map[first + 1], element(place, first + 1)));
  TRY_ASSIGN(parsed.weight, parse_number(map[first + 2], element(place, first + 2)));
  if (parsed.sigma < 1e-6) return unlike(element(place, first + 1), "a sigma of 1e-6 or more", map[first + 1]);
  return parsed;
}

Status parse_rest(const json& maps, const std::string& place, ScoreMaps& parsed) {
  TRY_ASSIGN(parsed.lexical, parse_map(member(maps, "lexical"), place + ".lexical"));
  TRY_ASSIGN(parsed.length_weight, parse_number(member(maps, "length"), place + ".length"));
  const json& confidence = member(maps, "confidence");
  const std::string here = place + ".confidence";
  if (!confidence.is_array() || confidence.size() != 2) return unlike(here, "[offset, slope]", confidence);
  TRY_ASSIGN(parsed.confidence_offset, parse_number(confidence[0], element(here, 0)));
  TRY_ASSIGN(parsed.confidence_slope, parse_number(confidence[1], element(here, 1)));
  return {};
}

Result<HeadRef> parse_name(const json& name, const std::string& place) {
  if (!name.is_string()) return unlike(place, "a head like \"q14.9\"", name);
  const auto head = parse_head(name.get<std::string>());
  if (!head.ok()) return Status{head.status().code, place + ": " + head.status().message};
  return head;
}

// A set with maps: each head is [name, mu, sigma, weight].
Result<HeadSet> parse_set(const json& set, const std::string& place) {
  HeadSet parsed;
  const json& heads = member(set, "heads");
  const std::string here = place + ".heads";
  if (!heads.is_array()) return unlike(here, "an array", heads);
  for (size_t i = 0; i < heads.size(); ++i) {
    TRY_ASSIGN(const ScoreMap map, parse_map(heads[i], element(here, i), 1));
    TRY_ASSIGN(const HeadRef head, parse_name(heads[i][0], element(here, i)));
    parsed.heads.push_back(head);
    parsed.maps.heads.push_back(map);
  }
  TRY(parse_rest(set, place, parsed.maps));
  if (parsed.maps.confidence_slope < 0)
    return unlike(element(place + ".confidence", 1), "a slope of 0 or more", set["confidence"][1]);
  return parsed;
}

Result<HeadSets> parse_sets(const json& root) {
  HeadSets sets;
  if (const auto heads = root.find("heads"); heads != root.end()) {
    HeadSet& paper = sets[kPaperDepth];
    if (!heads->is_array()) return unlike("heads", "an array", *heads);
    for (size_t i = 0; i < heads->size(); ++i) {
      TRY_ASSIGN(const HeadRef head, parse_name((*heads)[i], element("heads", i)));
      paper.heads.push_back(head);
    }
  }
  const auto with_maps = root.find("sets");
  if (with_maps == root.end()) return sets;
  if (!with_maps->is_object()) return unlike("sets", "an object", *with_maps);
  for (const auto& [depth, set] : with_maps->items()) {
    if (depth == kPaperDepth || std::count(std::begin(kDepths), std::end(kDepths), depth) == 0)
      return Status{Code::kUsage, fmt::format("sets: \"{}\" is no depth: expected fast, balanced or deep", depth)};
    TRY_ASSIGN(sets[depth], parse_set(set, "sets." + depth));
  }
  return sets;
}

Status check_fingerprint(const json& root, const std::string& fingerprint) {
  const auto whose = root.find("fingerprint");
  if (whose == root.end()) return {};
  if (!whose->is_string()) return unlike("fingerprint", "a string", *whose);
  if (fingerprint.empty()) return {};
  const auto named = whose->get<std::string>();
  if (named.empty() || named == fingerprint) return {};
  return {Code::kWrongModel, fmt::format("these heads were chosen for another model ({}, this one is {}); without the "
                                         "\"fingerprint\" they are taken all the same",
                                         named, fingerprint)};
}

// People write these files, so it says at which byte, from 0, the text is no JSON, and refuses a repeated key, of which
// the library would take the last.
Result<json> parse_written(const std::string& text) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string repeated;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    if (too_deep) return false;
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second && repeated.empty())
      repeated = value.dump(-1, ' ', /*ensure_ascii=*/true);
    return true;
  };
  json root;
  try {
    root = json::parse(text, watch);
  } catch (const json::parse_error& e) {
    return Status{Code::kUsage, fmt::format("not valid JSON at byte {}", std::max<size_t>(e.byte, 1) - 1)};
  } catch (const json::out_of_range&) {
    return Status{Code::kUsage, "a number in it is too large"};
  }
  if (too_deep) return Status{Code::kUsage, fmt::format("it nests deeper than {} levels", kMaxJsonDepth)};
  if (!repeated.empty()) return Status{Code::kUsage, fmt::format("the key {} stands twice in one object", repeated)};
  return root;
}

Result<HeadSets> parse_checked(const std::string& text, const ModelShape& shape, const std::string& fingerprint) {
  TRY_ASSIGN(const json root, parse_written(text));
  if (!root.is_object() || !(root.contains("heads") || root.contains("sets")))
    return Status{Code::kUsage, "expected a JSON object with \"heads\" or \"sets\""};
  TRY(check_fingerprint(root, fingerprint));
  TRY_ASSIGN(HeadSets sets, parse_sets(root));
  for (const auto& [depth, set] : sets) {
    const Status heads = check_heads(set.heads, shape);
    if (!heads.ok())
      return Status{heads.code, (depth == kPaperDepth ? "heads" : "sets." + depth) + ": " + heads.message};
  }
  if (sets.empty()) return Status{Code::kUsage, "it has no heads"};
  return sets;
}

}  // namespace

Result<HeadSets> parse_heads_file(const std::string& text, const std::string& label, const ModelShape& shape,
                                  const std::string& fingerprint) {
  auto sets = parse_checked(text, shape, fingerprint);
  if (!sets.ok()) return Status{sets.status().code, label + ": " + sets.status().message};
  return sets;
}

namespace {

// The fewest digits that are read back as the same number. The library writes 0.0078883 as 0.007888300000000001.
std::string shortest(double number) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
}

}  // namespace

// A head, and what else is a list of numbers, takes one line.
std::string heads_file_json(const HeadSets& sets, const std::string& model_name, const std::string& fingerprint) {
  const auto plain = [](const ordered_json& value) {
    return value.is_number_float() ? shortest(value) : value.dump(-1, ' ', false, json::error_handler_t::replace);
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
  return Status{Code::kUsage, fmt::format("no heads for the depth '{}' are known for this model; known: {}{}",
                                          depth.empty() ? kUsualDepth : depth, known,
                                          depth == kPaperDepth ? "" : "; `reform heads` chooses them")};
}

std::string shipped_depth(const std::string& fingerprint, const Heads& heads) {
  const json root = parse_json(shipped_heads_json(fingerprint));
  if (!root.is_object()) return "";
  const Result<HeadSets> sets = parse_sets(root);
  if (!sets.ok()) return "";
  const auto found = std::ranges::find_if(sets.value(), [&](const auto& set) { return set.second.heads == heads; });
  return found == sets.value().end() ? "" : found->first;
}

ordered_json maps_json(const ScoreMaps& maps) {
  ordered_json root;
  for (const ScoreMap& head : maps.heads) root["heads"].push_back(map_json(head));
  root["lexical"] = map_json(maps.lexical);
  root["length"] = maps.length_weight;
  root["confidence"] = {maps.confidence_offset, maps.confidence_slope};
  return root;
}

Result<ScoreMaps> parse_maps(const json& maps, const std::string& place, size_t n_heads) {
  ScoreMaps parsed;
  const json& heads = member(maps, "heads");
  const std::string here = place + ".heads";
  if (!heads.is_array() || heads.size() != n_heads) return unlike(here, fmt::format("an array of {}", n_heads), heads);
  for (size_t i = 0; i < n_heads; ++i) {
    TRY_ASSIGN(const ScoreMap map, parse_map(heads[i], element(here, i)));
    parsed.heads.push_back(map);
  }
  TRY(parse_rest(maps, place, parsed));
  return parsed;
}

}  // namespace reform
