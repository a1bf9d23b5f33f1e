// Status and Result: every call that can fail returns one of them. No exception crosses an interface.
//
// Bad input (a file, a prompt, a device, a request) becomes a Status whose message says what is wrong, where, and what
// to do. A broken invariant of our own fails a CHECK and aborts. Thread-safety: plain values.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace reform {

// Also the command's exit codes (docs/CLI.md). Public and stable: never renumber.
enum class Code : int {
  kOk = 0,
  kInternal = 1,      // a bug of ours
  kUsage = 2,         // a bad option or argument
  kNotFound = 3,      // no such file, model or context
  kBadModel = 4,      // not a GGUF, truncated, hostile, or an unknown architecture or quantisation
  kBadText = 5,       // not UTF-8, or empty
  kWrongModel = 6,    // the context belongs to another model or other heads
  kExists = 7,        // the context exists with other text, or the file exists
  kBusy = 8,          // another process is writing the context, or its ingest is not finished
  kCorrupt = 9,       // stored data fails its checksum or has an unknown version
  kNoSpace = 10,      // the disk is full, or the store's cap is reached
  kMemoryCap = 11,    // does not fit into the memory cap, or the system has no memory left
  kIo = 12,           // the operating system refused a read or write
  kUnavailable = 13,  // this machine lacks a device or facility that was asked for
  kCancelled = 130,   // stopped by the user; a shell reports SIGINT so
};

// "ok", "usage", "not_found", …: the name in --json and in logs. Stable like the number.
inline const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInternal:
      return "internal";
    case Code::kUsage:
      return "usage";
    case Code::kNotFound:
      return "not_found";
    case Code::kBadModel:
      return "bad_model";
    case Code::kBadText:
      return "bad_text";
    case Code::kWrongModel:
      return "wrong_model";
    case Code::kExists:
      return "exists";
    case Code::kBusy:
      return "busy";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kNoSpace:
      return "no_space";
    case Code::kMemoryCap:
      return "memory_cap";
    case Code::kIo:
      return "io";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kCancelled:
      return "cancelled";
  }
  return "internal";
}

struct [[nodiscard]] Status {
  Code code = Code::kOk;
  std::string message;  // one line, no trailing newline; empty when ok

  bool ok() const { return code == Code::kOk; }
};

inline Status ok_status() { return {}; }

// Either a T or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status{} : std::get<1>(state_); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace reform
