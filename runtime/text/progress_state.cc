#include "runtime/text/progress_state.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/parse_json.h"

namespace reform {

using nlohmann::json;

namespace {

// Text bytes may be cut inside a character, so they are stored as hex.
std::string to_hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char c : bytes) hex += {kDigits[c >> 4], kDigits[c & 15]};
  return hex;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// Far beyond any text, so that sums of two offsets do not overflow.
void check_offset(int64_t offset) {
  if (offset < 0 || offset > int64_t{1} << 60) throw std::invalid_argument("an impossible offset");
}

json part_json(const PartStart& p) {
  json part = {{"begin_tokens", p.begin_tokens},           {"source_begin_byte", p.source_begin_byte},
               {"stable_bytes", p.stable_bytes},           {"seed_ids", p.seed_ids},
               {"seed_byte_lengths", p.seed_byte_lengths}, {"held_back", to_hex(p.held_back)}};
  if (p.within != WordPart::kNone) part["within"] = int(p.within);
  for (const TextRun& run : p.held_runs) part["held_runs"].push_back({run.n_text, run.n_raw, run.count});
  return part;
}

TextRun parse_run(const json& j) {
  constexpr int64_t kMost = 64;  // bytes of a character, in any encoding
  const int64_t n_text = parse_integer(j.at(0)), n_raw = parse_integer(j.at(1)), count = parse_integer(j.at(2));
  check_offset(count);
  if (n_text < 0 || n_text > kMost || n_raw < 0 || n_raw > kMost) throw std::invalid_argument("an impossible run");
  return {int32_t(n_text), int32_t(n_raw), count};
}

PartStart parse_part(const json& j) {
  PartStart p;
  p.begin_tokens = parse_integer(j.at("begin_tokens"));
  p.source_begin_byte = parse_integer(j.at("source_begin_byte"));
  p.stable_bytes = parse_integer(j.at("stable_bytes"));
  for (const json& id : j.at("seed_ids")) p.seed_ids.push_back(int32_t(parse_integer(id)));
  for (const json& n : j.at("seed_byte_lengths")) p.seed_byte_lengths.push_back(uint32_t(parse_integer(n)));
  p.held_back = from_hex(j.at("held_back").get<std::string>());
  const int64_t within = j.contains("within") ? parse_integer(j["within"]) : 0;
  if (within < 0 || within > kLastWordPart) throw std::invalid_argument("an impossible part of a word");
  p.within = WordPart(within);
  for (const json& run : j.value("held_runs", json::array())) p.held_runs.push_back(parse_run(run));
  for (const int64_t offset : {p.begin_tokens, p.source_begin_byte, p.stable_bytes}) check_offset(offset);
  if (p.seed_ids.size() != p.seed_byte_lengths.size()) {
    throw std::invalid_argument("an impossible start");
  }
  return p;
}

std::string file_json(const SourceFile& f) {
  const json file = {{"name", f.name}, {"begin_byte", f.begin_byte}, {"size_bytes", f.size_bytes}};
  return file.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class Fn>
auto parse(const std::string& text, const std::string& context, const char* what, Fn fn)
    -> Result<decltype(fn(json()))> {
  try {  // accessors throw on a missing key or a wrong type; nothing escapes from here
    return fn(parse_json(text));
  } catch (const std::exception& e) {
    return Status{Code::kCorrupt, fmt::format("context '{}': its {} is damaged: {}", context, what, what_is_wrong(e))};
  }
}

}  // namespace

std::string to_json(const std::vector<SourceFile>& sources) { return GrowingSources().json(sources, {}); }

void GrowingSources::close_up_to(const std::vector<SourceFile>& files, size_t n, size_t& n_closed) {
  for (; n_closed < n; ++n_closed) closed_ += file_json(files[n_closed]) + ",";
}

std::string GrowingSources::json(const std::vector<SourceFile>& before, const std::vector<SourceFile>& now) {
  close_up_to(before, before.size(), n_before_);
  if (!now.empty()) close_up_to(now, now.size() - 1, n_now_);
  std::string list = "[" + closed_;
  if (!now.empty()) {
    list += file_json(now.back());
  } else if (!closed_.empty()) {
    list.pop_back();
  }
  list += ']';
  return list;
}

int64_t listed_bytes(const std::string& name) {
  // Copies of the JSON: the list of the files that are read, which may have grown to twice its size; those of the last
  // chunk and of the next; and the store's three.
  constexpr int64_t kJsonCopies = 7, kNumbers = 40;
  const auto json_bytes = int64_t(file_json({name, 0, 0}).size()) + kNumbers;
  return 2 * int64_t(sizeof(SourceFile)) + string_bytes(name) + kJsonCopies * json_bytes;
}

int64_t most_progress_bytes(int64_t n_held, int64_t n_runs, int64_t n_seeds) {
  // Bytes of JSON: hex digits, numbers of up to ten digits, runs as [4,10,…]. As values: 16 bytes each, in vectors that
  // may have grown to twice their size, and for a run a vector of its own.
  const int64_t json_bytes = 2 * n_held + 22 * n_seeds + 24 * n_runs;
  const int64_t value_bytes = 4 * n_held + 64 * n_seeds + 160 * n_runs;
  const int64_t part_bytes = n_held + 8 * n_seeds + int64_t(sizeof(TextRun)) * n_runs;
  return 2 * (part_bytes + value_bytes + 4 * json_bytes);
}

std::vector<SourceFile> without_folders(std::vector<SourceFile> sources) {
  for (SourceFile& f : sources) {
    const size_t slash = f.name.find_last_of('/');
    if (slash != std::string::npos && slash + 1 < f.name.size()) f.name.erase(0, slash + 1);
  }
  return sources;
}

Result<std::vector<SourceFile>> parse_sources(const std::string& text, const std::string& context) {
  if (text.empty()) return std::vector<SourceFile>{};
  return parse(text, context, "list of sources", [](const json& root) {
    std::vector<SourceFile> sources;
    for (const json& j : root) {
      sources.push_back(
          {j.at("name").get<std::string>(), parse_integer(j.at("begin_byte")), parse_integer(j.at("size_bytes"))});
      check_offset(sources.back().begin_byte), check_offset(sources.back().size_bytes);
    }
    return sources;
  });
}

std::string to_json(const ProgressState& s) {
  json root = {{"part", part_json(s.part)}, {"committed_hash", s.committed_hash}, {"read", json::array()}};
  for (const SourceHash& h : s.read) root["read"].push_back({{"bytes", h.bytes}, {"xxh3_128", h.xxh3_128}});
  if (s.can_append) root["append"] = part_json(s.append);
  return root.dump();
}

Result<ProgressState> parse_progress(const std::string& text, const std::string& context) {
  if (text.empty()) return ProgressState{};
  return parse(text, context, "progress", [](const json& root) {
    ProgressState s;
    s.part = parse_part(root.at("part"));
    root.at("committed_hash").get_to(s.committed_hash);
    for (const json& j : root.at("read"))
      s.read.push_back({parse_integer(j.at("bytes")), j.at("xxh3_128").get<std::string>()});
    s.can_append = root.contains("append");
    if (s.can_append) s.append = parse_part(root.at("append"));
    return s;
  });
}

}  // namespace reform
