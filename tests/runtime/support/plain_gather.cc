#include "tests/runtime/support/plain_gather.h"

#include <utf8cpp/utf8.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>

#include "runtime/gather/token_table.h"
#include "runtime/tokenizer/unicode.h"
#include "tests/runtime/tokenizer/tokenizer_documents.h"

namespace reform::test {
namespace {

using Texts = std::vector<std::string>;  // one for each token

// What a passage scores without its neighbours.
double own_score(const ScoredPassage& p) { return std::accumulate(p.parts.begin(), p.parts.end(), 0.0); }

double cosine(const EmbeddingLayout& layout, std::span<const std::byte> a, int64_t i, std::span<const std::byte> b,
              int64_t t, int64_t head) {
  const auto scale = [&](std::span<const std::byte> rows, int64_t row) {
    float value = 0;
    std::memcpy(&value, layout.scales(rows, row) + head * 4, sizeof value);
    return double(value);
  };
  const auto *const of_a = layout.values(a, i), *const of_b = layout.values(b, t);
  double dot = 0;
  for (int64_t d = head * layout.head_dim; d < (head + 1) * layout.head_dim; ++d)
    dot += double(of_a[d]) * double(of_b[d]);
  return dot * scale(a, i) * scale(b, t);
}

bool is_of_word(const std::string& character) {
  const uint32_t c = decode_utf8(character, 0).code_point;
  const bool spaced = c < 0x0E00 || (c >= 0x1E00 && c < 0x2E80) || (c >= 0xAC00 && c < 0xD7B0);
  return spaced && utf8::is_valid(character) && char_class(c) != CharClass::kSpace &&
         char_class(c) != CharClass::kOther;
}

Texts characters(const std::string& text) {
  Texts all;
  for (size_t pos = 0; pos < text.size(); pos += all.back().size())
    all.push_back(text.substr(pos, decode_utf8(text, pos).n_bytes));
  return all;
}

// A token's letters and digits with what is between them, or all of it.
std::string part_of_word(const std::string& text) {
  Texts all = characters(text);
  while (!all.empty() && !is_of_word(all.back())) all.pop_back();
  while (!all.empty() && !is_of_word(all.front())) all.erase(all.begin());
  return fold(all.empty() ? text : std::accumulate(all.begin(), all.end(), std::string()));
}

// The word that each token is a part of.
Texts plain_words(const Texts& tokens) {
  Texts words;
  size_t begin = 0;
  for (size_t t = 0; t < tokens.size(); ++t) {
    const bool joined = t > 0 && is_of_word(characters(tokens[t - 1]).back()) && is_of_word(characters(tokens[t])[0]);
    if (!joined) begin = t;
    words.push_back((joined ? words.back() : "") + part_of_word(tokens[t]));
    std::fill(words.begin() + ptrdiff_t(begin), words.end(), std::string(words.back()));
  }
  return words;
}

bool contains(const Texts& all, const std::string& one) { return std::ranges::count(all, one) > 0; }

Texts some(const Texts& all, int64_t begin, int64_t end) { return {all.begin() + begin, all.begin() + end}; }

struct Sentence {
  double fit = 0;
  ScoredPassage passage;
  std::vector<int32_t> ids;
  std::vector<std::byte> rows;
};

class PlainGather {
 public:
  PlainGather(const Tokenizer& tokenizer, const EmbeddingLayout& layout, const std::vector<PlainContext>& contexts)
      : tokenizer_(tokenizer), layout_(layout), contexts_(contexts) {
    for (const PlainContext& c : contexts) texts_.push_back(texts(c.ids)), cuts_.push_back(plain_cuts(texts_.back()));
  }

  Texts texts(const std::vector<int32_t>& ids) const {
    Texts all;
    for (const int32_t id : ids) all.push_back(tokenizer_.token_bytes(id, true));
    return all;
  }
  // Another passage says three quarters of the sentence's runs of three words again.
  bool repeats(const Sentence& sentence, const ScoredPassage& p) const {
    if (p.context == sentence.passage.context && p.begin_token == sentence.passage.begin_token) return false;
    const auto runs = [](const Texts& tokens) {
      Texts words;
      for (const std::string& token : tokens) {
        if (!trimmed(token, " \t\r\n", " \t\r\n").empty()) words.push_back(part_of_word(token));
      }
      std::set<std::string> all;
      for (size_t t = 2; t < words.size(); ++t) all.insert(words[t - 2] + words[t - 1] + words[t]);
      return all;
    };
    const std::set<std::string> asked = runs(texts(sentence.ids));
    const std::set<std::string> there = runs(some(texts_[size_t(p.context)], p.begin_token, p.end_token));
    const auto n = std::ranges::count_if(asked, [&](const std::string& run) { return there.contains(run); });
    return !asked.empty() && double(n) >= 0.75 * double(asked.size());
  }
  std::vector<double> rarities(const Texts& query) const { return plain_rarities(texts_, query); }

