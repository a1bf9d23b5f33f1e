#include "runtime/recompute/empty_text.h"

#include <reform/text.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace reform {
namespace {

struct Reason {
  std::string_view name;
  const char* sentence;
};

constexpr Reason kReasons[] = {
    {"end",
     "the answer's first token ended the model's turn; other words, another model or a temperature above 0 may help"},
    {"blank", "the model wrote white space, special tokens or more reasoning only"},
    {"stop", "it began with a stop text (--stop)"},
    {"length", "the limit on new tokens came before any readable text"},
    {"cancelled", "it was stopped before any readable text came"},
    {"unanswered", "the model finds the answer in no chunk of the text"},
};

}  // namespace

std::string why_empty(const GenerateResult& generated) {
  if (!is_blank(generated.text)) return "";
  if (generated.finish_reason != "stop") return generated.finish_reason;
  if (generated.is_cut) return "stop";
  return generated.timings.predicted_n - generated.reasoning_tokens <= 1 ? "end" : "blank";
}

const char* explain_empty(std::string_view empty_because) {
  const auto* const known = std::ranges::find(kReasons, empty_because, &Reason::name);
  return known == std::end(kReasons) ? "" : known->sentence;
}

}  // namespace reform
