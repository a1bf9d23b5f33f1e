#include "tests/storage/support/store_oracle.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform::test {
namespace {

std::string describe(const ExpectedStore& store) {
  std::string text;
  for (const auto& [key, context] : store) {
    std::string checkpoints;
    for (const int64_t n : context.checkpoints) checkpoints += fmt::format(" {}", n);
    text += fmt::format("\n  {}{}: seed {}, {} tokens{}, progress {}, checkpoints{}", key.first,
                        key.second == Which::kReplacement ? " (replacement)" : "", context.seed, context.n_tokens,
                        context.complete ? ", complete" : "", context.progress, checkpoints);
  }
  return text.empty() ? "\n  nothing" : text;
}

Status wrong(const std::string& what) { return {Code::kInternal, "WRONG BYTES: " + what}; }

}  // namespace

const std::vector<int64_t> kOraclePartBytes = {20'011, 0, 31};
uint64_t part_seed(uint64_t seed, int64_t n_tokens) { return seed * 1'000'003 + uint64_t(n_tokens); }
std::string settings_of(uint64_t seed) { return std::to_string(seed); }

void Oracle::may_become(const std::function<void(ExpectedStore&)>& change) {
  ExpectedStore next = possible_.back();
  change(next);
  possible_.push_back(std::move(next));
}

Status Oracle::check_bytes(ContextData& data, const ExpectedContext& expected) {
  TRY_ASSIGN(const Tokens tokens, data.read_tokens(0, expected.n_tokens));
  if (int64_t(tokens.ids.size()) != expected.n_tokens) return wrong("number of tokens");
  for (int64_t t = 0, at = 0; t < expected.n_tokens; ++t) {
    if (tokens.ids[size_t(t)] != token_id(expected.seed, t) || tokens.begin_bytes[size_t(t)] != at)
      return wrong("tokens");
    at += token_bytes(expected.seed, t);
  }
  int64_t row = 0;
  TRY(data.scan(kEmbeddingRows, [&](TokenRange range, std::span<const std::byte> rows) -> Status {
    if (range.begin != row || int64_t(rows.size()) != range.n_tokens() * kOracleRowBytes)
      return wrong("an embedding block's place");
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t t = row + int64_t(i) / kOracleRowBytes;
      if (rows[i] != row_byte(expected.seed, t, int64_t(i) % kOracleRowBytes)) return wrong("rows");
    }
    row += range.n_tokens();
    return {};
  }));
  if (row != expected.n_tokens) return wrong("number of rows");
  for (const int64_t n_tokens : expected.checkpoints) {
    size_t part = 0;
    TRY(data.load_checkpoint(n_tokens, [&](const std::string&, std::span<const std::byte> bytes) -> Status {
      if (part >= kOraclePartBytes.size() || int64_t(bytes.size()) != kOraclePartBytes[part])
        return wrong("a checkpoint's part");
      for (size_t i = 0; i < bytes.size(); ++i) {
        if (bytes[i] != part_byte(part_seed(expected.seed, n_tokens), int64_t(part), int64_t(i)))
          return wrong("a checkpoint's bytes");
      }
      bytes_checked_ += int64_t(bytes.size());
      ++part;
      return {};
    }));
    if (part != kOraclePartBytes.size()) return wrong("a checkpoint's parts");
  }
  bytes_checked_ += expected.n_tokens * (8 + kOracleRowBytes);
  return {};
}

// Adds what the entry's context says of itself to `found`, and checks its bytes.
Status Oracle::read_entry(ContextStore& store, const ContextEntry& entry, ExpectedStore& found) {
  const std::string& name = entry.meta.name;
  TRY(entry.state);
  if (entry.busy) return {Code::kBusy, fmt::format("\"{}\" is busy, and nobody is there", name)};
  const Which which = entry.replacement ? Which::kReplacement : Which::kCurrent;
  if (found.contains({name, which})) return {Code::kInternal, fmt::format("there are two of \"{}\"", name)};
  std::unique_ptr<ContextData> data;
  if (which == Which::kCurrent) {
    TRY_ASSIGN(data, store.open_reader(name));
  } else {
    TRY_ASSIGN(data, store.open_writer(name, which));
  }
  const ContextMeta& meta = data->meta();
  TRY_ASSIGN(const auto checkpoints, data->checkpoints());
  const ExpectedContext context{std::strtoull(meta.settings.c_str(), nullptr, 10),
                                meta.n_tokens,
                                meta.complete,
                                meta.progress,
                                {checkpoints.begin(), checkpoints.end()}};
  TRY(check_bytes(*data, context));
  found[{name, which}] = context;
  return {};
}

std::string Oracle::judge(ContextStore& store, const std::string& damaged) {
  const auto entries = store.list();
  if (!entries.ok()) return "the list fails: " + entries.status().message;
  ExpectedStore found;
  bool is_damaged = false;
  for (const ContextEntry& entry : entries.value()) {
    const Status status = read_entry(store, entry, found);
    if (status.ok()) continue;
    const std::string& name = entry.meta.name;
    if (status.code != Code::kCorrupt || damaged.empty() || (name != damaged && !name.empty()))
      return fmt::format("\"{}\": {}", name, status.message);
    is_damaged = true;
  }
  const auto held = std::find_if(possible_.begin(), possible_.end(), [&](ExpectedStore state) {
    if (!is_damaged) return state == found;
    for (const Which which : {Which::kCurrent, Which::kReplacement}) {
      if (!found.contains({damaged, which})) state.erase({damaged, which});
    }
    return state == found;
  });
  if (held == possible_.end()) {
    std::string text = "the store holds" + describe(found) + "\nbut it may hold only";
    for (size_t i = 0; i < possible_.size(); ++i) text += (i ? "\nor" : "") + describe(possible_[i]);
    return text;
  }
  possible_ = {*held};
  return "";
}

}  // namespace reform::test
