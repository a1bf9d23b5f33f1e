// Ingest's promises: however a text arrives (at once, in parts, stopped and resumed, on more threads), the context is
// the same to the byte.
#include <catch2/catch.hpp>
#include <functional>
#include <sstream>
#include <string>
#include <utility>

#include "runtime/jobs/kept_settings.h"
#include "runtime/jobs/store_impl.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

using namespace reform;
using namespace reform::test;

namespace {

using Outcome = IngestResult::Outcome;

constexpr int64_t kChunk = 64;

IngestOptions with(IngestOptions options, IngestOptions::OnExisting on_existing) {
  options.on_existing = on_existing;
  return options;
}
IngestOptions appending(const IngestOptions& options) { return with(options, IngestOptions::OnExisting::kAppend); }

bool is_char_begin(const std::string& text, size_t at) {
  return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
}

// Cuts where appends are hard, as byte offsets: after one byte, before the last byte, close to a chunk's border,
// anywhere.
std::vector<size_t> hard_cuts(const std::string& text, const Snapshot& whole, uint64_t seed) {
  std::vector<size_t> cuts = {1, text.size() - 1};
  const int64_t border = int64_t(whole.ids.size()) / kChunk / 2 * kChunk;
  for (const int64_t token : {border - 1, border, border + 1}) cuts.push_back(size_t(whole.begin_bytes[size_t(token)]));
  SplitMix rng(seed);
  for (int i = 0; i < 3; ++i) cuts.push_back(1 + rng.pick(text.size() - 1));
  for (size_t& cut : cuts)
    while (!is_char_begin(text, cut)) ++cut;
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::erase(cuts, text.size());
  return cuts;
}

Snapshot ingested(IngestBench& bench, const std::vector<std::string>& texts, const IngestOptions& options) {
  const auto r = bench.ingest("whole", texts, with(options, IngestOptions::OnExisting::kReplace));
  REQUIRE(r.status().message == "");
  return bench.snapshot("whole");
}

void must_ingest(IngestBench& bench, const std::string& text, const IngestOptions& options,
                 IngestResult::Outcome outcome) {
  const auto r = bench.ingest("parts", {text}, options);
  REQUIRE(r.status().message == "");
  CHECK(int(r.value().outcome) == int(outcome));
}

}  // namespace

TEST_CASE("append: two texts one after the other leave what the joined text leaves", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    const IngestOptions options = IngestBench::options(policy);
    const std::string text = made_text(policy.size(), 1100 + 7 * policy.size());
    const Snapshot whole = ingested(bench, {text}, options);
    REQUIRE(whole.ids.size() > 4 * kChunk);
    for (const size_t cut : hard_cuts(text, whole, policy.size())) {
      CAPTURE(policy, cut);
      must_ingest(bench, text.substr(0, cut), options, Outcome::kIngested);
      must_ingest(bench, text.substr(cut), appending(options), Outcome::kAppended);
      check_same(bench.snapshot("parts"), whole);
      REQUIRE(bench.store().remove("parts").ok());
    }
  }
}

// The second checkpoint is the one that an append starts from. Up to four tokens for each slot of the cache, the append
// makes it again.
TEST_CASE("a short context keeps one checkpoint, a long one keeps the one for appends too", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    IngestOptions options = IngestBench::options(policy);
    options.checkpoint_seconds = policy == "h2o" ? 0 : 1000;  // what is saved on the way goes at the end
    const auto shortest_with = [&](int64_t n_tokens) {
      std::string text = made_text(17, 2000);
      const Snapshot all = ingested(bench, {text}, options);
      size_t end = size_t(all.begin_bytes[size_t(n_tokens)]);
      while (!is_char_begin(text, end)) ++end;
      return text.substr(0, end);
    };
    CAPTURE(policy);
    const std::string text = shortest_with(5 * kChunk + 30);
    const Snapshot brief = ingested(bench, {shortest_with(4 * kChunk + 30)}, options);
    CHECK(brief.at == std::vector<int64_t>{int64_t(brief.ids.size())});
    const Snapshot longer = ingested(bench, {text}, options);
    CHECK(longer.at.size() == (policy == "none" ? 1 : 2));
    if (policy != "none") CHECK(longer.at.front() == 5 * kChunk);
  }
}

