#include "runtime/gather/token_table.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

namespace {

// Each token's flags as letters, in the order of the accessors.
std::string flags_of(const TokenTable& table, int32_t id) {
  std::string flags;
  const auto add = [&](bool has, const char* letter) { flags += has ? letter : ""; };
  add(table.has_newline(id), "n");
  add(table.has_blank_line(id), "N");
  add(table.is_blank(id), "b");
  add(table.begins_with_space(id), "s");
  add(table.begins_small(id), "l");
  add(table.begins_capital(id), "u");
  add(table.has_stop(id), ".");
  add(table.has_wide_stop(id), "o");
  return flags;
}

}  // namespace

TEST_CASE("token table: one word for each case and with spaces around it, and no two words for one",
          "[runtime][gather]") {
  // A row has the forms of one word.
  const std::vector<std::vector<std::string>> words = {
      {"word", " word", "Word", "WORD", " wOrD\n", "\t\r\nword \r\n", "word.", "_word", "\"Word)"},
      {"words"},
      {"wo.rd", "(Wo.rd"},
      {"müller", " Müller", "MÜLLER"},
      {"muller"},
      {"þorn", "ÞORN"},
      {"×"},  // between the capitals of Latin-1, but none
      {"÷"},
      {"ß"},
      {"москва", " Москва", "МОСКВА"},
      {"ёлка", "Ёлка", " ЁЛКА"},
      {"елка"},
      {"ωμέγα", "Ωμέγα"},
      {"水", " 水"},
      {".", " .", ".\n"},
      {"\xc3", " \xc3"},  // half a character
      {"\xe6\xb0"},
      {"\xbc", "\xbc\n"},
      {"w\xc3", "W\xc3"},
      {" ", "\n", "  \n\n", "\t"},
      {"no-break\u00a0", "No-break\u00a0"}};
  std::vector<std::string> texts;
  for (const auto& forms : words) texts.insert(texts.end(), forms.begin(), forms.end());
  for (const bool sentencepiece : {false, true}) {
    const auto tokenizer = sentencepiece ? sentencepiece_of(texts) : byte_level_of(texts);
    const TokenTable table(*tokenizer);
    REQUIRE(table.n_vocab() == int64_t(texts.size()));
    int32_t first = 0;
    for (const auto& forms : words) {
      for (int32_t i = 0; i < int32_t(forms.size()); ++i) {
        CAPTURE(sentencepiece, forms[size_t(i)]);
        REQUIRE(tokenizer->token_bytes(first + i, true) == forms[size_t(i)]);
        CHECK(table.word(first + i) == table.word(first));
        const auto same = [&](int32_t id) { return table.word(id) == table.word(first); };
        int64_t n_same = 0;
        for (int32_t id = 0; id < int32_t(texts.size()); ++id) n_same += same(id) ? 1 : 0;
        CHECK(n_same == int64_t(forms.size()));  // no other word's
      }
      first += int32_t(forms.size());
    }
  }
}

TEST_CASE("token table: what a line, a sentence and the next sentence look like", "[runtime][gather]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"word", "l"},    {" word", "s"},  {"Word", "u"},        {"über", "l"},
      {"Über", "u"},    {"пар", "l"},    {"1a", ""},           {"\n", "nbs"},
      {"\n\n", "nNbs"}, {"\r\n", "nbs"}, {"\r\n\r\n", "nNbs"}, {"\n  \n", "nNbs"},
      {"  ", "bs"},     {"\t", "bs"},    {"\nthe", "ns"},      {"end\n", "nl"},
      {".", "."},       {".\n", "n."},   {".\n\n", "nN."},     {" end.", "s."},
      {"!", "."},       {"?", "."},      {"!\"", "."},         {"?')", "."},
      {".]\n", "n."},   {"a.b", "l"},    {"1.", "."},          {",", ""},
      {"\"", ""},       {"。", "o"},     {"！", "o"},          {"？\n", "no"},
      {"好。", "o"},    {"。x", ""},     {"؟", "o"},           {"۔", "o"},
      {"\xc3", ""},     {"\xbc", ""},    {"\xe3\x80", ""},     {"水", ""},
      {": ", ""}};
  std::vector<std::string> texts;
  texts.reserve(rows.size());
  for (const auto& row : rows) texts.push_back(row.first);
  for (const bool sentencepiece : {false, true}) {
    const TokenTable table(*(sentencepiece ? sentencepiece_of(texts) : byte_level_of(texts)));
    for (size_t i = 0; i < rows.size(); ++i) {
      CAPTURE(sentencepiece, rows[i].first);
      CHECK(flags_of(table, int32_t(i)) == rows[i].second);
    }
  }
}

TEST_CASE("token table: where a word may go on", "[runtime][gather]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"word", "<>"}, {" word", ">"}, {"word ", "<"}, {"_a", ">"},  {"a_", "<"},  {"a_b", "<>"}, {"7", "<>"},
      {"-", ""},      {" ", ""},      {"'s", ">"},    {"ß", "<>"},  {"й", "<>"},  {"한", "<>"},  {"水", ""},
      {"カ", ""},     {"ก", ""},      {"\xc3", ""},   {"مر", "<>"}, {"水a", ">"}, {"\n", ""},    {"é.", "<"}};
  std::vector<std::string> texts;
  for (const auto& row : rows) texts.push_back(row.first);
  for (const bool sentencepiece : {false, true}) {
    const TokenTable table(*(sentencepiece ? sentencepiece_of(texts) : byte_level_of(texts)));
    for (int32_t id = 0; id < int32_t(rows.size()); ++id) {
      CAPTURE(sentencepiece, rows[size_t(id)].first);
      const std::string joins =
          std::string(table.joins_before(id) ? "<" : "") + std::string(table.joins_after(id) ? ">" : "");
      CHECK(joins == rows[size_t(id)].second);
    }
  }
}

TEST_CASE("token table: its memory is what is reserved for it", "[runtime][gather]") {
  CHECK(TokenTable::bytes(1000) >= 1000 * (16 + 2));
}
