#include "runtime/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "runtime/jinja/expression_parser.h"
#include "runtime/jinja/token_cursor.h"

namespace reform::jinja {
namespace {

using Kind = Token::Kind;
using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : at_(std::move(tokens)), expressions_(at_) {}

  Result<NodePtr> run() {
    NodePtr node = at_.make(Node::Kind::kBody);
    TRY(body({}, node->body));
    return at_.done(std::move(node));
  }

 private:
  // Statements up to a block that begins with one of `ends`, whose name is the next token then. No ends: up to the
  // template's end.
  Status body(Names ends, std::vector<NodePtr>& statements) {
    const TokenCursor::Nesting nesting(at_);
    TRY(nesting.status());
    while (!at_.is(Kind::kEnd)) {
      if (at_.is(Kind::kText)) {
        NodePtr node = at_.make(Node::Kind::kText);
        node->constant = Value(at_.next().text);
        statements.push_back(std::move(node));
      } else if (at_.is(Kind::kPrintBegin)) {
        TRY(print(statements));
      } else {
        TRY(at_.expect(Kind::kBlockBegin, "a block"));
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return at_.is_name(end); })) break;
        TRY_ASSIGN(NodePtr node, statement());
        TRY(at_.expect(Kind::kBlockEnd, "'%}'"));
        statements.push_back(std::move(node));
      }
    }
    if (at_.is(Kind::kEnd) && ends.size() > 0)
      return at_.fail("the template ends where {% " + std::string(*ends.begin()) + " %} was expected");
    return {};
  }

  // The statements of a block from its `%}` to its end, whose name is taken.
  Status block_body(Names ends, std::vector<NodePtr>& statements) {
    TRY(at_.expect(Kind::kBlockEnd, "'%}'"));
    return body(ends, statements);
  }

  Status print(std::vector<NodePtr>& statements) {
    NodePtr node = at_.make(Node::Kind::kPrint);
    at_.next();
    TRY_ASSIGN(NodePtr value, expressions_.tuple(true));
    TRY(at_.expect(Kind::kPrintEnd, "'}}'"));
    node->children.push_back(std::move(value));
    TRY_ASSIGN(node, at_.done(std::move(node)));
    statements.push_back(std::move(node));
    return {};
  }

  Result<NodePtr> statement() {
    const std::string name = at_.now().text;
    if (!at_.is(Kind::kName)) return at_.fail("expected a statement, found " + at_.described());
    if (name == "if") return if_statement();
    if (name == "for") return for_statement();
    if (name == "set") return set_statement();
    if (name == "with") return with_statement();
    if (name == "macro") return macro_statement();
    if (name == "call") return call_statement();
    if (name == "filter") return filter_statement();
    if (name == "print") return print_statement();
    if (name == "generation") return generation_statement();
    if (name == "break" || name == "continue") return jump_statement();
    if (name == "include" || name == "import" || name == "from" || name == "extends")
      return at_.fail("{% " + name + " %} would read another file, which a chat template may not");
    return at_.fail("unknown statement '" + name + "'");
  }

  Result<NodePtr> if_statement() {
    NodePtr node = at_.make(Node::Kind::kIf);
    at_.next();  // if, elif
    TRY_ASSIGN(NodePtr condition, expressions_.tuple(false));
    node->children.push_back(std::move(condition));
    TRY(block_body({"endif", "elif", "else"}, node->body));
    if (at_.is_name("elif")) {
      const TokenCursor::Nesting nesting(at_);
      TRY(nesting.status());
      TRY_ASSIGN(NodePtr rest, if_statement());
      node->otherwise.push_back(std::move(rest));
      return at_.done(std::move(node));
    }
    if (at_.skip_name("else")) TRY(block_body({"endif"}, node->otherwise));
    at_.next();
    return at_.done(std::move(node));
  }

  Result<NodePtr> for_statement() {
    NodePtr node = at_.make(Node::Kind::kFor);
    at_.next();
    TRY_ASSIGN(NodePtr target, expressions_.target(false, {"in"}));
    if (!at_.skip_name("in")) return at_.fail("expected 'in', found " + at_.described());
    TRY_ASSIGN(NodePtr iterated, expressions_.tuple(false, {"recursive"}));
    node->children.push_back(std::move(target));
    node->children.push_back(std::move(iterated));
    if (at_.skip_name("if")) {
      TRY_ASSIGN(NodePtr condition, expressions_.expression());
      node->children.push_back(std::move(condition));
    }
    node->is_recursive = at_.skip_name("recursive");
    ++loops_;
    const size_t begin = at_.position();
    TRY(block_body({"endfor", "else"}, node->body));
    node->uses_loop = at_.was_named_since(begin, "loop");
    for (const char* name : {"last", "nextitem", "length", "revindex", "revindex0"})
      node->looks_ahead = node->looks_ahead || at_.was_named_since(begin, name);
    --loops_;
    if (at_.skip_name("else")) TRY(block_body({"endfor"}, node->otherwise));
    at_.next();
    return at_.done(std::move(node));
  }

  Result<NodePtr> set_statement() {
    NodePtr node = at_.make(Node::Kind::kSet);
    at_.next();
    TRY_ASSIGN(NodePtr target, expressions_.target(true));
    node->children.push_back(std::move(target));
    if (at_.skip_operator("=")) {
      TRY_ASSIGN(NodePtr value, expressions_.tuple(true));
      node->children.push_back(std::move(value));
      return at_.done(std::move(node));
    }
    node->kind = Node::Kind::kSetBlock;
    if (at_.is_operator("|")) {
      TRY_ASSIGN(NodePtr filters, expressions_.filters(at_.make(Node::Kind::kFilterInput), false));
      node->children.push_back(std::move(filters));
    }
    TRY(own_loops("endset", *node));
    return at_.done(std::move(node));
  }

  Result<NodePtr> with_statement() {
    NodePtr node = at_.make(Node::Kind::kWith);
    at_.next();
    while (!at_.is(Kind::kBlockEnd)) {
      if (!node->children.empty()) TRY(at_.expect_operator(","));
      TRY_ASSIGN(NodePtr target, expressions_.one_target());
      TRY(at_.expect_operator("="));
      TRY_ASSIGN(NodePtr value, expressions_.expression());
      node->children.push_back(std::move(target));
      node->children.push_back(std::move(value));
    }
    TRY(block_body({"endwith"}, node->body));
    at_.next();
    return at_.done(std::move(node));
  }

  Status parameters(Node& node) {
    TRY(at_.expect_operator("("));
    while (!at_.is_operator(")")) {
      if (!node.parameters.empty()) TRY(at_.expect_operator(","));
      Node::Parameter parameter{at_.now().text, nullptr};
      TRY(at_.expect(Kind::kName, "a parameter's name"));
      for (const Node::Parameter& other : node.parameters)
        if (other.name == parameter.name) return at_.fail("two parameters are called '" + parameter.name + "'");
      if (at_.skip_operator("=")) {
        TRY_ASSIGN(parameter.otherwise, expressions_.expression());
      } else if (!node.parameters.empty() && node.parameters.back().otherwise) {
        return at_.fail("a parameter without a default after one with a default");
      }
      node.parameters.push_back(std::move(parameter));
    }
    return at_.expect_operator(")");
  }

  Result<NodePtr> macro_statement() {
    NodePtr node = at_.make(Node::Kind::kMacro);
    at_.next();
    node->name = at_.now().text;
    TRY(at_.expect(Kind::kName, "the macro's name"));
    TRY(parameters(*node));
    TRY(own_loops("endmacro", *node));
    return at_.done(std::move(node));
  }

  Result<NodePtr> call_statement() {
    NodePtr node = at_.make(Node::Kind::kCallBlock);
    node->name = "caller";
    at_.next();
    if (at_.is_operator("(")) TRY(parameters(*node));
    TRY_ASSIGN(NodePtr call, expressions_.expression());
    if (call->kind != Node::Kind::kCall) return at_.fail("{% call %} needs a call");
    node->children.push_back(std::move(call));
    TRY(own_loops("endcall", *node));
    return at_.done(std::move(node));
  }

  // A body that no loop around it can be left from.
  Status own_loops(std::string_view end, Node& node) {
    const int outer = std::exchange(loops_, 0);
    const size_t begin = at_.position();
    TRY(block_body({end}, node.body));
    node.takes_varargs = at_.was_named_since(begin, "varargs");
    node.takes_kwargs = at_.was_named_since(begin, "kwargs");
    node.takes_caller = at_.was_named_since(begin, "caller");
    loops_ = outer;
    at_.next();
    return {};
  }

  Result<NodePtr> filter_statement() {
    NodePtr node = at_.make(Node::Kind::kFilterBlock);
    at_.next();
    TRY_ASSIGN(NodePtr filters, expressions_.filters(at_.make(Node::Kind::kFilterInput), true));
    node->children.push_back(std::move(filters));
    TRY(own_loops("endfilter", *node));
    return at_.done(std::move(node));
  }

  Result<NodePtr> print_statement() {
    NodePtr node = at_.make(Node::Kind::kPrint);
    at_.next();
    while (!at_.is(Kind::kBlockEnd)) {
      if (!node->children.empty()) TRY(at_.expect_operator(","));
      TRY_ASSIGN(NodePtr value, expressions_.expression());
      node->children.push_back(std::move(value));
    }
    return at_.done(std::move(node));
  }

  Result<NodePtr> generation_statement() {
    NodePtr node = at_.make(Node::Kind::kBody);
    at_.next();
    TRY(own_loops("endgeneration", *node));
    return at_.done(std::move(node));
  }

  Result<NodePtr> jump_statement() {
    NodePtr node = at_.make(at_.now().text == "break" ? Node::Kind::kBreak : Node::Kind::kContinue);
    if (loops_ == 0) return at_.fail("{% " + at_.now().text + " %} outside of a loop");
    at_.next();
    return node;
  }

  TokenCursor at_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

}  // namespace

Result<NodePtr> parse(std::string_view source) {
  TRY_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return StatementParser(std::move(tokens)).run();
}

}  // namespace reform::jinja