TEST_CASE("append: text that ends on a chunk's last token, or short of one chunk", "[runtime]") {
  IngestBench bench;
  const IngestOptions options = IngestBench::options("h2o");
  std::string text = made_text(21, 1400);
  std::erase_if(text, [](unsigned char c) { return c >= 0x80; });  // so that every token ends where a character does
  const Snapshot probe = ingested(bench, {text}, options);
  for (const int64_t n_tokens : {kChunk - 1, kChunk, kChunk + 1, 2 * kChunk}) {
    // Both the first part and the whole text end there.
    const std::string first = text.substr(0, size_t(probe.begin_bytes[size_t(n_tokens)]));
    const std::string rest =
        text.substr(first.size(), size_t(probe.begin_bytes[size_t(n_tokens + kChunk)]) - first.size());
    CAPTURE(n_tokens);
    const Snapshot whole = ingested(bench, {first + rest}, options);
    must_ingest(bench, first, options, Outcome::kIngested);
    must_ingest(bench, rest, appending(options), Outcome::kAppended);
    check_same(bench.snapshot("parts"), whole);
    REQUIRE(bench.store().remove("parts").ok());
  }
}

TEST_CASE("append: many small texts in a row, some of a byte", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    const IngestOptions options = IngestBench::options(policy);
    const std::string text = made_text(31 + policy.size(), 700);
    const Snapshot whole = ingested(bench, {text}, options);
    SplitMix rng(policy.size());
    bool first = true;
    for (size_t at = 0; at < text.size(); first = false) {
      size_t end = std::min(text.size(), at + 1 + (rng.pick(3) == 0 ? 0 : rng.pick(230)));
      const auto is_white = [&](size_t begin, size_t n) { return text.find_first_not_of(" \n", begin) >= begin + n; };
      while (!is_char_begin(text, end) || is_white(at, end - at)) ++end;  // white space alone is refused
      if (is_white(end, text.size() - end)) end = text.size();
      CAPTURE(policy, at, end);
      must_ingest(bench, text.substr(at, end - at), first ? options : appending(options),
                  first ? Outcome::kIngested : Outcome::kAppended);
      at = end;
    }
    check_same(bench.snapshot("parts"), whole);
    REQUIRE(bench.store().remove("parts").ok());
  }
}

// Each text must be UTF-8 by itself, since each is a file. --lossy joins the bytes, so a character that is cut in two
// is whole again.
TEST_CASE("append: a character cut in two is refused, and whole again with lossy", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  const std::string text = made_text(41, 500) + "日本語 and so on";
  const size_t cut = 501;
  must_ingest(bench, text.substr(0, 500), options, Outcome::kIngested);
  const Snapshot before = bench.snapshot("parts");
  const auto r = bench.ingest("parts", {text.substr(500, 1)}, appending(options));
  CHECK(r.status().code == Code::kBadText);
  CHECK(r.status().message.find("byte 0") != std::string::npos);
  check_same(bench.snapshot("parts"), before);  // nothing is lost
  CHECK(bench.ingest("other", {text.substr(0, cut)}, options).status().code == Code::kBadText);
  REQUIRE(bench.store().remove("parts").ok());

  options.lossy = true;
  const Snapshot whole = ingested(bench, {text}, options);
  for (const size_t at : {cut, cut + 1}) {
    must_ingest(bench, text.substr(0, at), options, Outcome::kIngested);
    must_ingest(bench, text.substr(at), appending(options), Outcome::kAppended);
    const Snapshot parts = bench.snapshot("parts");
    CHECK(parts.ids == whole.ids);
    CHECK((parts.rows == whole.rows));
    CHECK((parts.checkpoints == whole.checkpoints));
    REQUIRE(bench.store().remove("parts").ok());
  }
}

