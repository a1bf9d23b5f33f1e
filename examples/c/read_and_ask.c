/* Reads a text into a store and asks it a question, through the C API.
 *   read_and_ask MODEL.gguf STORE_DIR TEXT.txt "question" */
#include <reform/reform.h>
#include <stdio.h>

static int print_piece(void* user, const char* piece, size_t bytes) {
  return fwrite(piece, 1, bytes, (FILE*)user) == bytes;
}

static void print_progress(void* user, const reform_ingest_progress* progress) {
  fprintf((FILE*)user, "\r%lld tokens", (long long)progress->tokens_done);
}

static reform_code run(reform_engine* engine, reform_store* store, const char* path, const char* question) {
  const char* name = "example-c";
  reform_ingest_source text = {0};
  reform_ingest_options ingest;
  const reform_ingest_result* read = NULL;
  reform_ask_options ask;
  const reform_ask_result* answer = NULL;
  reform_code code;
  size_t i;

  text.path = path;
  reform_ingest_options_init(&ingest, sizeof ingest);
  ingest.progress = print_progress;
  ingest.progress_user = stderr;
  code = reform_ingest(engine, store, name, &text, 1, &ingest, &read);
  if (code != REFORM_OK) return code;
  fprintf(stderr, "\r%s: %lld tokens\n", read->outcome, (long long)read->context->n_tokens);
  reform_ingest_result_free(read);

  reform_ask_options_init(&ask, sizeof ask);
  ask.text = print_piece;
  ask.text_user = stdout;
  code = reform_ask(engine, store, &name, 1, question, &ask, &answer);
  if (code != REFORM_OK) return code;
  puts("");
  for (i = 0; i < answer->n_sources; ++i) {
    const reform_source* source = answer->sources[i];
    printf("  from %s, bytes %lld to %lld\n", source->file, (long long)source->begin_byte, (long long)source->end_byte);
  }
  reform_ask_result_free(answer);
  return REFORM_OK;
}

int main(int argc, char** argv) {
  reform_engine* engine = NULL;
  reform_store* store = NULL;
  reform_code code;
  if (argc != 5) {
    fprintf(stderr, "usage: read_and_ask MODEL.gguf STORE_DIR TEXT.txt QUESTION\n");
    return REFORM_USAGE;
  }
  code = reform_engine_open(argv[1], NULL, &engine);
  if (code == REFORM_OK) code = reform_store_open(argv[2], &store);
  if (code == REFORM_OK) code = run(engine, store, argv[3], argv[4]);
  if (code != REFORM_OK) fprintf(stderr, "read_and_ask: %s (%s)\n", reform_last_error(), reform_code_name(code));
  reform_store_close(store);
  reform_engine_close(engine);
  return code;
}
