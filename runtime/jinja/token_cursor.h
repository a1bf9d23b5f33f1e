// The place of a parser in its tokens, and the making of nodes, which limits how deep they nest.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/try.h"
#include "runtime/jinja/ast.h"
#include "runtime/jinja/lexer.h"
#include "runtime/jinja/parser.h"
#include "runtime/jinja/stack_room.h"

namespace reform::jinja {

class TokenCursor {
 public:
  using Kind = Token::Kind;
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& now() const { return tokens_[pos_]; }
  size_t position() const { return pos_; }
  bool was_named_since(size_t position, std::string_view name) const {
    return std::any_of(tokens_.begin() + long(position), tokens_.begin() + long(pos_),
                       [&](const Token& token) { return token.kind == Kind::kName && token.text == name; });
  }
  const Token& ahead(size_t n) const { return tokens_[std::min(pos_ + n, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[pos_ + 1 < tokens_.size() ? pos_++ : pos_]; }
  bool is(Kind kind) const { return now().kind == kind; }
  bool is_name(std::string_view name) const { return is(Kind::kName) && now().text == name; }
  bool is_operator(std::string_view sign) const { return is(Kind::kOperator) && now().text == sign; }
  bool skip_name(std::string_view name) { return is_name(name) && (next(), true); }
  bool skip_operator(std::string_view sign) { return is_operator(sign) && (next(), true); }
  Status expect_operator(std::string_view sign) {
    return skip_operator(sign) ? Status{} : fail("expected '" + std::string(sign) + "', found " + described());
  }
  Status expect(Kind kind, std::string_view what) {
    if (!is(kind)) return fail("expected " + std::string(what) + ", found " + described());
    next();
    return {};
  }
  Status fail(const std::string& what) const {
    return template_error("line " + std::to_string(now().line) + ": " + what);
  }
  std::string described() const {
    switch (now().kind) {
      case Kind::kEnd:
        return "the template's end";
      case Kind::kBlockEnd:
        return "'%}'";
      case Kind::kPrintEnd:
        return "'}}'";
      default:
        return "'" + now().text + "'";
    }
  }

  NodePtr make(Node::Kind kind) const {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = now().line;
    return node;
  }
  // Every node passes through here when its parts are complete.
  Result<NodePtr> done(NodePtr node) const {
    const auto take = [&](const NodePtr& part) {
      if (part) node->depth = std::max(node->depth, part->depth + 1);
    };
    for (const auto* parts : {&node->children, &node->body, &node->otherwise})
      for (const NodePtr& part : *parts) take(part);
    for (const auto& argument : node->arguments) take(argument.value);
    for (const auto& parameter : node->parameters) take(parameter.otherwise);
    if (node->depth > kMaxNodeDepth) return too_deep();
    return node;
  }
  // How deep what is being parsed nests, in brackets and blocks together.
  class Nesting {
   public:
    explicit Nesting(TokenCursor& cursor) : cursor_(cursor) { ++cursor_.nesting_; }
    ~Nesting() { --cursor_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    Status status() const {
      return cursor_.nesting_ > kMaxNesting || !cursor_.stack_.is_left() ? cursor_.too_deep() : Status{};
    }

   private:
    TokenCursor& cursor_;
  };
  Status too_deep() const { return fail("the template nests too deep"); }

 private:
  std::vector<Token> tokens_;  // the last is kEnd
  size_t pos_ = 0;
  int nesting_ = 0;
  const StackRoom stack_;
};

}  // namespace reform::jinja
