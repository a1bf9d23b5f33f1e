// Synthetic texts for the head search: plain sentences and, among them, either a pattern to find ("the magic number of
// Altona is 4815162") or two facts to join ("Mary took the football … Mary went to the garden").
#include <fmt/format.h>

#include <array>
#include <random>

#include "base/try.h"
#include "runtime/compress/head_search.h"

namespace reform {
namespace {

constexpr std::array kWho = {"The baker",      "An old sailor", "Her neighbour", "The young clerk",
                             "A tired doctor", "The gardener",  "My uncle",      "The teacher",
                             "A quiet monk",   "The postman",   "The innkeeper", "Their cousin"};
constexpr std::array kDid = {"walked along the river",     "repaired the wooden gate",   "talked about the harvest",
                             "wrote a long letter",        "counted the empty barrels",  "waited for the evening train",
                             "sold two baskets of apples", "remembered the cold winter", "painted the door green",
                             "listened to the rain",       "carried stones up the hill", "closed the shop early"};
constexpr std::array kWhen = {"before breakfast",   "after the storm", "on market day",        "late in the autumn",
                              "without a word",     "as every year",   "while the bells rang", "to nobody's surprise",
                              "until it grew dark", "with great care"};
constexpr std::array kPlaces = {"Altona", "Brenwick", "Caldera", "Dunmore", "Estwell", "Farrow", "Glenholt", "Harlen"};
constexpr std::array kPeople = {"Mary", "John", "Sandra", "Daniel", "Julie", "Bill", "Fred", "Carol"};
constexpr std::array kThings = {"football", "milk", "apple", "lantern", "violin", "map", "ladder", "kettle"};
constexpr std::array kRooms = {"garden", "kitchen", "hallway", "office", "bedroom", "cellar", "attic", "bathroom"};

class Writer {
 public:
  explicit Writer(uint64_t seed) : rng_(seed * 7919 + 17) {}

  // The same numbers with every library, unlike the standard distributions.
  size_t below(size_t n) { return size_t(rng_() % n); }
  template <class Array>
  const char* pick(const Array& words) {
    return words[below(words.size())];
  }
  std::string hay() { return fmt::format(" {} {} {}.", pick(kWho), pick(kDid), pick(kWhen)); }

 private:
  std::mt19937_64 rng_;
};

struct Plan {
  std::vector<std::string> gold;         // sentences the answer needs, in text order
  std::vector<std::string> distractors;  // similar, but about other names
  std::string question;
};

Plan pattern_plan(Writer& w) {
  const size_t place = w.below(kPlaces.size());
  const auto fact = [&](const char* name) {
    return fmt::format(" The magic number of {} is {}.", name, 1000000 + w.below(9000000));
  };
  Plan plan{{fact(kPlaces[place])}, {}, fmt::format("What is the magic number of {}?", kPlaces[place])};
  for (size_t i = 1; i <= 2; ++i) plan.distractors.push_back(fact(kPlaces[(place + i) % kPlaces.size()]));
  return plan;
}

Plan multi_hop_plan(Writer& w) {
  const size_t person = w.below(kPeople.size()), thing = w.below(kThings.size()), room = w.below(kRooms.size());
  const auto took = [&](size_t i) {
    return fmt::format(" {} took the {}.", kPeople[(person + i) % 8], kThings[(thing + i) % 8]);
  };
  const auto went = [&](size_t i) {
    return fmt::format(" {} went to the {}.", kPeople[(person + i) % 8], kRooms[(room + i) % 8]);
  };
  return {{took(0), went(0)}, {took(1), went(1)}, fmt::format("Where is the {}?", kThings[thing])};
}

}  // namespace

Result<SearchSample> make_search_sample(const Tokenizer& tokenizer, SampleKind kind, int64_t n_text_tokens,
                                        uint64_t seed) {
  Writer w(seed * 2 + uint64_t(kind));
  const Plan plan = kind == SampleKind::kPattern ? pattern_plan(w) : multi_hop_plan(w);
  std::vector<std::pair<std::string, bool>> facts;
  for (const std::string& s : plan.gold) facts.emplace_back(s, true);
  for (const std::string& s : plan.distractors) facts.emplace_back(s, false);

  for (size_t i = facts.size(); i > 1; --i) std::swap(facts[i - 1], facts[w.below(i)]);

  SearchSample sample;
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) sample.ids.push_back(tokenizer.bos());
  const auto add = [&](const std::string& text, bool gold) -> Status {
    TRY_ASSIGN(const std::vector<int32_t> ids, tokenizer.encode_plain(text));
    sample.ids.insert(sample.ids.end(), ids.begin(), ids.end());
    sample.gold.resize(sample.ids.size(), gold);
    return {};
  };
  // Facts stand at random places of the second half, each in its own stretch, so that all have text before them.
  const int64_t stretch = n_text_tokens / 2 / int64_t(facts.size());
  for (size_t i = 0; i < facts.size(); ++i) {
    const int64_t at = n_text_tokens / 2 + int64_t(i) * stretch + int64_t(w.below(size_t(stretch / 2)));
    while (int64_t(sample.ids.size()) < at) TRY(add(w.hay(), false));
    TRY(add(facts[i].first, facts[i].second));
  }
  while (int64_t(sample.ids.size()) < n_text_tokens - 20) TRY(add(w.hay(), false));
  sample.ids.resize(std::min(sample.ids.size(), size_t(n_text_tokens)));
  sample.gold.resize(sample.ids.size());
  sample.n_text = int64_t(sample.ids.size());
  TRY_ASSIGN(const std::vector<int32_t> question, tokenizer.encode_plain("\n" + plan.question));
  const size_t n_question = std::min(question.size(), size_t(kMaxQuestionTokens));
  sample.ids.insert(sample.ids.end(), question.begin(), question.begin() + ptrdiff_t(n_question));
  return sample;
}

}  // namespace reform
