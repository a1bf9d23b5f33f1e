// A template as a tree. One kind of node serves statements and expressions; which fields a kind uses is said beside it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/jinja/value.h"

namespace reform::jinja {

struct Node;
using NodePtr = std::unique_ptr<Node>;

struct Node {
  enum class Kind : uint8_t {
    // Statements; their bodies are lists of statements.
    kText,   // constant: printed as it is
    kPrint,  // children[0]
    kIf,     // children[0] the condition; body; otherwise
    kFor,  // children: target, what is gone through, and the condition on items, if any; body; otherwise; is_recursive
    kSet,  // children: target, value
    kSetBlock,     // children: target, and the filters over kFilterInput, if any; body
    kWith,         // children: target, value, target, value, …; body
    kMacro,        // name; parameters; body
    kCallBlock,    // children[0] the call; parameters; body
    kFilterBlock,  // children[0] the filters over kFilterInput; body
    kBody,         // body: {% generation %}, in a scope of its own; the whole template
    kBreak,
    kContinue,
    // Expressions.
    kConstant,     // constant
    kName,         // name
    kList,         // children
    kTuple,        // children; also as a target
    kDict,         // children: key, value, key, value, …
    kUnary,        // name: - + not; children[0]
    kBinary,       // name: + - * / // % ** and or; children
    kConcat,       // children: ~
    kCompare,      // children[0] is compared with children[i + 1] by operators[i]
    kConditional,  // children: condition, value, and the other value, if any
    kAttribute,    // children[0]; name
    kItem,         // children: object, key
    kSlice,        // children: object, begin, end, step; null where left out
    kCall,         // children[0] the callee; arguments
    kFilter,       // name; children[0] the input; arguments
    kTest,         // name; children[0]; arguments; is_negated
    kFilterInput,  // what a block gives to its filter
  };

  // An argument of a call. stars: 1 for *list, 2 for **dictionary.
  struct Argument {
    std::string name;
    int stars;
    NodePtr value;
  };
  struct Parameter {
    std::string name;
    NodePtr otherwise;  // null: none
  };

  Kind kind;
  int line;
  int depth = 1;  // of nesting; evaluation recurses as deep
  std::string name;
  Value constant;
  std::vector<NodePtr> children, body, otherwise;
  std::vector<std::string> operators;
  std::vector<Argument> arguments;
  std::vector<Parameter> parameters;
  bool is_recursive = false, uses_loop = false, looks_ahead = false, is_negated = false;
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;  // of what its body names
};

}  // namespace reform::jinja
