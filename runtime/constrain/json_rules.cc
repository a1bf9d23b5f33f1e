#include "runtime/constrain/json_rules.h"

#include <array>

namespace reform {
namespace {

constexpr int64_t kMostDigits = 16, kMostIndent = 32;

}  // namespace

JsonRules::JsonRules(Grammar& grammar) : grammar_(grammar) {
  Grammar& g = grammar_;
  const auto indent = [&](const char* by, int64_t most) {
    return g.text("\n") + Grammar::Sequence{g.repeated(g.byte_in(bytes(by)), 0, most)};
  };
  space = g.add_rule({{}, g.text(" "), indent(" ", kMostIndent), indent("\t", kMostIndent / 4)});
  blank_ = g.add_rule({{}, g.text(" ")});
  add_strings();
  add_numbers();
  boolean = g.add_rule({g.text("true"), g.text("false")});
  null = g.add_rule({g.text("null")});
  add_values();
}

// Whole UTF-8 (RFC 3629) and no half of a surrogate pair, so that every reader takes it.
void JsonRules::add_strings() {
  Grammar& g = grammar_;
  const auto in = [&](std::string_view ranges) { return g.byte_in(bytes("", ranges)); };
  const Grammar::Element tail = in("\x80\xbf"), hex = g.byte_in(bytes("", "09afAF"));
  const Grammar::Sequence escape = g.text("\\"), unicode = escape + g.text("u");
  character = g.add_rule({
      {in("\x20\x21\x23\x5b\x5d\x7f")},
      {in("\xc2\xdf"), tail},
      {in("\xe0\xe0"), in("\xa0\xbf"), tail},
      {in("\xe1\xec\xee\xef"), tail, tail},
      {in("\xed\xed"), in("\x80\x9f"), tail},
      {in("\xf0\xf0"), in("\x90\xbf"), tail, tail},
      {in("\xf1\xf3"), tail, tail, tail},
      {in("\xf4\xf4"), in("\x80\x8f"), tail, tail},
      escape + Grammar::Sequence{g.byte_in(bytes("\"\\/bfnrt"))},
      unicode + Grammar::Sequence{g.byte_in(bytes("", "09acefACEF")), hex, hex, hex},
      unicode + Grammar::Sequence{g.byte_in(bytes("dD")), in("07"), hex, hex},
  });
  string = string_of(0, -1);
}

Grammar::Element JsonRules::string_of(int64_t least_characters, int64_t most_characters) const {
  Grammar& g = grammar_;
  return g.add_rule(
      {g.text("\"") + Grammar::Sequence{g.repeated(character, least_characters, most_characters)} + g.text("\"")});
}

void JsonRules::add_numbers() {
  Grammar& g = grammar_;
  const Grammar::Element digit = g.byte_in(bytes("", "09"));
  const Grammar::Element minus = g.add_rule({{}, g.text("-")});
  const Grammar::Element digits = g.repeated(digit, 1, kMostDigits);
  const Grammar::Element whole =
      g.add_rule({g.text("0"), {g.byte_in(bytes("", "19")), g.repeated(digit, 0, kMostDigits - 1)}});
  const Grammar::Element fraction = g.add_rule({{}, g.text(".") + Grammar::Sequence{digits}});
  const Grammar::Element sign = g.add_rule({{}, {g.byte_in(bytes("+-"))}});
  const Grammar::Element exponent = g.add_rule({{}, {g.byte_in(bytes("eE")), sign, g.repeated(digit, 1, 2)}});
  integer = g.add_rule({{minus, whole}});
  number = g.add_rule({{minus, whole, fraction, exponent}});
}

void JsonRules::add_values() {
  Grammar& g = grammar_;
  value = g.add_rule();
  const Grammar::Element member = g.add_rule({Grammar::Sequence{string} + colon() + Grammar::Sequence{value}});
  const auto list_of = [&](const char* brackets, Grammar::Element item) {
    const Grammar::Element more = g.repeated(g.add_rule({comma() + Grammar::Sequence{item}}), 0, -1);
    return g.add_rule({empty(brackets), opening(brackets[0]) + Grammar::Sequence{item, more} + closing(brackets[1])});
  };
  object = list_of("{}", member);
  array = list_of("[]", value);
  g.rule(value) = {{object}, {array}, {string}, {number}, {boolean}, {null}};
}

Grammar::Sequence JsonRules::opening(char bracket) const {
  return grammar_.text({&bracket, 1}) + Grammar::Sequence{space};
}

Grammar::Sequence JsonRules::closing(char bracket) const {
  return Grammar::Sequence{space} + grammar_.text({&bracket, 1});
}

Grammar::Sequence JsonRules::empty(const char* brackets) const {
  return grammar_.text({brackets, 1}) + Grammar::Sequence{space} + grammar_.text({brackets + 1, 1});
}

Grammar::Sequence JsonRules::comma() const { return grammar_.text(",") + Grammar::Sequence{space}; }
Grammar::Sequence JsonRules::colon() const { return grammar_.text(":") + Grammar::Sequence{blank_}; }

}  // namespace reform
