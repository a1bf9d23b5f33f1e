// Gather by late interaction: whole passages, ranked over all contexts, in one round or two.
#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <utility>

#include "base/try.h"
#include "runtime/gather/best_passages.h"
#include "runtime/gather/late_score.h"
#include "runtime/gather/leads.h"
#include "runtime/gather/neighbours.h"
#include "runtime/gather/passage_scorer.h"
#include "runtime/gather/passage_spans.h"
#include "runtime/gather/question_parts.h"
#include "runtime/gather/rarity.h"
#include "runtime/gather/repeats.h"
#include "runtime/gather/sentences.h"
#include "runtime/jobs/ask_method.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr int64_t kIdsAtOnce = 64 * 1024;
constexpr int64_t kLeastSentenceTokens = 6;
// A second round looks for the names and numbers that the sentences add to the question: with 1, it found the second
// hop within 1,024 tokens for 28 questions of 40, with 2 for 35, on facts of our own among 74,000 tokens.
constexpr double kSecondRoundWords = 2;

// What one round looks for.
struct RoundQuery {
  std::vector<int32_t> ids;
  std::vector<std::span<const std::byte>> rows;  // for each context
  std::vector<std::vector<double>> weights;      // of the ids, for each part (question_parts.h)
  double words_factor = 1;                       // of the weight that the words have in the maps
};

struct Sentence {
  double fit = 0;
  int32_t context = 0;  // and its passage there
  int64_t begin_token = 0;
  std::vector<int32_t> ids;
  std::vector<std::byte> rows;
};

struct RoundResult {
  std::vector<std::vector<ScoredPassage>> rankings;  // for each part, best first
  std::vector<Sentence> best;                        // for the next round, if there is one
};

// The passages that a part of the question has found so far.
struct RankedPart {
  explicit RankedPart(int64_t budget_tokens)
      : best(budget_tokens), neighbours([this](ScoredPassage passage) { best.add(std::move(passage)); }) {}
  BestPassages best;
  Neighbours neighbours;
};

// Shortens a list to the first that fill n_tokens.
void keep_first(std::vector<ScoredPassage>& passages, int64_t n_tokens) {
  size_t n = 0;
  for (int64_t sum = 0; n < passages.size() && sum < n_tokens; ++n) sum += passages[n].n_tokens();
  passages.resize(n);
}

class LateSelect {
 public:
  LateSelect(Ask& ask, const TokenTable& table) : ask_(ask), table_(table) {}

  Result<Selection> run(const Query& query);

 private:
  Result<Rarity> count_words(std::span<const int32_t> ids);
  Result<RoundResult> run_round(const RoundQuery& query, bool is_last);
  Status scan(size_t context, Scorer& scorer, const RoundQuery& query, const PassageScorer::OnPassage& on_passage);
  Result<std::vector<Sentence>> find_best_sentences(const RoundQuery& query, Scorer& scorer, const Leads& leads);
  Result<RoundResult> second_round(const Query& question, const std::vector<Sentence>& sentences);
  Status leave_out_repeats(const Sentence& sentence, std::vector<ScoredPassage>& ranking);
  std::vector<std::string> texts_of(std::span<const int32_t> ids) const;
  double confidence(const ScoredPassage& best) const;
  const ScoreMaps& maps(int32_t context) const { return ask_.contexts[size_t(context)].settings.maps; }
  int64_t budget() const { return ask_.options.gather_tokens; }

  Ask& ask_;
  const TokenTable& table_;
};

Result<Rarity> LateSelect::count_words(std::span<const int32_t> ids) {
  Rarity rarity(table_, ids);
  for (OpenContext& context : ask_.contexts) {
    for (int64_t begin = 0, n = context.n_tokens(); begin < n; begin += kIdsAtOnce) {
      TRY_ASSIGN(const Tokens tokens, context.data->read_tokens(begin, std::min(n, begin + kIdsAtOnce)));
      TRY(check_ids(context, ask_.engine, tokens.ids));  // the first reading of all that is used below
      rarity.add(tokens.ids);
      ask_.engine.turns.pause();
    }
    rarity.end_context();
  }
  return rarity;
}

Status LateSelect::scan(size_t context, Scorer& scorer, const RoundQuery& query,
                        const PassageScorer::OnPassage& on_passage) {
  ContextData& data = *ask_.contexts[context].data;
  TRY(scorer.set_question(query.rows[context]));
  PassageScorer passages(scorer, table_, query.ids, on_passage);
  TRY(data.scan(kEmbeddingRows, [&](TokenRange range, std::span<const std::byte> rows) -> Status {
    ask_.engine.turns.pause();
    if (ask_.cancel != nullptr && ask_.cancel->cancelled()) return {Code::kCancelled, "stopped"};
    TRY_ASSIGN(const Tokens tokens, data.read_tokens(range.begin, range.end));
    return passages.add(tokens.ids, rows);
  }));
  return passages.end();
}

