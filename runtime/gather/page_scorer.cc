#include "runtime/gather/page_scorer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kBatchPages = 128;  // that are compared at once

// Layers with a window see the text's end only. If all have one, all count.
std::vector<int64_t> counted_layers(const ModelShape& shape) {
  std::vector<int64_t> layers;
  const bool none = std::ranges::all_of(shape.is_local, [](auto local) { return bool(local); });
  for (int64_t layer = 0; layer < shape.n_layers; ++layer) {
    if (none || !shape.is_local[size_t(layer)]) layers.push_back(layer);
  }
  return layers;
}

}  // namespace

int64_t PageQuestion::bytes(const ModelShape& shape, int64_t n_tokens) {
  return shape.n_layers * n_tokens * shape.n_heads * shape.head_dim * int64_t(sizeof(float));
}

PageQuestion::PageQuestion(const ModelShape& shape, int64_t n_tokens)
    : n_kv_heads_(shape.n_kv_heads),
      group_(shape.n_heads / shape.n_kv_heads),
      head_dim_(shape.head_dim),
      n_tokens_(n_tokens),
      queries_(size_t(bytes(shape, n_tokens)) / sizeof(float)) {}

void PageQuestion::add(int64_t layer, MatView<const float> q) {
  CHECK(q.rows == n_tokens_);
  for (int64_t g = 0; g < n_kv_heads_; ++g) {
    for (int64_t t = 0; t < n_tokens_; ++t) {
      const int64_t row = ((layer * n_kv_heads_ + g) * n_tokens_ + t) * group_;
      std::copy_n(q.row(t) + g * group_ * head_dim_, group_ * head_dim_, queries_.data() + row * head_dim_);
    }
  }
}

OpLimits PageScorer::limits(const ModelShape& shape, int64_t n_question_tokens) {
  return {.max_tokens = n_question_tokens * (shape.n_heads / shape.n_kv_heads),
          .max_cols = shape.head_dim,
          .max_kv_len = 1,
          .n_heads = 1,
          .n_kv_heads = 1,
          .head_dim = shape.head_dim};
}

PageScorer::PageScorer(const Site& site, const ModelShape& shape, int64_t n_question_tokens)
    : ops_(site.ops),
      layout_(PageLayout::of(shape)),
      n_heads_(shape.n_heads),
      n_rows_(n_question_tokens * (shape.n_heads / shape.n_kv_heads)),
      scale_(shape.attention_scale),
      layers_(counted_layers(shape)) {}

Result<std::unique_ptr<PageScorer>> PageScorer::create(const Site& site, const ModelShape& shape,
                                                       int64_t n_question_tokens) {
  CHECK(site.device.is_host());
  std::unique_ptr<PageScorer> s(new PageScorer(site, shape, n_question_tokens));
  const int64_t n_heads = shape.n_layers * shape.n_kv_heads;
  const auto make = [&](auto& buffer, int64_t n) -> Status {
    using Made = std::remove_reference_t<decltype(buffer)>;
    TRY_ASSIGN(buffer, Made::create(site.host, MemoryCategory::kIndex, n));
    return {};
  };
  TRY(make(s->keys_, n_heads * kBatchPages * shape.head_dim));
  TRY(make(s->key_, n_heads * shape.head_dim));
  TRY(make(s->logits_, s->n_rows_ * kBatchPages));
  TRY(make(s->largest_, n_heads * s->n_rows_));
  TRY(make(s->sums_, n_heads * s->n_rows_));
  return s;
}

// Calls on_batch whenever keys_ is full, and for the rest.
Status PageScorer::read(const Scan& scan, const std::function<void()>& on_batch) {
  const int64_t d = layout_.head_dim, n_heads = layout_.n_layers * layout_.n_kv_heads;
  batch_.clear();
  TRY(scan([&](TokenRange page, std::span<const std::byte> key) -> Status {
    if (Status read = read_page_key(key, key_.span()); !read.ok())
      return {read.code, fmt::format("page key {} {}", page.begin, read.message)};
    const auto slot = int64_t(batch_.size());
    for (int64_t h = 0; h < n_heads; ++h)
      std::copy_n(key_.data() + h * d, d, keys_.data() + (h * kBatchPages + slot) * d);
    batch_.push_back(page);
    if (slot + 1 == kBatchPages) on_batch(), batch_.clear();
    return {};
  }));
  if (!batch_.empty()) on_batch();
  return {};
}

// logits_ [n_rows, pages of the batch] of a KV head.
void PageScorer::compare(int64_t layer, int64_t kv_head) {
  const int64_t head = layer * layout_.n_kv_heads + kv_head, n_pages = int64_t(batch_.size());
  const Weight keys{.type = QuantType::kF32,
                    .rows = n_pages,
                    .cols = layout_.head_dim,
                    .data = keys_.data() + head * kBatchPages * layout_.head_dim};
  ops_->matmul(keys, queries_.row_range(head * n_rows_, (head + 1) * n_rows_), {}, /*accumulate=*/false,
               {logits_.data(), n_rows_, n_pages, kBatchPages});
}

void PageScorer::weigh() {
  for (const int64_t layer : layers_) {
    for (int64_t g = 0; g < layout_.n_kv_heads; ++g) {
      compare(layer, g);
      for (int64_t r = 0; r < n_rows_; ++r) {
        const std::span<const float> logits(logits_.data() + r * kBatchPages, batch_.size());
        const int64_t at = (layer * layout_.n_kv_heads + g) * n_rows_ + r;
        double& largest = largest_.data()[at];
        double& sum = sums_.data()[at];
        const double before = largest;
        largest = std::max(largest, double(scale_) * double(*std::ranges::max_element(logits)));
        sum *= std::exp(before - largest);
        for (const float logit : logits) sum += std::exp(double(scale_) * double(logit) - largest);
      }
    }
  }
}

void PageScorer::score(const std::function<void(TokenRange, double)>& on_score) {
  std::vector<double> scores(batch_.size());
  for (const int64_t layer : layers_) {
    for (int64_t g = 0; g < layout_.n_kv_heads; ++g) {
      compare(layer, g);
      for (int64_t r = 0; r < n_rows_; ++r) {
        const int64_t at = (layer * layout_.n_kv_heads + g) * n_rows_ + r;
        const double largest = largest_.data()[at], sum = sums_.data()[at];
        const float* const logits = logits_.data() + r * kBatchPages;
        for (size_t p = 0; p < batch_.size(); ++p)
          scores[p] += std::exp(double(scale_) * double(logits[p]) - largest) / sum;
      }
    }
  }
  const double n_means = double(layers_.size()) * double(n_heads_);
  for (size_t p = 0; p < batch_.size(); ++p) on_score(batch_[p], scores[p] / n_means);
}

Status PageScorer::run(std::span<const std::byte> question, const Scan& scan,
                       const std::function<void(TokenRange page, double score)>& on_score) {
  const int64_t n = layout_.n_layers * layout_.n_kv_heads * n_rows_;
  CHECK(int64_t(question.size()) == n * layout_.head_dim * int64_t(sizeof(float)));
  queries_ = {reinterpret_cast<const float*>(question.data()), n, layout_.head_dim};
  std::ranges::fill(largest_.span(), -std::numeric_limits<double>::infinity());
  std::ranges::fill(sums_.span(), 0.0);
  TRY(read(scan, [&] { weigh(); }));
  return read(scan, [&] { score(on_score); });
}

}  // namespace reform
