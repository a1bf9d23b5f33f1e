#include "runtime/model/weights/plan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "base/arena.h"

using namespace reform;

namespace {

constexpr int64_t kUnit = Arena::kAlignment;

std::vector<int64_t> without(std::vector<int64_t> units, const std::vector<int64_t>& removed) {
  std::erase_if(units, [&](int64_t u) { return std::find(removed.begin(), removed.end(), u) != removed.end(); });
  return units;
}

// A model of layers, an output and a token embedding, and jobs on an arena that its weights are arranged in.
struct Machine {
  explicit Machine(uint64_t seed) : random(seed), arena(pick(40, 4000) * kUnit) {
    cap = arena.largest_gap_bytes();
    n_layers = pick(1, 13);
    for (int64_t i = 0; i < n_layers + 2; ++i) unit_bytes.push_back(pick(1, 1 + cap / kUnit / 4) * kUnit);
    row_units = pick(1, 4);
  }
  int64_t pick(int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); }

  WeightDemand demand(int64_t job_bytes) {
    WeightDemand d;
    d.unit_bytes = unit_bytes;
    const bool decodes = pick(0, 1) == 1, tied = pick(0, 2) == 0;
    d.wanted = spread(decodes ? n_layers : pick(1, n_layers));
    for (const int64_t i : d.wanted) d.slot_bytes = std::max(d.slot_bytes, unit_bytes[size_t(i)]);
    if (decodes) d.wanted.push_back(n_layers);
    if (!decodes || !tied) d.wanted.push_back(tied ? n_layers : n_layers + 1);
    d.embedding = d.wanted.back();
    d.embedding_is_output = decodes && tied;
    d.embedding_scratch_bytes = std::min(row_units * kUnit, unit_bytes[size_t(*d.embedding)]);
    d.room_bytes = cap - job_bytes;
    d.place = WeightPlace(pick(0, 3));
    return d;
  }

  std::mt19937_64 random;
  Arena arena;
  int64_t cap = 0, n_layers = 0, row_units = 0;
  std::vector<int64_t> unit_bytes;
};

void check_layout(const WeightDemand& d, const std::vector<int64_t>& stack, const WeightLayout& l) {
  std::vector<int64_t> resident(stack.begin(), stack.begin() + l.n_kept);
  int64_t bytes = 0;
  for (const int64_t u : l.added) {
    REQUIRE(std::find(resident.begin(), resident.end(), u) == resident.end());
    REQUIRE(std::find(d.wanted.begin(), d.wanted.end(), u) != d.wanted.end());
    resident.push_back(u);
  }
  for (const int64_t u : resident) bytes += d.unit_bytes[size_t(u)];
  std::vector<int64_t> missing = without(d.wanted, resident);
  const bool embedding_missing = std::find(missing.begin(), missing.end(), *d.embedding) != missing.end();
  REQUIRE(l.host_embedding == embedding_missing);
  if (embedding_missing) bytes += d.embedding_scratch_bytes;
  if (!d.embedding_is_output) missing = without(missing, {*d.embedding});
  REQUIRE((missing.empty() || l.streams));
  if (l.streams) bytes += 2 * d.slot_bytes;
  REQUIRE(bytes == l.total_bytes);
  REQUIRE(bytes <= d.room_bytes);
  if (d.place == WeightPlace::kResident) REQUIRE(missing.empty());
  if (d.place >= WeightPlace::kHost) REQUIRE(resident.empty());
}

}  // namespace