TEST_CASE("stopped at any chunk and gone on: the context is that of an ingest nobody stopped", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    IngestOptions options = IngestBench::options(policy);
    const std::string text = made_text(51 + policy.size(), 1000);
    const Snapshot whole = ingested(bench, {text}, options);
    for (int chunk = 0;; ++chunk) {
      CAPTURE(policy, chunk);
      options.checkpoint_seconds = chunk % 3 == 0 ? 1000 : 0;  // saved only at the end, or after every chunk
      if (!bench.ingest_stopped("parts", {text}, options, chunk)) {
        CHECK(chunk > 4);
        break;
      }
      if (chunk == 0) {
        CHECK_FALSE(bench.store().find("parts").ok());  // nothing was read, so nothing is left
        continue;
      }
      CHECK(bench.store().find("parts").value().state == "partial");
      if (chunk % 2 == 1) CHECK(bench.ingest_stopped("parts", {text}, options, 0));  // stopped again
      must_ingest(bench, text, options, Outcome::kResumed);
      check_same(bench.snapshot("parts"), whole);
      REQUIRE(bench.store().remove("parts").ok());
    }
    REQUIRE(bench.store().remove("parts").ok());
  }
}

TEST_CASE("stopped by the user, an ingest has saved all chunks it read, or leaves nothing", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    IngestOptions options = IngestBench::options(policy);
    options.checkpoint_seconds = 1000;
    const std::string text = made_text(57 + policy.size(), 1000);
    for (const int chunk : {1, 3}) {
      CAPTURE(policy, chunk);
      REQUIRE(bench.file_stopped("parts", text, options, chunk));
      CHECK(bench.store().find("parts").value().state == "partial");
      CHECK(bench.store().find("parts").value().n_tokens == chunk * kChunk);
      const auto rest = bench.ingest("parts", {text}, options);
      REQUIRE(rest.ok());
      CHECK(rest.value().tokens_run == rest.value().context.n_tokens - chunk * kChunk);
      REQUIRE(bench.store().remove("parts").ok());
    }
    REQUIRE(bench.file_stopped("parts", text, options, 0));
    CHECK(bench.store().find("parts").status().code == Code::kNotFound);
  }
}

TEST_CASE("a setting asked for that the context does not have is said, with both values", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("recent");
  const std::string text = made_text(23, 600);
  must_ingest(bench, text, options, Outcome::kIngested);
  const ContextSettings kept = parse_settings(bench.store().find("parts").value().settings_json, "parts").value();
  CHECK(kept_settings(options, nullptr, kept) == "");
  options.chosen = {"policy", "chunk_tokens", "cache_tokens", "sink_tokens", "overlap_tokens", "full_depth", "pages"};
  CHECK(kept_settings(options, nullptr, kept) == "");  // chosen, and the same
  options.policy = "tova";
  options.chunk_tokens = 96;
  options.full_depth = options.pages = true;
  const HeadSet other{.heads = {kept.heads[0]}, .maps = {}};
  const std::string all = kept_settings(options, &other, kept);
  for (const std::string part :
       {"policy recent, not tova", "chunk_tokens 64, not 96", "full_depth false, not true", "pages false, not true"})
    CHECK(all.find(part) != std::string::npos);
  CHECK(all.find("heads ") != std::string::npos);
  CHECK(all.find("cache_tokens") == std::string::npos);
  options.chosen = {};
  CHECK(kept_settings(options, nullptr, kept) == "");  // left at its default, whatever that is
}

TEST_CASE("an append that is stopped goes on, and takes further appends", "[runtime]") {
  IngestBench bench;
  for (const std::string& policy : every_policy()) {
    IngestOptions options = IngestBench::options(policy);
    options.checkpoint_seconds = 0;
    const std::string text = made_text(61 + policy.size(), 1200);
    const Snapshot whole = ingested(bench, {text}, options);
    size_t cuts[] = {430, 1010};
    for (size_t& cut : cuts)
      while (!is_char_begin(text, cut)) ++cut;
    const std::string parts[] = {text.substr(0, cuts[0]), text.substr(cuts[0], cuts[1] - cuts[0]),
                                 text.substr(cuts[1])};
    for (const int chunk : {0, 1, 3}) {
      CAPTURE(policy, chunk);
      must_ingest(bench, parts[0], options, Outcome::kIngested);
      CHECK(bench.ingest_stopped("parts", {parts[1]}, appending(options), chunk));
      must_ingest(bench, parts[1], appending(options), Outcome::kResumed);
      must_ingest(bench, parts[2], appending(options), Outcome::kAppended);
      check_same(bench.snapshot("parts"), whole);
      REQUIRE(bench.store().remove("parts").ok());
    }
  }
}

