// The tests' only comparator. A NaN on either side or a differing infinity is always a mismatch. `rel` scales with
// |want|, never with |got|.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <span>
#include <sstream>
#include <string>

namespace reform::test {

struct Tolerance {
  double abs = 0.0;
  double rel = 0.0;
};

// Converts to true if everything matches. Otherwise the message says how many elements differ, and which is the worst.
struct Comparison {
  bool ok = true;
  std::string message;
  explicit operator bool() const { return ok; }
};

inline std::ostream& operator<<(std::ostream& out, const Comparison& c) { return out << (c.ok ? "match" : c.message); }

namespace detail {

// allowed(i) is element i's absolute tolerance, rel * |want| included.
template <class Got, class Want, class Allowed>
Comparison compare_each(std::span<const Got> got, std::span<const Want> want, Allowed allowed) {
  std::ostringstream text;
  if (got.size() != want.size()) {
    text << "got " << got.size() << " elements, want " << want.size();
    return {false, text.str()};
  }
  int64_t n_bad = 0;
  size_t worst = 0;
  double worst_excess = -1.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double g = double(got[i]), w = double(want[i]);
    const double difference = std::abs(g - w);
    // Negated so that a NaN in the difference or the tolerance counts as a mismatch.
    if (g == w || (std::isfinite(w) && difference <= allowed(i))) continue;
    ++n_bad;
    const double excess = std::isfinite(difference) ? difference - allowed(i) : HUGE_VAL;
    if (excess > worst_excess || worst_excess < 0) worst = i, worst_excess = excess;
  }
  if (n_bad == 0) return {};
  text.precision(9);
  text << n_bad << " of " << want.size() << " differ; worst at [" << worst << "]: got " << got[worst] << ", want "
       << want[worst] << ", allowed difference " << allowed(worst);
  return {false, text.str()};
}

}  // namespace detail

inline Comparison compare(std::span<const float> got, std::span<const float> want, Tolerance tol) {
  return detail::compare_each(got, want, [&](size_t i) { return tol.abs + tol.rel * std::abs(double(want[i])); });
}
inline Comparison compare(std::span<const float> got, std::span<const double> want, Tolerance tol) {
  return detail::compare_each(got, want, [&](size_t i) { return tol.abs + tol.rel * std::abs(want[i]); });
}
// With a tolerance for each element; allowed[want.size()].
inline Comparison compare(std::span<const float> got, std::span<const double> want, std::span<const double> allowed) {
  if (allowed.size() != want.size()) return {false, "the tolerances are not as many as the wanted values"};
  return detail::compare_each(got, want, [&](size_t i) { return allowed[i]; });
}

// Compares bit for bit, so 0 differs from -0 and one NaN from another.
inline Comparison same_bits(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size()) return detail::compare_each(got, want, [](size_t) { return 0.0; });
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(float)) == 0) continue;
    std::ostringstream text;
    text.precision(9);
    text << "first differing bits at [" << i << "]: got " << got[i] << ", want " << want[i];
    return {false, text.str()};
  }
  return {};
}

// Cosine of the angle between two vectors; NaN if one is zero or not finite, or if their sizes differ.
inline double cosine(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return NAN;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double(a[i]) * double(b[i]), aa += double(a[i]) * double(a[i]), bb += double(b[i]) * double(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace reform::test
