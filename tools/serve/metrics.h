// What the server did, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats). Names end in their
// unit; what only grows ends in _total.
#pragma once

#include <prometheus/registry.h>
#include <reform/engine.h>
#include <reform/store.h>

#include <cstdint>
#include <string>

#include "tools/serve/seats.h"

namespace reform::tool {

// Thread-safety: any thread may make any call.
class Metrics {
 public:
  // `path`: the endpoint's pattern, so that there are few.
  void count_request(const std::string& path, int http_status);
  // Of an answer or a search: tokens, and seconds for each phase.
  void count_answer(const Timings& timings);
  void count_read_tokens(int64_t n_tokens);
  // All of it, with what the engine and the store say now. Not ok: the store cannot be read.
  Result<std::string> text(const Engine& engine, Store& store, const Seats& seats);

 private:
  void count(const char* name, const char* help, const prometheus::Labels& labels, double by);
  void count_tokens(const char* kind, int64_t n);
  void set(const char* name, const char* help, const prometheus::Labels& labels, int64_t value);

  prometheus::Registry registry_;
};

}  // namespace reform::tool
