// reform serve: answers over HTTP until it is stopped.
#include <fmt/format.h>
#include <reform/exception_status.h>
#include <reform/generate.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <thread>

#include "tools/chat_flags.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/serve/server.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

constexpr int64_t kMostKeyBytes = 1 << 20;
constexpr const char* kOff = "off";
constexpr Range<int64_t> kPorts{0, 65535}, kQueues{1, 1024};

struct ServeFlags {
  EngineFlags engine;
  std::string store_dir, key_file;
  ServerOptions server;
  int64_t port = 8420, n_seats = 32;
  std::string implicit_contexts = "4GiB", prompt_cache = "512MiB", max_upload = "1GiB";
};

Status read_keys(const ServeFlags& flags, AccessRules& access) {
  if (flags.key_file.empty()) {
    if (is_loopback(flags.server.host)) return {};
    return {Code::kUsage,
            fmt::format("--host {}: whoever reaches this machine could ask all contexts; --api-key-file FILE "
                        "lets in only those who know a key",
                        flags.server.host)};
  }
  const CancelScope scope;
  const auto text = read_text(flags.key_file, kMostKeyBytes, "", scope.token());
  if (!text.ok()) return text.status();
  auto keys = keys_of(text.value(), flags.key_file);
  if (!keys.ok()) return keys.status();
  access.keys = std::move(keys).value();
  return {};
}

// 0: off.
Result<int64_t> size_or_off(const char* option, const std::string& text) {
  if (text == kOff) return 0;
  const auto bytes = parse_size(text);
  if (bytes.ok()) return bytes.value();
  return Status{Code::kUsage, fmt::format("{}: {}, or {}", option, bytes.status().message, kOff)};
}

template <class Call>
Status exception_status_of(const Call& call) {
  try {
    return call();
  } catch (...) {
    return exception_status();
  }
}

// Ends when a signal came, or the server ended by itself.
Status run_until_signal(Server& server) {
  const CancelScope scope("stopped; some clients were still connected");
  std::atomic<bool> is_over = false;
  auto watch = std::async(std::launch::async, [&] {
    while (!is_over && !scope.token().cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    scope.allow_saving();
    while (!is_over) server.stop();
  });
  Status status = exception_status_of([&] { return server.run(); });
  is_over = true;
  watch.wait();
  return status;
}

// What the first answer would prepare for those after it, such as the tokens that end a turn.
Status warm_up(Engine& engine) {
  GenerateOptions options;
  options.chat = true;
  options.sampling.max_new_tokens = 0;
  return generate(engine, "Hello", options).status();
}

Status run_serve(const ServeFlags& flags, Output& out) {
  ServerOptions options = flags.server;
  options.port = int(flags.port), options.n_seats = int(flags.n_seats);
  const auto implicit_bytes = size_or_off("--implicit-contexts", flags.implicit_contexts);
  if (!implicit_bytes.ok()) return implicit_bytes.status();
  options.max_implicit_bytes = implicit_bytes.value();
  const auto prompt_bytes = size_or_off("--prompt-cache", flags.prompt_cache);
  if (!prompt_bytes.ok()) return prompt_bytes.status();
  EngineOptions engine_options = flags.engine.options;
  engine_options.prompt_cache_bytes = prompt_bytes.value();
  const auto upload_bytes = parse_size(flags.max_upload);
  if (!upload_bytes.ok()) return {Code::kUsage, "--max-upload: " + upload_bytes.status().message};
  options.max_upload_bytes = upload_bytes.value();
  options.model_id = std::filesystem::path(flags.engine.model).stem().string();
  options.log = [&out](const std::string& line) { out.progress().remark(line); };
  const std::string model_id = options.model_id;
  options.access.host_names.push_back(options.host);
  if (Status s = read_keys(flags, options.access); !s.ok()) return s;
  auto store = Store::open(flags.store_dir);
  if (!store.ok()) return store.status();
  out.progress().phase("loading the model");
  auto engine = open_engine(flags.engine.model, engine_options, out);
  if (!engine.ok()) return engine.status();
  if (Status s = warm_up(*engine.value()); !s.ok()) return s;
  auto server = Server::bind(*engine.value(), *store.value(), std::move(options));
  if (!server.ok()) return server.status();
  const bool is_v6 = flags.server.host.find(':') != std::string::npos;
  const std::string url =
      fmt::format("http://{}{}{}:{}", is_v6 ? "[" : "", flags.server.host, is_v6 ? "]" : "", server.value()->port());
  out.progress().clear();
  out.text(fmt::format("{} is served at {} (Ctrl-C ends)\n", engine.value()->model().name, url));
  out.line({{"url", url}, {"port", server.value()->port()}, {"model", model_id}});
  if (Status s = run_until_signal(*server.value()); !s.ok()) return s;
  out.progress().remark("stopped");
  return out.write_status();
}

}  // namespace

void add_serve(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb =
      add_verb(app, invocation, "serve",
               "Answer over HTTP: OpenAI's API, with each context as a model of its own (docs/SERVE.md).",
               "  reform serve --model qwen.gguf\n"
               "  curl -s localhost:8420/v1/chat/completions -H 'Content-Type: application/json' \\\n"
               "    -d '{\"model\": \"reform:bible\", \"messages\": [{\"role\": \"user\", \"content\": \"Who "
               "was thrown to the lions?\"}]}'",
               [flags](Output& out) { return run_serve(*flags, out); });
  add_engine_flags(*verb, flags->engine, /*model_required=*/true);
  add_store_flag(*verb, flags->store_dir);
  verb->add_option("--chat-template", flags->engine.options.chat_template, "As in ask")->type_name("TEMPLATE");
  verb->add_option("--heads", flags->engine.options.heads_file, "As in ingest, for long prompts")->type_name("FILE");
  const char* group = "Server";
  verb->add_option("--host", flags->server.host, "Address to listen on; another than this machine's own needs a key")
      ->type_name("ADDRESS")
      ->default_str(flags->server.host)
      ->group(group);
  add_number(*verb, "--port", flags->port, kPorts, "Port; 0: any that is free")
      ->type_name("N")
      ->default_str("8420")
      ->group(group);
  verb->add_option("--api-key-file", flags->key_file, "File of keys, one a line; callers must send one of them")
      ->type_name("FILE")
      ->group(group);
  verb->add_option("--allow-host", flags->server.access.host_names, "A name that this machine is called by; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->group(group);
  verb->add_option("--implicit-contexts", flags->implicit_contexts,
                   "Disk for contexts of prompts that pass the model's window, 4GiB by default; off: they are refused")
      ->type_name("SIZE")
      ->group(group);
  verb->add_option("--prompt-cache", flags->prompt_cache,
                   "Memory for prompts that may come again, 512MiB by default; off: none is kept")
      ->type_name("SIZE")
      ->group(group);
  verb->add_option("--max-upload", flags->max_upload, "Size of a body that holds texts or an archive, at most")
      ->type_name("SIZE")
      ->default_str(flags->max_upload)
      ->group(group);
  add_number(*verb, "--queue", flags->n_seats, kQueues, "Answers that are made or waited for, at most")
      ->type_name("N")
      ->default_str("32")
      ->group(group);
}

}  // namespace reform::tool
