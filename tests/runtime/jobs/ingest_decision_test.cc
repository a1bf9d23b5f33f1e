// What an ingest decides, for everything that can be stored under its name and everything that can be asked.
#include "runtime/jobs/ingest_decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <vector>

using namespace reform;

namespace {

using Action = IngestDecision::Action;
using OnExisting = IngestOptions::OnExisting;

// A context as a word: how complete it is, then how its text compares: not compared yet (?), the same (=), a prefix of
// what was given (<), or other (!). `first` and `append` are unfinished; `-settings` was begun with
// other settings.
constexpr const char* kCurrent[] = {
    "none",   "busy",   "damaged", "complete?", "complete=", "complete<", "complete!", "complete-no-start", "first?",
    "first=", "first<", "first!",  "append?",   "append=",   "append<",   "append!",   "first-settings"};
constexpr const char* kReplacement[] = {"none",   "busy",   "damaged", "begun?",
                                        "begun=", "begun<", "begun!",  "begun-settings"};
constexpr const char* kOnExisting[] = {"refuse", "append", "replace"};
constexpr const char* kSource[] = {"file", "stream"};

// Each field lists words of which one must match. * matches every word; a leading ~ matches every word but those
// listed.
struct Row {
  const char *on_existing, *current, *replacement, *source;
  const char* decision;
};

constexpr Row kRows[] = {
    {"*", "none", "*", "*", "begin current"},
    {"*", "busy", "*", "*", "refuse: current busy"},
    {"refuse append", "damaged", "*", "*", "refuse: current damaged"},

    {"refuse append", "first? first-settings", "*", "*", "compare current"},
    {"refuse append", "first= first<", "*", "*", "resume current"},
    {"refuse append", "first!", "*", "*",
     "refuse: context 'c' was begun with other text and is not finished; feed it the same text, or begin anew with "
     "--replace"},
    {"refuse", "append? append= append< append!", "*", "*",
     "refuse: an append to context 'c' is not finished: --append goes on with the same text and puts other text in its "
     "place, --replace begins the whole context anew, reform rm removes it"},
    {"append", "append?", "*", "*", "compare current"},
    {"append", "append= append<", "*", "*", "resume current"},
    {"append", "append!", "*", "file", "restart the append of current"},
    {"append", "append!", "*", "stream",
     "cut back, refuse: an unfinished append to context 'c' had begun with other text and is dropped now; the standard "
     "input that was compared with it must be fed again"},

    {"append", "complete? complete= complete< complete!", "*", "*", "append to current"},
    {"append", "complete-no-start", "*", "*", "refuse: context 'c' does not say where an append starts"},
    {"refuse", "complete? complete-no-start", "*", "*", "compare current"},
    {"refuse", "complete=", "*", "*", "nothing"},
    {"refuse", "complete< complete!", "none", "*",
     "refuse: context 'c' exists with other text; --append adds to it, --replace begins anew, or choose another name"},
    {"refuse", "complete< complete!", "~ none", "*",
     "refuse: context 'c' exists with other text; --append adds to it, --replace goes on with its unfinished "
     "replacement, or choose another name"},

    {"replace", "~ none busy", "busy", "*", "refuse: replacement busy"},
    {"replace", "~ none busy", "damaged begun-settings", "*", "drop, begin replacement"},
    {"replace", "~ none busy", "begun?", "*", "compare replacement"},
    {"replace", "~ none busy", "begun= begun<", "*", "resume replacement"},
    {"replace", "~ none busy", "begun!", "file", "drop, begin replacement"},
    {"replace", "~ none busy", "begun!", "stream",
     "drop, refuse: an unfinished context 'c' had begun with other text and is dropped now; the standard input that "
     "was compared with it must be fed again"},
    {"replace", "damaged first-settings", "none", "*", "begin replacement"},
    {"replace", "complete? complete= complete< complete! complete-no-start", "none", "*", "begin replacement"},
    {"replace", "append? append= append< append!", "none", "*", "begin replacement"},
    {"replace", "first?", "none", "*", "compare current"},
    {"replace", "first= first<", "none", "*", "resume current"},
    {"replace", "first!", "none", "file", "begin replacement"},
    {"replace", "first!", "none", "stream",
     "cut back, refuse: an unfinished context 'c' had begun with other text and is dropped now; the standard input "
     "that "
     "was compared with it must be fed again"},
};

bool is_among(const std::string& word, const std::string& words) {
  std::istringstream in(words);
  bool found = false;
  for (std::string other; in >> other;) found = found || other == word;
  return words == "*" || found != words.starts_with("~");
}

std::optional<StoredFacts> stored(const std::string& word, const std::string& which) {
  if (word == "none") return {};
  StoredFacts facts;
  if (word == "busy") facts.usable = {Code::kBusy, which + " busy"};
  if (word == "damaged") facts.usable = {Code::kCorrupt, which + " damaged"};
  facts.complete = word.starts_with("complete");
  facts.appended = word.starts_with("append");
  facts.can_append = facts.complete && word != "complete-no-start";
  facts.as_asked = !word.ends_with("-settings");
  const char last = word.back();
  facts.text = last == '='   ? TextMatch::kSame
               : last == '<' ? TextMatch::kPrefix
               : last == '!' ? TextMatch::kOther
                             : TextMatch::kUnknown;
  return facts;
}

std::string in_words(const IngestDecision& d) {
  const char* which = d.which == Which::kCurrent ? "current" : "replacement";
  const std::string action = d.action == Action::kCompare         ? fmt::format("compare {}", which)
                             : d.action == Action::kBegin         ? fmt::format("begin {}", which)
                             : d.action == Action::kResume        ? fmt::format("resume {}", which)
                             : d.action == Action::kAppend        ? fmt::format("append to {}", which)
                             : d.action == Action::kRestartAppend ? fmt::format("restart the append of {}", which)
                             : d.action == Action::kNothing       ? "nothing"
                                                                  : "refuse: " + d.refusal.message;
  return (d.drop_replacement ? "drop, " : d.cut_back ? "cut back, " : "") + action;
}

}  // namespace

