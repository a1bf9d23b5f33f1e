#include "runtime/heads/search_text.h"

#include <algorithm>
#include <numeric>

#include "base/try.h"
#include "runtime/gather/passage_cutter.h"
#include "runtime/gather/rarity.h"
#include "runtime/heads/samples.h"

namespace reform {
namespace {

void cut(const TokenTable& table, int64_t section_tokens, SearchText& text) {
  PassageCutter cutter(table);
  text.passage_ends = cutter.add(text.ids);
  const auto n_tokens = int64_t(text.ids.size());
  if (text.passage_ends.empty() || text.passage_ends.back() < n_tokens) text.passage_ends.push_back(n_tokens);
  PassageRange section;
  for (int64_t p = 0; p < text.n_passages(); ++p) {
    if (text.passage_ends[size_t(p)] - text.begin_token(section.begin) > section_tokens) {
      section.end = p;
      text.sections.push_back(section);
      section.begin = p;
    }
  }
  text.sections.push_back({section.begin, text.n_passages()});
}

// Where bytes of the joined text lie among the tokens.
class TokenPlaces {
 public:
  explicit TokenPlaces(const std::vector<uint32_t>& byte_lengths) : ends_(byte_lengths.begin(), byte_lengths.end()) {
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
  }
  // The token that holds the byte.
  int64_t token(int64_t byte) const { return std::upper_bound(ends_.begin(), ends_.end(), byte) - ends_.begin(); }

 private:
  std::vector<int64_t> ends_;
};

PassageRange passages_with(const SearchText& text, const TokenPlaces& places, const ByteRange& bytes) {
  const auto passage = [&](int64_t byte) {
    const auto& ends = text.passage_ends;
    return std::upper_bound(ends.begin(), ends.end(), places.token(byte)) - ends.begin();
  };
  return {passage(bytes.begin), passage(bytes.end - 1) + 1};
}

Status add_question(const Tokenizer& tokenizer, const TokenPlaces& places, const JoinedSamples::Question& asked,
                    SearchText& text) {
  SampleQuestion question;
  TRY_ASSIGN(question.ids, tokenizer.encode_plain(asked.text));
  question.ids.resize(std::min(question.ids.size(), size_t(kLongestSampleQuestion)));
  if (question.ids.empty()) return {Code::kBadModel, "the model's vocabulary has no tokens for a plain question"};
  question.sample = asked.sample;
  for (const ByteRange& evidence : asked.evidence) {
    const PassageRange passages = passages_with(text, places, evidence);
    for (int64_t p = passages.begin; p < passages.end; ++p) question.gold.push_back(int32_t(p));
  }
  std::sort(question.gold.begin(), question.gold.end());
  question.gold.erase(std::unique(question.gold.begin(), question.gold.end()), question.gold.end());
  text.questions.push_back(std::move(question));
  return {};
}

void weigh(const TokenTable& table, std::span<const int32_t> ids, SampleQuestion& question) {
  Rarity rarity(table, question.ids);
  rarity.add(ids);
  rarity.end_context();
  for (size_t t = 0; t < question.ids.size(); ++t) question.weights.push_back(rarity.of(t));
  const double sum = std::accumulate(question.weights.begin(), question.weights.end(), 0.0);
  for (double& weight : question.weights) weight = sum > 0 ? weight / sum : 1 / double(question.ids.size());
}

}  // namespace

Result<SearchText> make_search_text(const Tokenizer& tokenizer, const TokenTable& table, int64_t n_samples,
                                    int64_t section_tokens) {
  const JoinedSamples joined = join_samples(n_samples);
  SearchText text;
  TokenBatch tokens;
  const auto stream = tokenizer.stream(/*lossy=*/false);
  TRY(stream->feed(joined.text, tokens));
  TRY(stream->finish(tokens));
  text.ids = std::move(tokens.ids);
  if (text.ids.empty()) return Status{Code::kBadModel, "the model's vocabulary has no tokens for plain text"};
  cut(table, section_tokens, text);
  const TokenPlaces places(tokens.byte_lengths);
  for (const ByteRange& sample : joined.samples) text.samples.push_back(passages_with(text, places, sample));
  for (const auto& question : joined.questions) TRY(add_question(tokenizer, places, question, text));
  for (SampleQuestion& question : text.questions) weigh(table, text.ids, question);
  return text;
}

std::vector<float> word_shares(const SearchText& text, const TokenTable& table, const SampleQuestion& question) {
  QuestionWords words(table, question.ids);
  std::vector<float> shares;
  for (int64_t p = 0; p < text.n_passages(); ++p) {
    const std::span<const float> of_tokens = words.shares_in(text.tokens_of({p, p + 1}));
    shares.push_back(float(std::inner_product(of_tokens.begin(), of_tokens.end(), question.weights.begin(), 0.0)));
  }
  return shares;
}

}  // namespace reform
