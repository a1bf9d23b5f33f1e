// The HTTP server: one warm engine and one store, for clients that speak OpenAI's API, and for our own.
#pragma once

#include <reform/engine.h>
#include <reform/status.h>
#include <reform/store.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tools/serve/access.h"

namespace reform::tool {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8420;  // 0: any that is free
  AccessRules access;
  int64_t max_implicit_bytes = int64_t{4} << 30;  // of the contexts of long prompts; 0: none are made
  int n_seats = 32;                               // answers that are made or waited for; one more is told to come back
  int64_t max_upload_bytes = int64_t{1} << 30;    // of a body that holds texts or an archive
  std::string model_id;                           // what clients call the bare model
  std::function<void(const std::string& line)> log = [](const std::string&) {};  // from any thread
};

class Server {
 public:
  // The engine and the store must outlive it. kIo: nobody can listen there.
  static Result<std::unique_ptr<Server>> bind(Engine& engine, Store& store, ServerOptions options);
  ~Server();

  int port() const;
  Status run();  // until stop(); kIo: it cannot go on
  void stop();   // from any thread, also again; answers in the making are told so

  struct Impl;  // private

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reform::tool