TEST_CASE("a stopped ingest refuses other text and loses nothing by it", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  options.checkpoint_seconds = 0;
  const std::string text = made_text(71, 900);
  const Snapshot whole = ingested(bench, {text}, options);
  REQUIRE(bench.ingest_stopped("parts", {text}, options, 3));
  std::string changed = text;
  char& letter = *std::find_if(changed.begin(), changed.end(), [](char c) { return c >= 'a' && c < 'z'; });
  ++letter;
  for (const std::string& other : {changed, text.substr(0, 60), std::string("?")}) {
    CAPTURE(other.size());
    const auto r = bench.ingest("parts", {other}, options);
    CHECK(r.status().code == Code::kExists);
    CHECK(r.status().message.find("--replace") != std::string::npos);
  }
  must_ingest(bench, text, options, Outcome::kResumed);
  check_same(bench.snapshot("parts"), whole);
}

TEST_CASE("any number of threads leaves the same context", "[runtime]") {
  const std::string text = made_text(81, 900);
  for (const std::string& policy : every_policy()) {
    IngestBench one(1), three(3), two(2);
    const IngestOptions options = IngestBench::options(policy);
    const Snapshot expected = ingested(one, {text}, options);
    CAPTURE(policy);
    check_same(ingested(two, {text}, options), expected);
    check_same(ingested(three, {text}, options), expected);
  }
}

TEST_CASE("the same text again is not read again, other text is refused and nothing is lost", "[runtime]") {
  IngestBench bench;
  const IngestOptions options = IngestBench::options("recent");
  const std::string text = made_text(91, 600);
  must_ingest(bench, text, options, Outcome::kIngested);
  const Snapshot before = bench.snapshot("parts");
  const auto again = bench.ingest("parts", {text.substr(0, 256), text.substr(256)}, options);  // cut differently
  REQUIRE(again.status().message == "");
  CHECK(int(again.value().outcome) == int(Outcome::kUnchanged));
  CHECK(again.value().tokens_run == 0);
  for (const std::string& other : {text + "!", text.substr(0, 599), std::string("short")}) {
    const auto r = bench.ingest("parts", {other}, options);
    CHECK(r.status().code == Code::kExists);
    CHECK(r.status().message.find("--append") != std::string::npos);
  }
  check_same(bench.snapshot("parts"), before);
  must_ingest(bench, "More.", appending(options), Outcome::kAppended);
  CHECK(bench.ingest("parts", {text, "More."}, options).value().outcome == Outcome::kUnchanged);
}

TEST_CASE("replace: stopped anywhere, the old context is as it was, gone on, the new one is whole", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  options.checkpoint_seconds = 0;
  const IngestOptions replacing = with(options, IngestOptions::OnExisting::kReplace);
  const std::string text = made_text(101, 500), other = made_text(102, 700);
  const Snapshot whole = ingested(bench, {other}, options);
  for (const int chunk : {0, 1, 3}) {
    CAPTURE(chunk);
    must_ingest(bench, text, replacing, chunk == 0 ? Outcome::kIngested : Outcome::kReplaced);
    const Snapshot before = bench.snapshot("parts");
    CHECK(bench.ingest("parts", {""}, replacing).status().code == Code::kBadText);
    CHECK(bench.ingest("parts", {"a\xff"}, replacing).status().code == Code::kBadText);
    CHECK(bench.store().list().value().size() == 2);  // "whole" and "parts": nothing was begun
    CHECK(bench.ingest_stopped("parts", {other}, replacing, chunk));
    check_same(bench.snapshot("parts"), before);
    CHECK(bench.store().list().value().size() == (chunk == 0 ? 2 : 3));
    CHECK(bench.ingest("parts", {other}, options).status().code == Code::kExists);  // refused without --replace
    must_ingest(bench, other, replacing, chunk == 0 ? Outcome::kReplaced : Outcome::kResumed);
    check_same(bench.snapshot("parts"), whole);
    CHECK(bench.store().list().value().size() == 2);
  }
}