  // All passages, best first. `query` are its tokens, rows[c] their rows for context c.
  std::vector<ScoredPassage> ranked(const Texts& query, std::vector<double> weights,
                                    const std::vector<std::span<const std::byte>>& rows,
                                    double words_factor = 1) const {
    weights = shares(std::move(weights));
    std::vector<ScoredPassage> all;
    for (size_t c = 0; c < contexts_.size(); ++c) {
      const size_t first = all.size();
      int64_t begin = 0;
      for (const int64_t end : cuts_[c]) {
        all.push_back({int32_t(c), begin, end, 0, parts(c, begin, end, query, weights, rows[c])});
        all.back().parts[size_t(layout_.n_heads)] *= words_factor;
        begin = end;
      }
      for (size_t i = first; i < all.size(); ++i) {
        double better = -INFINITY;
        if (i > first) better = own_score(all[i - 1]);
        if (i + 1 < all.size()) better = std::max(better, own_score(all[i + 1]));
        all[i].score = own_score(all[i]) + 0.4 * (std::isinf(better) ? own_score(all[i]) : better);
      }
    }
    std::ranges::stable_sort(all, std::greater<>(), &ScoredPassage::score);
    return all;
  }

  // The sentences of the eight passages that are best by themselves, best first.
  std::vector<Sentence> best_sentences(const std::vector<std::vector<ScoredPassage>>& rankings, const Texts& question,
                                       const std::vector<std::vector<double>>& weights,
                                       const std::vector<std::span<const std::byte>>& rows) const {
    std::map<std::pair<int32_t, int64_t>, std::pair<ScoredPassage, size_t>> passages;  // with the part they fit best
    for (size_t part = 0; part < rankings.size(); ++part) {
      for (const ScoredPassage& p : rankings[part]) {
        const auto [at, is_new] = passages.insert({{p.context, p.begin_token}, {p, part}});
        if (!is_new && own_score(p) > own_score(at->second.first)) at->second = {p, part};
      }
    }
    std::vector<std::pair<ScoredPassage, size_t>> leads;
    leads.reserve(passages.size());
    for (const auto& [place, lead] : passages) leads.push_back(lead);
    std::ranges::stable_sort(leads, std::greater<>(), [](const auto& lead) { return own_score(lead.first); });
    leads.resize(std::min<size_t>(leads.size(), 8));
    std::vector<Sentence> sentences;
    for (const auto& [p, part] : leads) {
      const PlainContext& there = contexts_[size_t(p.context)];
      int64_t begin = p.begin_token;
      for (const int64_t end :
           plain_sentences(texts({there.ids.begin() + p.begin_token, there.ids.begin() + p.end_token}))) {
        const auto row = [&](int64_t t) { return there.rows.begin() + t * layout_.row_bytes(); };
        const int64_t ends_at = p.begin_token + end;
        const auto sums =
            parts(size_t(p.context), begin, ends_at, question, shares(weights[part]), rows[size_t(p.context)]);
        sentences.push_back({std::accumulate(sums.begin(), sums.end() - 1, 0.0),
                             p,
                             {there.ids.begin() + begin, there.ids.begin() + ends_at},
                             {row(begin), row(ends_at)}});
        begin = ends_at;
      }
    }
    std::ranges::stable_sort(sentences, std::greater<>(), &Sentence::fit);
    return sentences;
  }

 private:
  static std::vector<double> shares(std::vector<double> weights) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& w : weights) w = sum > 0 ? w / sum : 1 / double(weights.size());
    return weights;
  }

