#include "runtime/gather/leads.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace reform;

namespace {

void add(Leads& leads, int64_t begin, double score, size_t part = 0) {
  const std::vector<std::byte> rows(4, std::byte(begin));
  leads.add({0, begin, begin + 1, score, {}}, part, rows);
}

std::vector<int64_t> begins(const Leads& leads) {
  std::vector<int64_t> all;
  for (const Lead& lead : leads.best_first()) {
    all.push_back(lead.passage.begin_token);
    CHECK(lead.rows == std::vector<std::byte>(4, std::byte(all.back())));
  }
  return all;
}

}  // namespace

TEST_CASE("leads: the eight best stay, of equal ones the earlier", "[runtime][gather]") {
  Leads leads;
  for (int i = 0; i < 6; ++i) add(leads, i, i < 2 ? 0 : i < 4 ? 1 : 2);
  CHECK(begins(leads) == std::vector<int64_t>{4, 5, 2, 3, 0, 1});
  for (int64_t i = 6; i < 12; ++i) add(leads, i, 1);
  CHECK(begins(leads) == std::vector<int64_t>{4, 5, 2, 3, 6, 7, 8, 9});
}

TEST_CASE("leads: a passage stands there once, for the part that it fits best", "[runtime][gather]") {
  Leads leads;
  add(leads, 1, 1), add(leads, 2, 3), add(leads, 2, 2, 1), add(leads, 1, 4, 1);
  CHECK(begins(leads) == std::vector<int64_t>{1, 2});
  CHECK(leads.best_first()[0].part == 1);
  CHECK(leads.best_first()[1].part == 0);
}