TEST_CASE("replace: an unfinished replacement of other text or settings is dropped, the old context is not",
          "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  options.checkpoint_seconds = 0;
  const IngestOptions replacing = with(options, IngestOptions::OnExisting::kReplace);
  const std::string first = made_text(111, 400), second = made_text(112, 600), third = made_text(113, 600);
  must_ingest(bench, first, options, Outcome::kIngested);
  const Snapshot before = bench.snapshot("parts");

  CHECK(bench.ingest_stopped("parts", {second}, replacing, 2));
  IngestOptions wider = replacing;
  wider.cache_tokens = 96;
  CHECK(bench.ingest_stopped("parts", {second}, wider, 2));
  CHECK(bench.store().list().value()[1].cache_tokens == 96);
  CHECK(bench.ingest_stopped("parts", {second}, replacing, 2));
  // By the time a stream shows to be other text, it has been read: it must come again.
  CHECK(bench.ingest("parts", {third}, replacing).status().code == Code::kExists);
  check_same(bench.snapshot("parts"), before);
  must_ingest(bench, third, replacing, Outcome::kReplaced);
  check_same(bench.snapshot("parts"), ingested(bench, {third}, options));
}

TEST_CASE("replace: what was begun is begun anew where it turns out to be damaged, and only there", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("h2o");
  options.checkpoint_seconds = 0;
  const IngestOptions replacing = with(options, IngestOptions::OnExisting::kReplace);
  const std::string first = made_text(131, 400), second = made_text(132, 600);
  // A checkpoint that the store finds sound but the model cannot use.
  const auto damage = [&](Which which) {
    auto writer = bench.store().impl().contexts->open_writer("parts", which).value();
    const int64_t n_tokens = writer->meta().n_tokens;
    const std::byte bytes[8] = {};
    const NamedBytes part{"nonsense", bytes};
    REQUIRE(writer->save_checkpoint(n_tokens, {&part, 1}, {&n_tokens, 1}).ok());
  };
  CHECK(bench.ingest_stopped("parts", {second}, options, 2));
  damage(Which::kCurrent);
  CHECK(bench.ingest_file("parts", second, options).status().code == Code::kCorrupt);
  REQUIRE(bench.ingest_file("parts", second, replacing).value().outcome == Outcome::kReplaced);

  must_ingest(bench, first, replacing, Outcome::kReplaced);
  CHECK(bench.ingest_stopped("parts", {second}, replacing, 2));
  damage(Which::kReplacement);
  const auto r = bench.ingest_file("parts", second, replacing);
  REQUIRE(r.status().message == "");
  CHECK(r.value().outcome == Outcome::kReplaced);
  check_same(bench.snapshot("parts"), ingested(bench, {second}, options));
}

TEST_CASE("sizes left open fit the window that the model was trained on", "[runtime]") {
  IngestBench bench;
  const int64_t window = bench.engine().model().trained_window_tokens;
  REQUIRE(window == 1024);  // so that 4,096 does not fit
  const std::string text = made_text(121, 300);
  int n = 0;
  const auto sizes_of = [&](const char* policy, int64_t chunk, int64_t cache) {
    IngestOptions options;
    options.policy = policy, options.chunk_tokens = chunk, options.cache_tokens = cache;
    const auto done = bench.ingest("open " + std::to_string(n++), {text}, options);
    REQUIRE(done.ok());
    return std::pair(done.value().context.chunk_tokens, done.value().context.cache_tokens);
  };
  const auto [chunk, cache] = sizes_of("h2o", 0, 0);
  CHECK((chunk == cache && chunk + cache <= window && chunk + cache > window - 130));
  CHECK(sizes_of("recent", 128, 0) == std::pair(int64_t{128}, int64_t{896}));
  CHECK(sizes_of("recent", 0, 768).first == 256);
  CHECK(sizes_of("h2o", 0, 8192).first == 64);  // the chosen cache is kept, and the chunk is the least there is
  CHECK(sizes_of("none", 0, 0).first == 768);   // after the overlap of 256
  CHECK(sizes_of("none", 64, 0).first == 64);
  CHECK(bench.store().find("open 5").value().settings_json.find("\"overlap_tokens\":64,") != std::string::npos);
  IngestOptions longer;
  longer.policy = "none", longer.chunk_tokens = 64, longer.chosen = {"overlap_tokens"};
  CHECK(longer.validate().message == "overlap tokens (--overlap-tokens) is 256; expected 0 to 64");
  CHECK(sizes_of("h2o", 2048, 2048) == std::pair(int64_t{2048}, int64_t{2048}));
}

