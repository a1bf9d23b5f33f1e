// What an Interpreter holds on its own stack while it evaluates.
#pragma once

#include <memory>
#include <utility>

#include "runtime/jinja/interpreter.h"

namespace reform::jinja {

class Interpreter::InnerScope {
 public:
  explicit InnerScope(Interpreter& interpreter) : interpreter_(interpreter), scope_(std::make_unique<Scope>()) {
    scope_->parent = interpreter.scope_;
    interpreter.scope_ = scope_.get();
  }
  ~InnerScope() {
    interpreter_.scope_ = scope_->parent;
    if (scope_->is_kept) interpreter_.kept_scopes_.push_back(std::move(scope_));
  }
  InnerScope(const InnerScope&) = delete;
  InnerScope& operator=(const InnerScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::unique_ptr<Scope> scope_;
};

class Interpreter::Nested {
 public:
  explicit Nested(Interpreter& interpreter) : interpreter_(interpreter) { ++interpreter_.depth_; }
  ~Nested() { --interpreter_.depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  Status status() const {
    if (interpreter_.depth_ > kMaxDepth || !interpreter_.stack_.is_left())
      return template_error("the template calls itself too often");
    return interpreter_.charge(1);
  }

 private:
  // Statements and expressions inside each other.
  static constexpr int kMaxDepth = 400;
  Interpreter& interpreter_;
};

}  // namespace reform::jinja
