// Reads a text into a store and asks it a question, through the C++ API.
//   read_and_ask MODEL.gguf STORE_DIR TEXT.txt "question"
#include <reform/ask.h>
#include <reform/ingest.h>

#include <cstdio>

static int fail(const reform::Status& status) {
  std::fprintf(stderr, "read_and_ask: %s (%s)\n", status.message.c_str(), reform::code_name(status.code));
  return int(status.code);
}

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: read_and_ask MODEL.gguf STORE_DIR TEXT.txt QUESTION\n");
    return 2;
  }
  auto engine = reform::Engine::open(argv[1], reform::EngineOptions{});
  if (!engine.ok()) return fail(engine.status());
  auto store = reform::Store::open(argv[2]);
  if (!store.ok()) return fail(store.status());

  const auto progress = [](const reform::IngestProgress& p) {
    std::fprintf(stderr, "\r%lld tokens", static_cast<long long>(p.tokens_done));
  };
  auto read = reform::ingest(*engine.value(), *store.value(), "example-cpp", {{argv[3], nullptr}},
                             reform::IngestOptions{}, progress);
  if (!read.ok()) return fail(read.status());
  std::fprintf(stderr, "\rread %lld tokens\n", static_cast<long long>(read.value().context.n_tokens));

  reform::AskCallbacks callbacks;
  callbacks.on_text = [](const std::string& piece) { return std::fputs(piece.c_str(), stdout) >= 0; };
  auto answer = reform::ask(*engine.value(), *store.value(), {"example-cpp"}, argv[4], reform::AskOptions{}, callbacks);
  if (!answer.ok()) return fail(answer.status());
  std::puts("");
  for (const reform::Source& source : answer.value().sources) {
    std::printf("  from %s, bytes %lld to %lld\n", source.file.c_str(), static_cast<long long>(source.begin_byte),
                static_cast<long long>(source.end_byte));
  }
  return 0;
}