TEST_CASE("what passes the model's window is warned of, with sizes that fit", "[runtime]") {
  IngestBench bench;
  std::vector<std::string> warnings;
  bench.engine().impl().log = [&](LogLevel level, const std::string& line) {
    if (level == LogLevel::kWarning) warnings.push_back(line);
  };
  const auto warned = [&](const char* policy, int64_t chunk, int64_t cache) {
    warnings.clear();
    IngestOptions options;
    options.policy = policy, options.chunk_tokens = chunk, options.cache_tokens = cache;
    REQUIRE(bench.ingest(policy + std::to_string(chunk), {made_text(122, 300)}, options).ok());
    return warnings;
  };
  const auto h2o = warned("h2o", 600, 600), none = warned("none", 2048, 0), fits = warned("none", 767, 0);
  REQUIRE((h2o.size() == 1 && none.size() == 2 && fits.size() == 1));
  CHECK(h2o[0].find("chunks of 600 tokens over a cache of 600 take 1200 positions") == 0);
  CHECK(h2o[0].find("; --chunk-tokens 511 --cache-tokens 511 fits") != std::string::npos);
  CHECK(warned("h2o", 511, 511).empty());
  // Without a cache it is the overlap that counts, and what questions are asked after, for which no size helps.
  CHECK(none[0].find("chunks of 2048 tokens after an overlap of 256 take 2304 positions") == 0);
  CHECK(none[0].find("; --chunk-tokens 767 --overlap-tokens 256 fits") != std::string::npos);
  CHECK((none[1] == fits[0] && fits[0].find("asked after the text's last 4096 tokens") != std::string::npos));
}

TEST_CASE("replace: an unfinished first ingest of the same text is gone on with", "[runtime]") {
  IngestBench bench;
  IngestOptions options = IngestBench::options("none");
  options.checkpoint_seconds = 0;
  const IngestOptions replacing = with(options, IngestOptions::OnExisting::kReplace);
  const std::string text = made_text(121, 600);
  CHECK(bench.ingest_stopped("parts", {text}, replacing, 3));
  must_ingest(bench, text, replacing, Outcome::kResumed);
  check_same(bench.snapshot("parts"), ingested(bench, {text}, options));
}

TEST_CASE("append: a context that another changes, removes or makes while the text is read is left alone",
          "[runtime]") {
  // A stream that appends to the context itself before it gives its text.
  struct Meddler : std::stringbuf {
    std::function<void()> meddle;
    int_type underflow() override {
      if (meddle) std::exchange(meddle, nullptr)();
      return std::stringbuf::underflow();
    }
    std::streamsize xsgetn(char* to, std::streamsize n) override {
      if (meddle) std::exchange(meddle, nullptr)();
      return std::stringbuf::xsgetn(to, n);
    }
  };
  IngestBench bench, other;
  const IngestOptions options = IngestBench::options("h2o");
  const std::string base = made_text(61, 300), first = made_text(62, 200), second = made_text(63, 250);
  must_ingest(bench, base, options, Outcome::kIngested);
  Meddler text;
  text.str(second);
  text.meddle = [&] { REQUIRE(other.ingest_into(bench.store(), "parts", first, appending(options)).ok()); };
  std::istream in(&text);
  const auto r = reform::ingest(bench.engine(), bench.store(), "parts", {{"late", &in}}, appending(options));
  CHECK(r.status().code == Code::kBusy);
  CHECK(bench.store().find("parts").value().source_bytes == int64_t(base.size() + first.size()));

  for (const bool is_made : {false, true}) {  // removed, then made
    text.str(second), in.clear();
    text.meddle = [&] {
      REQUIRE(
          (is_made ? other.ingest_into(bench.store(), "parts", first, options).status() : bench.store().remove("parts"))
              .ok());
    };
    const auto late = reform::ingest(bench.engine(), bench.store(), "parts", {{"late", &in}}, appending(options));
    CHECK(late.status().code == Code::kBusy);
    CHECK(late.status().message.find("run this again") != std::string::npos);
  }
}