Result<RoundResult> LateSelect::run_round(const RoundQuery& query, bool is_last) {
  const EmbeddingLayout layout{int64_t(ask_.contexts[0].settings.heads.size()), ask_.contexts[0].settings.head_dim};
  const auto n_query = int64_t(query.ids.size());
  TRY_ASSIGN(auto scorer, ask_.engine.make_session<Scorer>(
                              Scorer::limits(layout, n_query),
                              [&](const Site& site) { return make_late_scorer(site, layout, n_query); }, ask_.cancel));
  RoundResult result;
  Leads leads;
  std::deque<RankedPart> ranked;
  for (size_t part = 0; part < query.weights.size(); ++part) ranked.emplace_back(budget());
  for (size_t c = 0; c < ask_.contexts.size(); ++c) {
    ScoreMaps of_round = maps(int32_t(c));
    of_round.lexical.weight *= query.words_factor;
    std::vector<LateScore> scores;
    for (const std::vector<double>& weights : query.weights) scores.emplace_back(of_round, weights);
    TRY(scan(c, *scorer, query, [&](const PassageScorer::Passage& p) {
      for (size_t part = 0; part < scores.size(); ++part) {
        ScoredPassage passage{int32_t(c), p.begin_token, p.end_token, 0,
                              scores[part].parts(p.end_token - p.begin_token, p.cosines, p.shares)};
        passage.score = std::accumulate(passage.parts.begin(), passage.parts.end(), 0.0);
        if (std::isnan(passage.score)) continue;  // a scale in an imported row; NaN has no place in a ranking
        if (!is_last) leads.add(passage, part, p.rows);
        ranked[part].neighbours.add(std::move(passage));
      }
    }));
    for (RankedPart& part : ranked) part.neighbours.end_context();
  }
  for (RankedPart& part : ranked) result.rankings.push_back(part.best.take());
  TRY_ASSIGN(result.best, find_best_sentences(query, *scorer, leads));
  return result;
}

// The sentences of the leads that fit the question best, best first. What else stands in a passage may speak of
// anything.
Result<std::vector<Sentence>> LateSelect::find_best_sentences(const RoundQuery& query, Scorer& scorer,
                                                              const Leads& leads) {
  std::vector<Sentence> sentences;
  QuestionWords words(table_, query.ids);
  for (const Lead& lead : leads.best_first()) {
    const auto context = size_t(lead.passage.context);
    TRY_ASSIGN(const Tokens tokens,
               ask_.contexts[context].data->read_tokens(lead.passage.begin_token, lead.passage.end_token));
    const std::vector<int32_t> ends = sentence_ends(table_, tokens.ids, kLeastSentenceTokens);
    TRY(scorer.set_question(query.rows[context]));
    TRY_ASSIGN(const auto cosines, scorer.best_cosines(lead.rows, ends));
    const LateScore score(maps(lead.passage.context), query.weights[lead.part]);
    const size_t row_bytes = lead.rows.size() / tokens.ids.size(), per_sentence = cosines.size() / ends.size();
    size_t begin = 0;
    for (size_t s = 0; s < ends.size(); ++s) {
      const auto n = size_t(ends[s]) - begin;
      const auto ids = std::span(tokens.ids).subspan(begin, n);
      const auto rows = std::span(lead.rows).subspan(begin * row_bytes, n * row_bytes);
      const auto parts = score.parts(int64_t(n), cosines.subspan(s * per_sentence, per_sentence), words.shares_in(ids));
      sentences.push_back({std::accumulate(parts.begin(), parts.end() - 1, 0.0),  // without that of the length
                           lead.passage.context,
                           lead.passage.begin_token,
                           {ids.begin(), ids.end()},
                           {rows.begin(), rows.end()}});
      begin += n;
    }
  }
  std::stable_sort(sentences.begin(), sentences.end(), [](const auto& a, const auto& b) { return a.fit > b.fit; });
  sentences.resize(std::min(sentences.size(), kMostSentences));
  return sentences;
}