  std::vector<double> parts(size_t c, int64_t begin, int64_t end, const Texts& query,
                            const std::vector<double>& weights, std::span<const std::byte> rows) const {
    std::vector<double> sums(size_t(layout_.n_heads) + 2);
    const ScoreMaps& maps = contexts_[c].maps;
    const std::vector<float> of_words = plain_shares(query, some(texts_[c], begin, end));
    for (size_t t = 0; t < query.size(); ++t) {
      if (weights[t] == 0) continue;  // most of a second round's
      for (int64_t h = 0; h < layout_.n_heads; ++h) {
        double best = -INFINITY;
        for (int64_t i = begin; i < end; ++i)
          best = std::max(best, cosine(layout_, contexts_[c].rows, i, rows, int64_t(t), h));
        sums[size_t(h)] += weights[t] * maps.heads[size_t(h)](best);
      }
      sums[size_t(layout_.n_heads)] += weights[t] * maps.lexical(double(of_words[t]));
    }
    sums.back() = maps.length_weight * std::log(double(end - begin));
    return sums;
  }

  const Tokenizer& tokenizer_;
  const EmbeddingLayout layout_;
  const std::vector<PlainContext>& contexts_;
  std::vector<Texts> texts_;
  std::vector<std::vector<int64_t>> cuts_;
};

// Which part each token of a question is in (question_parts.h).
std::vector<size_t> part_of_each(const Texts& tokens, const std::vector<double>& weights) {
  const auto asks = [&](size_t t) {
    return ends_with_any(trimmed(tokens[t], " \t\r\n", " \t\r\n\"')]"), {"?", "？", "؟"});
  };
  std::vector<size_t> part(tokens.size(), 0);
  for (size_t t = 1; t < tokens.size(); ++t) {
    bool more = false;
    for (size_t u = t; u < tokens.size(); ++u) more = more || asks(u);
    part[t] = part[t - 1] + (more && asks(t - 1) && PlainPlace(tokens, t).sentence_end ? 1 : 0);
  }
  if (part.back() >= 8) return std::vector<size_t>(tokens.size(), 0);
  double least = -1;
  while (true) {
    std::vector<double> sums(part.back() + 1);
    for (size_t t = 0; t < tokens.size(); ++t) sums[part[t]] += weights[t];
    if (least < 0) least = 0.25 * *std::ranges::max_element(sums);  // before any are joined
    const auto light = size_t(std::ranges::find_if(sums, [&](double sum) { return sum < least; }) - sums.begin());
    if (light == sums.size()) return part;
    for (size_t& p : part) p -= p >= std::max<size_t>(light, 1) ? 1 : 0;
  }
}

// In turns: of the next passages that the rankings could take, always that of the ranking with fewest tokens so far.
void choose(const std::vector<std::vector<ScoredPassage>>& rankings, int round, int64_t limit,
            std::vector<ChosenPassage>& chosen) {
  std::vector<int64_t> n_taken(rankings.size());
  while (true) {
    int64_t left = limit;
    for (const ChosenPassage& c : chosen) left -= c.passage.n_tokens();
    const ScoredPassage* next = nullptr;
    size_t turn = 0;
    for (size_t r = 0; r < rankings.size(); ++r) {
      const auto found = std::ranges::find_if(rankings[r], [&](const ScoredPassage& p) {
        return (p.n_tokens() <= left || chosen.empty()) && std::ranges::none_of(chosen, [&](const ChosenPassage& c) {
                 return c.passage.context == p.context && c.passage.begin_token == p.begin_token;
               });
      });
      if (found == rankings[r].end()) continue;
      if (next == nullptr || n_taken[r] < n_taken[turn] || (n_taken[r] == n_taken[turn] && found->score > next->score))
        next = &*found, turn = r;
    }
    if (next == nullptr || left <= 0) return;
    ScoredPassage passage = *next;
    if (passage.n_tokens() > left) passage.end_token = passage.begin_token + left;
    n_taken[turn] += passage.n_tokens();
    chosen.push_back({passage, round});
  }
}

// A tokenizer of a model's kind, whose token i is texts[i] as the file would write it.
std::unique_ptr<Tokenizer> tokenizer_of(const std::string& model, const Texts& texts) {
  GgufWriter w;
  w.add("tokenizer.ggml.model", model);
  w.add("tokenizer.ggml.tokens", texts);
  w.add("tokenizer.ggml.scores", std::vector<float>(texts.size(), 0.0f));
  if (model == "gpt2") w.add("tokenizer.ggml.pre", std::string("qwen2"));
  if (model == "gpt2") w.add("tokenizer.ggml.merges", Texts{});
  return make_tokenizer(w);
}

}  // namespace