TEST_CASE("ingest: what is stored and what is asked decide alone, in every combination", "[runtime][ingest]") {
  std::vector<int> n_matches(std::size(kRows));
  for (size_t how = 0; how < std::size(kOnExisting); ++how) {
    for (const std::string current : kCurrent) {
      for (const std::string replacement : kReplacement) {
        for (const std::string source : kSource) {
          CAPTURE(kOnExisting[how], current, replacement, source);
          const IngestDecision decision = decide_ingest({.current = stored(current, "current"),
                                                         .replacement = stored(replacement, "replacement"),
                                                         .on_existing = OnExisting(how),
                                                         .reads_stream = source == "stream"},
                                                        "c");
          std::string wanted;
          for (size_t i = 0; i < std::size(kRows); ++i) {
            const Row& row = kRows[i];
            if (!is_among(kOnExisting[how], row.on_existing) || !is_among(current, row.current) ||
                !is_among(replacement, row.replacement) || !is_among(source, row.source))
              continue;
            CHECK(wanted == "");  // otherwise two rows contradict each other or one is useless
            wanted = row.decision;
            ++n_matches[i];
          }
          CHECK(in_words(decision) == wanted);
          CHECK((decision.action == Action::kRefuse) == !decision.refusal.ok());
        }
      }
    }
  }
  CHECK(std::count(n_matches.begin(), n_matches.end(), 0) == 0);
}

TEST_CASE("ingest: refusals carry the code that the command exits with", "[runtime][ingest]") {
  const auto code = [](const char* current, const char* replacement, OnExisting on_existing, bool stream = false) {
    return decide_ingest({stored(current, ""), stored(replacement, ""), on_existing, stream}, "c").refusal.code;
  };
  CHECK(code("busy", "none", OnExisting::kReplace) == Code::kBusy);
  CHECK(code("complete=", "busy", OnExisting::kReplace) == Code::kBusy);
  CHECK(code("damaged", "none", OnExisting::kAppend) == Code::kCorrupt);
  CHECK(code("complete-no-start", "none", OnExisting::kAppend) == Code::kCorrupt);
  CHECK(code("complete!", "none", OnExisting::kRefuse) == Code::kExists);
  CHECK(code("first!", "none", OnExisting::kRefuse) == Code::kExists);
  CHECK(code("append=", "none", OnExisting::kRefuse) == Code::kExists);
  CHECK(code("append!", "none", OnExisting::kAppend, true) == Code::kExists);
  CHECK(code("complete=", "begun!", OnExisting::kReplace, true) == Code::kExists);
}

TEST_CASE("ingest: a resume starts at the newest checkpoint on a chunk's border that the end of the text left alone",
          "[runtime][ingest]") {
  struct Start {
    std::vector<int64_t> checkpoints;
    int64_t n_tokens = 0, part_begin = 0;
    std::optional<int64_t> append_begin;
    int64_t start = 0;
  };
  const Start starts[] = {
      {{}, 0, 0, {}, 0},
      {{}, 192, 0, {}, 0},              // nothing was saved
      {{64, 128}, 192, 0, {}, 128},     // the newest
      {{128, 64}, 192, 0, {}, 128},     // in any order
      {{64, 192}, 128, 0, {}, 64},      // not one beyond what is committed
      {{64, 150}, 150, 0, {}, 64},      // not one inside a chunk
      {{64, 128}, 192, 0, 64, 64},      // 128 follows tokens that more text could have changed
      {{64, 128}, 192, 0, 128, 128},    //
      {{64, 130}, 150, 128, {}, 128},   // an append never starts before itself
      {{128, 192}, 200, 128, {}, 192},  //
      {{128, 192}, 200, 128, 128, 128},
  };
  for (const Start& s : starts) {
    CAPTURE(s.checkpoints, s.n_tokens, s.part_begin);
    ProgressState state;
    state.part.begin_tokens = s.part_begin;
    state.can_append = s.append_begin.has_value();
    state.append.begin_tokens = s.append_begin.value_or(0);
    CHECK(resume_start(s.checkpoints, s.n_tokens, 64, state) == s.start);
  }
}