// Asked with the stored rows of the best sentences, each as a part of its own. Words of the question do not count, so
// that what else stands there is looked for: the second hop of "X took the lantern", "X went to the cellar", "where is
// the lantern?".
Result<RoundResult> LateSelect::second_round(const Query& question, const std::vector<Sentence>& sentences) {
  RoundQuery query;
  std::vector<std::byte> rows;
  for (const Sentence& s : sentences) {
    query.ids.insert(query.ids.end(), s.ids.begin(), s.ids.end());
    rows.insert(rows.end(), s.rows.begin(), s.rows.end());
  }
  query.rows.assign(ask_.contexts.size(), rows);
  query.words_factor = kSecondRoundWords;
  TRY_ASSIGN(const Rarity rarity, count_words(query.ids));
  QuestionWords words(table_, query.ids);
  const std::span<const float> asked = words.shares_in(question.ids);
  std::vector<const Sentence*> asked_with;
  size_t begin = 0;
  for (const Sentence& s : sentences) {
    std::vector<double>& weights = query.weights.emplace_back(query.ids.size());
    for (size_t t = begin; t < begin + s.ids.size(); ++t) weights[t] = asked[t] == 1 ? 0 : rarity.of(t);
    begin += s.ids.size();
    // A sentence that repeats the question, as a FAQ's heading does, leads nowhere.
    const bool leads = std::any_of(weights.begin(), weights.end(), [](double w) { return w != 0; });
    leads ? asked_with.push_back(&s) : query.weights.pop_back();
  }
  if (query.weights.empty()) return RoundResult();
  TRY_ASSIGN(RoundResult found, run_round(query, /*is_last=*/true));
  for (size_t i = 0; i < asked_with.size(); ++i) {
    // The first round's next ones are as good as what lies behind.
    keep_first(found.rankings[i], budget());
    TRY(leave_out_repeats(*asked_with[i], found.rankings[i]));
  }
  return found;
}

// What says the sentence again fits it best of all and adds nothing. The sentence's own passage stays.
Status LateSelect::leave_out_repeats(const Sentence& sentence, std::vector<ScoredPassage>& ranking) {
  const Repeats repeats(table_, sentence.ids);
  std::vector<ScoredPassage> kept;
  for (ScoredPassage& p : ranking) {
    if (p.context != sentence.context || p.begin_token != sentence.begin_token) {
      TRY_ASSIGN(const Tokens tokens, ask_.contexts[size_t(p.context)].data->read_tokens(p.begin_token, p.end_token));
      if (repeats.stand_in(tokens.ids)) continue;
    }
    kept.push_back(std::move(p));
  }
  ranking = std::move(kept);
  return {};
}

std::vector<std::string> LateSelect::texts_of(std::span<const int32_t> ids) const {
  std::vector<std::string> texts;
  for (const int32_t id : ids) texts.push_back(ask_.engine.tokenizer->token_bytes(id, true));
  return texts;
}

double LateSelect::confidence(const ScoredPassage& best) const {
  const ScoreMaps& own = maps(best.context);
  return 1 / (1 + std::exp(-(own.confidence_offset + own.confidence_slope * best.score)));
}

Result<Selection> LateSelect::run(const Query& query) {
  TRY_ASSIGN(const Rarity rarity, count_words(query.ids));
  RoundQuery first{query.ids, {}, {}};
  for (const auto& states : query.states) first.rows.emplace_back(states);
  std::vector<double> weights;
  for (size_t t = 0; t < query.ids.size(); ++t) weights.push_back(rarity.of(t));
  first.weights = question_parts(texts_of(query.ids), weights);
  TRY_ASSIGN(RoundResult found, run_round(first, /*is_last=*/ask_.options.rounds < 2));
  const ScoredPassage* best = nullptr;
  for (const auto& ranking : found.rankings) {
    if (!ranking.empty() && (best == nullptr || ranking.front().score > best->score)) best = &ranking.front();
  }
  const double sure = best == nullptr || !has_letter_or_digit(ask_.question) ? -1 : confidence(*best);
  std::vector<ChosenPassage> chosen;
  if (ask_.options.rounds > 1 && best != nullptr) {
    choose_passages(found.rankings, 1, std::max(std::min(budget(), best->n_tokens()), budget() - budget() / 4), chosen);
    TRY_ASSIGN(RoundResult more, second_round(query, found.best));
    choose_passages(more.rankings, 2, budget(), chosen);
  }
  choose_passages(found.rankings, 1, budget(), chosen);
  std::vector<int64_t> n_tokens;
  for (const OpenContext& context : ask_.contexts) n_tokens.push_back(context.n_tokens());
  const int64_t edge = edge_tokens_per_side(ask_.options.edge_tokens, budget(), int64_t(n_tokens.size()));
  return Selection{make_passage_spans(std::move(chosen), n_tokens, edge), sure};
}

}  // namespace

Result<std::unique_ptr<Scorer>> make_late_scorer(const Site& site, const EmbeddingLayout& layout,
                                                 int64_t n_question_rows) {
  return Scorer::create(site, layout, n_question_rows, block_tokens_for(int32_t(layout.row_bytes())),
                        PassageScorer::kMaxPassages);
}

Result<Selection> select_by_late_interaction(Ask& ask, const Query& query) {
  if (query.states.size() != ask.contexts.size())
    return Status{Code::kInternal, "rows are scored by a query that has states for each context"};
  return LateSelect(ask, ask.engine.known_tokens()).run(query);
}

}  // namespace reform