std::unique_ptr<Tokenizer> sentencepiece_of(const std::vector<std::string>& texts) {
  Texts written;
  for (const std::string& text : texts) {
    std::string& all = written.emplace_back();
    for (const char c : text) c == ' ' ? all += "▁" : all += c;
  }
  return tokenizer_of("llama", written);
}

std::unique_ptr<Tokenizer> byte_level_of(const std::vector<std::string>& texts) {
  Texts written;
  for (const std::string& text : texts) {
    std::string& all = written.emplace_back();
    for (const char c : text) {
      // GPT-2's table: what cannot be printed is written as the code points from 256 on, in order.
      const auto printable = [](uint32_t b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad); };
      const auto byte = uint32_t(static_cast<unsigned char>(c));
      uint32_t place = 256;
      for (uint32_t b = 0; b < byte; ++b) place += !printable(b);
      utf8::append(char32_t(printable(byte) ? byte : place), all);
    }
  }
  return tokenizer_of("gpt2", written);
}

std::vector<float> plain_shares(const std::vector<std::string>& question, const std::vector<std::string>& text) {
  const Texts asked = plain_words(question), words = plain_words(text);
  Texts parts;
  for (const std::string& token : text) parts.push_back(part_of_word(token));
  std::vector<float> shares;
  for (size_t t = 0; t < question.size(); ++t) {
    const bool has_part = contains(parts, part_of_word(question[t]));
    shares.push_back(contains(words, asked[t]) ? 1.0f : (has_part ? 0.3f : 0.0f));
  }
  return shares;
}

std::vector<double> plain_rarities(const std::vector<std::vector<std::string>>& contexts,
                                   const std::vector<std::string>& question) {
  double n_blocks = 0;
  std::vector<double> n_with(question.size()), rarities;
  const Texts asked = plain_words(question);
  for (const Texts& tokens : contexts) {
    for (size_t begin = 0; begin < tokens.size(); begin += 64, ++n_blocks) {
      const Texts words = plain_words(some(tokens, int64_t(begin), int64_t(std::min(tokens.size(), begin + 64))));
      for (size_t t = 0; t < question.size(); ++t) n_with[t] += contains(words, asked[t]);
    }
  }
  for (const double n : n_with) rarities.push_back(std::log(1 + (n_blocks - n + 0.5) / (n + 0.5)));
  return rarities;
}

// From what each token is: nothing, of an edge, or of a passage.
std::vector<Span> plain_spans(const std::vector<ChosenPassage>& chosen, const std::vector<int64_t>& n_tokens,
                              int64_t edge_tokens) {
  std::vector<Span> spans;
  const ChosenPassage edge;
  for (size_t c = 0; c < n_tokens.size(); ++c) {
    std::vector<const ChosenPassage*> owners(size_t(n_tokens[c]), nullptr);
    for (int64_t t = 0; t < n_tokens[c]; ++t) {
      if (t < edge_tokens || t >= n_tokens[c] - edge_tokens) owners[size_t(t)] = &edge;
    }
    for (const ChosenPassage& p : chosen) {
      if (p.passage.context == int32_t(c))
        std::fill(owners.begin() + p.passage.begin_token, owners.begin() + p.passage.end_token, &p);
    }
    for (int64_t t = 0; t < n_tokens[c]; ++t) {
      const ChosenPassage *const owner = owners[size_t(t)], *const before = t > 0 ? owners[size_t(t - 1)] : nullptr;
      if (owner == nullptr) continue;
      const bool is_edge = owner == &edge, goes_on = before != nullptr && (before == &edge) == is_edge;
      const auto score = float(owner->passage.score);
      if (!goes_on) spans.push_back({int32_t(c), t, t, is_edge, is_edge ? 0 : -INFINITY});
      Span& span = spans.back();
      span.end_token = t + 1;
      if (!is_edge &&
          (span.round == 0 || owner->round < span.round || (owner->round == span.round && score > span.score)))
        span.score = score, span.round = owner->round, span.parts = owner->passage.parts,
        span.best_begin_token = owner->passage.begin_token, span.best_end_token = owner->passage.end_token;
    }
  }
  return spans;
}