TEST_CASE("weights: what the plan says fits can always be allocated, job after job", "[runtime][weights]") {
  int n_streamed = 0, n_resident = 0, n_refused = 0, n_kept = 0, n_host_embedding = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Machine m(seed);
    std::vector<int64_t> stack;
    std::map<int64_t, int64_t> places;  // offsets of resident units
    for (int job = 0; job < 12; ++job) {
      std::vector<int64_t> buffers;
      int64_t job_bytes = 0;
      for (int64_t n = m.pick(0, 6); n > 0; --n) {
        buffers.push_back(m.pick(1, m.cap / 6));
        job_bytes += (buffers.back() + kUnit - 1) / kUnit * kUnit;
      }
      const WeightDemand d = m.demand(job_bytes);
      const auto layout = lay_out(d, stack);
      REQUIRE(layout.has_value() == (least_weight_bytes(d) <= d.room_bytes));
      if (!layout) {
        ++n_refused;
        continue;
      }
      check_layout(d, stack, *layout);
      n_kept += layout->n_kept > 0, n_host_embedding += layout->host_embedding;
      ++(layout->streams ? n_streamed : n_resident);
      for (; int64_t(stack.size()) > layout->n_kept; stack.pop_back()) m.arena.give_back(places[stack.back()]);
      std::vector<int64_t> taken;
      const auto take = [&](int64_t bytes) {
        const auto offset = m.arena.take(bytes);
        REQUIRE(offset.has_value());
        return *offset;
      };
      for (const int64_t u : layout->added) {
        places[u] = take(m.unit_bytes[size_t(u)]);
        stack.push_back(u);
      }
      if (layout->host_embedding) taken.push_back(take(d.embedding_scratch_bytes));
      for (int i = 0; layout->streams && i < 2; ++i) taken.push_back(take(d.slot_bytes));
      for (const int64_t bytes : buffers) taken.push_back(take(bytes));
      std::shuffle(taken.begin(), taken.end(), m.random);
      for (const int64_t offset : taken) m.arena.give_back(offset);
    }
  }
  CHECK(std::min({n_streamed, n_resident, n_refused, n_kept, n_host_embedding}) > 100);
}

TEST_CASE("weights: a layout keeps what it can, and drops what a job does not want first", "[runtime][weights]") {
  WeightDemand d;
  d.unit_bytes = {10, 10, 10, 10, 40, 30};  // four layers, output, embedding
  d.wanted = {0, 2, 1, 5};                  // three layers and the embedding: compress
  d.embedding = 5, d.embedding_scratch_bytes = 5, d.slot_bytes = 10;
  const auto at = [&](int64_t room, std::vector<int64_t> stack) {
    d.room_bytes = room;
    return lay_out(d, stack);
  };
  CHECK(at(60, {})->added == std::vector<int64_t>{0, 2, 1, 5});
  CHECK(at(59, {})->added == std::vector<int64_t>{0, 2, 1});  // the embedding is the first to be left out
  CHECK(at(59, {})->host_embedding);
  CHECK_FALSE(at(35, {})->streams);
  CHECK(at(34, {})->streams);  // two slots of 10 and a scratch of 5 leave 9, too little for a unit
  CHECK(at(35, {})->added.size() == 3);
  CHECK(at(34, {})->added.empty());
  CHECK(at(25, {}).has_value());
  CHECK_FALSE(at(24, {}).has_value());
  // The output on top is dropped; what lies below it stays.
  const auto cut = at(70, {0, 1, 2, 3, 4});
  CHECK(cut->n_kept == 4);
  CHECK(cut->added == std::vector<int64_t>{5});
  // An unwanted layer lies below a wanted one. It is dropped if its room is needed.
  CHECK(at(45, {3, 0, 1, 2})->n_kept == 4);
  CHECK(at(44, {3, 0, 1, 2})->n_kept == 0);
  CHECK(at(44, {3, 0, 1, 2})->added == std::vector<int64_t>{0, 2, 1});
}

TEST_CASE("weights: any beginning of the order of layers is spread evenly", "[runtime][weights]") {
  for (int64_t n = 1; n < 70; ++n) {
    std::vector<int64_t> order = spread(n);
    for (int64_t k = 1; k <= n; ++k) {
      std::vector<int64_t> first(order.begin(), order.begin() + k);
      std::sort(first.begin(), first.end());
      REQUIRE(std::unique(first.begin(), first.end()) == first.end());
      REQUIRE((first.front() >= 0 && first.back() < n));
      // Between two neighbours lie at most four times as many others as if they were spaced evenly.
      for (size_t i = 1; i < first.size(); ++i) REQUIRE((first[i] - first[i - 1]) * k <= 4 * n);
    }
  }
}