PlainSelection plain_gather(const Tokenizer& tokenizer, const EmbeddingLayout& layout,
                            const std::vector<PlainContext>& contexts, const std::vector<int32_t>& question_ids,
                            const GatherOptions& options) {
  const PlainGather gather(tokenizer, layout, contexts);
  const int64_t budget = options.gather_tokens;
  PlainSelection out;
  const auto note_gaps = [&](const std::vector<ScoredPassage>& all) {
    for (size_t i = 1; i < all.size(); ++i)
      out.smallest_gap = std::min(out.smallest_gap, all[i - 1].score - all[i].score);
  };
  const Texts question = gather.texts(question_ids);
  const std::vector<double> weights = gather.rarities(question);
  std::vector<std::span<const std::byte>> rows;
  rows.reserve(contexts.size());
  for (const PlainContext& c : contexts) rows.emplace_back(c.question);
  const std::vector<size_t> part = part_of_each(question, weights);
  std::vector<std::vector<ScoredPassage>> rankings;
  std::vector<std::vector<double>> part_weights;
  for (size_t p = 0; p <= part.back(); ++p) {
    std::vector<double> own = weights;
    for (size_t t = 0; t < own.size(); ++t) own[t] *= part[t] == p ? 1 : 0.1;
    rankings.push_back(gather.ranked(question, own, rows));
    part_weights.push_back(own);
    note_gaps(rankings.back());
  }
  const ScoredPassage& front =
      std::ranges::max_element(rankings, {}, [](const auto& r) { return r[0].score; })->front();
  std::vector<ChosenPassage> chosen;
  if (options.rounds > 1 && budget > 0) {
    choose(rankings, 1, std::max(budget - budget / 4, std::min(budget, front.n_tokens())), chosen);
    const std::vector<Sentence> sentences = gather.best_sentences(rankings, question, part_weights, rows);
    for (size_t i = 1; i < sentences.size(); ++i)
      out.smallest_gap = std::min(out.smallest_gap, sentences[i - 1].fit - sentences[i].fit);
    const auto n_asked = std::min<size_t>(sentences.size(), 4);
    std::vector<int32_t> ids;
    std::vector<std::byte> asked_rows;
    for (size_t i = 0; i < n_asked; ++i) {
      ids.insert(ids.end(), sentences[i].ids.begin(), sentences[i].ids.end());
      asked_rows.insert(asked_rows.end(), sentences[i].rows.begin(), sentences[i].rows.end());
    }
    const Texts query = gather.texts(ids);
    const std::vector<double> rarities = gather.rarities(query);
    const std::vector<float> in_question = plain_shares(query, question);
    std::vector<std::vector<ScoredPassage>> second;
    for (size_t i = 0, begin = 0; i < n_asked; begin += sentences[i].ids.size(), ++i) {
      std::vector<double> others(query.size());
      for (size_t t = begin; t < begin + sentences[i].ids.size(); ++t)
        others[t] = in_question[t] == 1 ? 0 : rarities[t];
      if (std::ranges::count(others, 0.0) == std::ssize(others)) continue;  // it says nothing but the question's words
      second.push_back(
          gather.ranked(query, others, std::vector(contexts.size(), std::span<const std::byte>(asked_rows)), 2));
      note_gaps(second.back());
      size_t n = 0;
      for (int64_t before = 0; n < second.back().size() && before < budget; ++n) before += second.back()[n].n_tokens();
      second.back().resize(n);
      std::erase_if(second.back(), [&](const ScoredPassage& p) { return gather.repeats(sentences[i], p); });
    }
    choose(second, 2, budget, chosen);
  }
  choose(rankings, 1, budget, chosen);
  if (budget > 0) {
    const ScoreMaps& maps = contexts[size_t(front.context)].maps;
    out.confidence = 1 / (1 + std::exp(-maps.confidence_offset - maps.confidence_slope * front.score));
  }
  std::vector<int64_t> n_tokens;
  n_tokens.reserve(contexts.size());
  for (const PlainContext& c : contexts) n_tokens.push_back(int64_t(c.ids.size()));
  out.spans =
      plain_spans(chosen, n_tokens, edge_tokens_per_side(options.edge_tokens, budget, int64_t(n_tokens.size())));
  return out;
}

}  // namespace reform::test
