/* reform.h: the C API. It has the meaning of the C++ one (engine.h, store.h, ingest.h, ask.h, search.h, generate.h),
 * whose headers explain each field.
 *
 * Errors: a call that can fail returns a reform_code. reform_last_error() then says what was wrong, for this thread,
 *   until its next failing call. Outputs are NULL on failure.
 * Options: call the struct's _init function with sizeof, then change fields. A NULL pointer means the defaults. A
 * program built against an older header keeps working, because `size` tells the library which fields the caller knows.
 * Results: the library allocates these structs; the caller only reads and frees them. Everything they point to lives
 *   as long as they do. New versions add fields at the end only. Strings are UTF-8 and end in NUL.
 * Threads: any thread may use a handle; calls that run a model wait for each other. Destroy a handle only when no call
 *   uses it. Results stay valid after their engine and store are closed. */
#ifndef REFORM_REFORM_H
#define REFORM_REFORM_H

#include <reform/export.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The values of reform::Code (status.h). */
typedef enum reform_code {
  REFORM_OK = 0,
  REFORM_INTERNAL = 1,
  REFORM_USAGE = 2,
  REFORM_NOT_FOUND = 3,
  REFORM_BAD_MODEL = 4,
  REFORM_BAD_TEXT = 5,
  REFORM_WRONG_MODEL = 6,
  REFORM_EXISTS = 7,
  REFORM_BUSY = 8,
  REFORM_CORRUPT = 9,
  REFORM_NO_SPACE = 10,
  REFORM_MEMORY_CAP = 11,
  REFORM_IO = 12,
  REFORM_UNAVAILABLE = 13,
  REFORM_CANCELLED = 130
} reform_code;

REFORM_API const char* reform_version(void);
REFORM_API const char* reform_code_name(reform_code code); /* "not_found", … */
REFORM_API const char* reform_last_error(void);            /* one line; "" if no call of this thread failed */

/* Stops a call from another thread or a signal handler; the call returns REFORM_CANCELLED within a second. */
typedef struct reform_cancel reform_cancel;
REFORM_API reform_code reform_cancel_create(reform_cancel** cancel);
REFORM_API void reform_cancel_now(reform_cancel* cancel); /* async-signal-safe */
REFORM_API void reform_cancel_destroy(reform_cancel* cancel);

/* --- engine: one model ------------------------------------------------------------------------------------------ */

typedef struct reform_engine reform_engine;
typedef void (*reform_log_fn)(void* user, int is_warning, const char* line);

typedef struct reform_engine_options {
  size_t size;
  const char* chat_template; /* "": the model's own; one of its others or of ours by name, or a Jinja file (engine.h) */
  const char* heads_file;
  const char* isa;
  const char* cache_dir;
  int64_t max_host_memory_bytes; /* 0: no cap */
  int32_t n_threads;             /* 0: one per core this process may run on */
  reform_log_fn log;
  void* log_user;
  const char* device; /* "" and cpu; cuda:0, ...; auto */
  /* The five below are for GPUs only: in a build without CUDA they must be 0 and "", else REFORM_USAGE. */
  int64_t max_gpu_memory_bytes; /* 0: all that is free except a reserve */
  const char* gpu_weights;      /* "" and auto, resident, host, file */
  const char* cublas_lt_file;   /* "": the loader finds it */
  const char* gpu_products;     /* "" and half, fp8; while reading a text */
  const char* gpu_attention;    /* "" and auto, warps */
} reform_engine_options;

typedef struct reform_model_info {
  const char *path, *name, *architecture, *fingerprint, *chat_template, *isa;
  int64_t n_params, n_layers, d_model, n_vocab, trained_window_tokens, file_bytes;
} reform_model_info;

REFORM_API void reform_engine_options_init(reform_engine_options* options, size_t size);
REFORM_API reform_code reform_engine_open(const char* model_path, const reform_engine_options* options,
                                          reform_engine** engine);
REFORM_API const reform_model_info* reform_engine_model(const reform_engine* engine); /* lives with the engine */
REFORM_API void reform_engine_close(reform_engine* engine);

/* --- what a call cost (report.h) -------------------------------------------------------------------------------- */

typedef struct reform_named_ms {
  const char* name;
  double ms;
} reform_named_ms;

typedef struct reform_named_bytes {
  const char* name;
  int64_t bytes;
} reform_named_bytes;

/* Of the arena, since the model was opened: the largest plan of a job, and the most in use. */
typedef struct reform_gpu_category {
  const char* name;
  int64_t planned_bytes, peak_bytes;
} reform_gpu_category;

typedef struct reform_report {
  int64_t prompt_n, predicted_n;
  double prompt_ms, predicted_ms, total_ms;
  int64_t peak_host_bytes, peak_gpu_bytes;
  size_t n_phases; /* "load_ms", "gather_ms", … */
  const reform_named_ms* phases;
  size_t n_categories; /* peaks: "weights", "kv_cache", … */
  const reform_named_bytes* categories;
  int64_t gpu_arena_bytes, gpu_outside_bytes; /* all that reform allocates there; what else the driver has now */
  size_t n_gpu_categories;
  const reform_gpu_category* gpu_categories;
  const char* gpu_weights; /* streamed layers came from "host" or "file"; "resident": none; "": no GPU */
  int64_t gpu_resident_layers, gpu_streamed_layers;
  double gpu_planned_tokens_per_second; /* new tokens; 0: no plan */
} reform_report;

/* --- store: contexts on disk ------------------------------------------------------------------------------------ */

typedef struct reform_store reform_store;

typedef struct reform_context {
  const char *name, *id, *model_name, *model_path, *model_fingerprint;
  const char *policy, *state, *problem, *settings_json;
  size_t n_files;
  const char* const* files;
  int64_t n_tokens, source_bytes, created_unix_s, chunk_tokens, cache_tokens, disk_bytes, checkpoint_bytes;
  double bytes_per_token;    /* disk_bytes by n_tokens, checkpoints included */
  int32_t pinned;            /* 1: never removed when the store is full */
  int64_t last_asked_unix_s; /* 0: never */
} reform_context;

typedef struct reform_context_list {
  size_t n;
  const reform_context* const* contexts;
} reform_context_list;

REFORM_API reform_code reform_store_open(const char* dir, reform_store** store); /* NULL or "": the default one */
REFORM_API const char* reform_store_dir(const reform_store* store);
REFORM_API reform_code reform_store_list(reform_store* store, const reform_context_list** list);
REFORM_API reform_code reform_store_find(reform_store* store, const char* name, const reform_context** context);
REFORM_API reform_code reform_store_remove(reform_store* store, const char* name);
REFORM_API reform_code reform_store_set_pinned(reform_store* store, const char* name, int32_t pinned);
/* Sets the cap on the directory's size. It is saved there, and every process that writes obeys it. 0: no cap. At the
 * cap contexts are removed, the least recently asked first; with evict_when_full 0 the write stops with
 * REFORM_NO_SPACE. */
REFORM_API reform_code reform_store_set_limit(reform_store* store, int64_t max_bytes, int32_t evict_when_full);
REFORM_API void reform_store_close(reform_store* store);
REFORM_API void reform_context_list_free(const reform_context_list* list);
REFORM_API void reform_context_free(const reform_context* context);

/* --- ingest ----------------------------------------------------------------------------------------------------- */

/* Writes up to `capacity` bytes to `buffer` and returns how many: 0 at the end, less than 0 on an error. */
typedef ptrdiff_t (*reform_read_fn)(void* user, char* buffer, size_t capacity);

typedef struct reform_ingest_source {
  const char* path;    /* a file; with `read`, the name shown in sources */
  reform_read_fn read; /* NULL: the file is read */
  void* read_user;
} reform_ingest_source;

typedef struct reform_ingest_progress {
  int64_t tokens_done, tokens_saved, tokens_total; /* tokens_total 0: unknown */
  double tokens_per_s, eta_s;                      /* eta_s < 0: unknown */
  int64_t host_bytes;
  const char* phase;
} reform_ingest_progress;
typedef void (*reform_ingest_progress_fn)(void* user, const reform_ingest_progress* progress);

enum { REFORM_REFUSE = 0, REFORM_APPEND = 1, REFORM_REPLACE = 2 };

typedef struct reform_ingest_options {
  size_t size;
  const char* policy;                 /* as `reform ingest --policy` takes it */
  int64_t chunk_tokens, cache_tokens; /* 0: 4,096, or less if the trained window is short */
  int64_t sink_tokens, overlap_tokens;
  double checkpoint_seconds;
  int32_t lossy;
  int32_t on_existing; /* REFORM_REFUSE, … */
  reform_ingest_progress_fn progress;
  void* progress_user;
  const reform_cancel* cancel;
  const char* depth;    /* fast, balanced, deep, paper; "": balanced if the model's heads have it */
  int32_t full_depth;   /* 1: keep the cache of every layer, for the method carry */
  const char* encoding; /* of the text, as `reform ingest --encoding` takes it; "": the context's, or UTF-8 */
  int32_t pages;        /* 1: keep every token's keys and values, for the methods pages and pages-recompute */
} reform_ingest_options;

typedef struct reform_eviction {
  const char* context;
  int64_t bytes;
  int64_t last_used_unix_s; /* when last asked; if never, when finished */
} reform_eviction;

typedef struct reform_ingest_result {
  const reform_context* context;
  const char* outcome; /* ingested, resumed, unchanged, appended, replaced */
  int64_t tokens_run;
  const reform_report* report;
  size_t n_evicted; /* contexts removed to make room for it */
  const reform_eviction* evicted;
} reform_ingest_result;

REFORM_API void reform_ingest_options_init(reform_ingest_options* options, size_t size);
REFORM_API reform_code reform_ingest(reform_engine* engine, reform_store* store, const char* name,
                                     const reform_ingest_source* sources, size_t n_sources,
                                     const reform_ingest_options* options, const reform_ingest_result** result);
REFORM_API void reform_ingest_result_free(const reform_ingest_result* result);

/* --- verify, export and import (verify.h, archive.h) ------------------------------------------------------------- */

/* How far work on one context has come. context: its name; at an import, the name it gets. An archive's total_bytes is
   an estimate; 0: unknown. */
typedef void (*reform_bytes_fn)(void* user, const char* context, int64_t done_bytes, int64_t total_bytes);
/* Takes all n bytes and returns 0; anything else is a failure. */
typedef int (*reform_write_fn)(void* user, const char* bytes, size_t n);

typedef struct reform_verify_options {
  size_t size;
  reform_bytes_fn progress;
  void* progress_user;
  const reform_cancel* cancel;
} reform_verify_options;

typedef struct reform_verified_context {
  const char *name, *id;
  const char* state;   /* ok, damaged, unreadable, busy */
  int32_t replacement; /* 1: made to take the place of the one that has its name now */
  int64_t n_tokens, checked_bytes, n_damages;
  size_t n_problems; /* the first twenty damages, or who is writing */
  const char* const* problems;
} reform_verified_context;

typedef struct reform_verified_list {
  size_t n;
  const reform_verified_context* const* contexts;
} reform_verified_list;

typedef struct reform_export_options {
  size_t size;
  int32_t overwrite;     /* a file that is there */
  reform_write_fn write; /* instead of a file */
  void* write_user;
  reform_bytes_fn progress;
  void* progress_user;
  const reform_cancel* cancel;
} reform_export_options;

typedef struct reform_import_options {
  size_t size;
  const char* name;       /* "": the one the context had */
  const char* model_path; /* "": not known */
  const char* cache_dir;
  reform_read_fn read; /* instead of a file */
  void* read_user;
  reform_bytes_fn progress;
  void* progress_user;
  const reform_cancel* cancel;
} reform_import_options;

typedef struct reform_archive_result {
  const reform_context* context;
  int64_t archive_bytes;
  const char* xxh3_128;
} reform_archive_result;

REFORM_API void reform_verify_options_init(reform_verify_options* options, size_t size);
/* n_names 0: all contexts. Damage is reported in the list; the code says only whether the list could be made. */
REFORM_API reform_code reform_verify(reform_store* store, const char* const* names, size_t n_names,
                                     const reform_verify_options* options, const reform_verified_list** list);
REFORM_API void reform_verified_list_free(const reform_verified_list* list);
REFORM_API void reform_export_options_init(reform_export_options* options, size_t size);
/* path: with `write`, NULL or "". */
REFORM_API reform_code reform_export(reform_store* store, const char* name, const char* path,
                                     const reform_export_options* options, const reform_archive_result** result);
REFORM_API void reform_import_options_init(reform_import_options* options, size_t size);
/* path: with `read`, the name that messages use. */
REFORM_API reform_code reform_import(reform_store* store, const char* path, const reform_import_options* options,
                                     const reform_archive_result** result);
REFORM_API void reform_archive_result_free(const reform_archive_result* result);

/* --- ask, search and generate
 * ------------------------------------------------------------------------------------------- */

/* A piece of text: whole characters, without a NUL at its end. Return 0 to stop, anything else to continue. */
typedef int (*reform_text_fn)(void* user, const char* piece, size_t bytes);

enum { REFORM_THINK_AUTO = 0, REFORM_THINK_ON = 1, REFORM_THINK_OFF = 2 };

typedef struct reform_ask_options {
  size_t size;
  double temperature, top_p, min_p;
  int64_t top_k, max_new_tokens;
  uint64_t seed;
  const char* system;
  int64_t gather_tokens, edge_tokens; /* -1: auto, as `reform ask` chooses them */
  int64_t pool_window;
  reform_text_fn text;
  void* text_user;
  const reform_cancel* cancel;
  int32_t ignore_end;       /* 1: always max_new_tokens, past any end token; for measuring */
  const char* gather_score; /* late, paper; "": late where the context's heads allow it */
  int64_t rounds;           /* -1: auto */
  const char* method;   /* as `reform ask --method` takes it; an option that it does not heed must keep its default */
  int64_t chunk_tokens; /* oprm: of the text in each prompt; -1: auto */
  int32_t all_chunks;   /* oprm: 1: no chunk is left out */
  /* For the chat template: more variables, a JSON object; and what it takes for today, as 2026-03-07. "": none, the
   * clock's. */
  const char *chat_variables, *chat_date;
  int32_t think;            /* REFORM_THINK_AUTO, …: whether a model that can reasons first */
  int64_t think_tokens;     /* of reasoning at most; -1: auto */
  reform_text_fn reasoning; /* as text, for the reasoning, which comes before it; the same user */
} reform_ask_options;

typedef struct reform_score_part {
  const char* name; /* a head such as k6.0, lexical, length */
  double score;
} reform_score_part;

typedef struct reform_source {
  const char *context, *file, *text;
  size_t text_bytes; /* the text may hold NULs */
  int64_t begin_byte, end_byte;
  int32_t edge;       /* 1: an edge, without a score */
  double score;       /* NaN: the method has no scores */
  int64_t begin_line; /* of begin_byte, from 1 */
  int32_t round;      /* of late interaction, from 1; 0: not found by it */
  size_t n_parts;     /* of the score, by late interaction */
  const reform_score_part* parts;
  /* Late interaction: its best passage, of those that were merged. Else all of it. */
  int64_t best_begin_byte, best_end_byte, best_begin_line;
  size_t best_text_begin, best_text_bytes; /* in text */
} reform_source;

typedef struct reform_ask_result {
  const char* answer;
  const char* finish_reason; /* stop, length; unanswered: by oprm; cancelled: a callback returned 0 */
  const char* prompt;
  size_t n_sources;
  const reform_source* const* sources;
  int64_t gathered_tokens, edge_tokens, question_tokens, template_tokens;
  int64_t recomputed_tokens; /* their sum; 0 if the prompt is not run (max_new_tokens 0) */
  const reform_report* report;
  double confidence;         /* late: the chance that the text answers the question; < 0: not known */
  const char* method;        /* that answered */
  int64_t full_model_tokens; /* run through all layers before the answer's first token */
  int64_t bytes_read;        /* of the contexts */
  /* end, blank, length, cancelled, unanswered: why there is nothing to read; "": there is */
  const char* empty_because;
  const char* reasoning; /* what the model said to itself before the answer; "": nothing */
  int64_t reasoning_tokens;
  const char* reasoning_finish_reason; /* stop, length: think_tokens, end: the model's turn; "" */
} reform_ask_result;

/* The sentence for a value of empty_because; "" for "" and NULL. */
REFORM_API const char* reform_explain_empty(const char* empty_because);

REFORM_API void reform_ask_options_init(reform_ask_options* options, size_t size);
REFORM_API reform_code reform_ask(reform_engine* engine, reform_store* store, const char* const* contexts,
                                  size_t n_contexts, const char* question, const reform_ask_options* options,
                                  const reform_ask_result** result);
REFORM_API void reform_ask_result_free(const reform_ask_result* result);

typedef struct reform_search_result {
  const char* question;
  size_t n_sources; /* ranked: the best match first, edges last */
  const reform_source* const* sources;
  int64_t gathered_tokens, edge_tokens, question_tokens;
  const reform_report* report; /* phases load_ms (the whole call's until now), query_ms, gather_ms */
  double confidence;           /* as an ask's */
  const char* method;          /* that found them */
  int64_t bytes_read;          /* of the contexts, by the whole call until now */
} reform_search_result;

typedef struct reform_search_list {
  size_t n; /* a result for each question, in order; fewer if the callback stopped the call */
  const reform_search_result* const* results;
} reform_search_list;

/* Gets each result as soon as it is found. It stays in the list; if the call fails, it lives until the call returns.
 * Return 0 to stop, anything else to continue. */
typedef int (*reform_search_fn)(void* user, const reform_search_result* result);

typedef struct reform_search_options {
  size_t size;
  int64_t gather_tokens, edge_tokens, pool_window; /* edge_tokens: 0 by default */
  reform_search_fn result;
  void* result_user;
  const reform_cancel* cancel;
  const char* gather_score; /* as an ask's */
  int64_t rounds;           /* as an ask's */
  const char* method;       /* as `reform search --method` takes it */
  uint64_t seed;            /* random: which passages are drawn */
} reform_search_options;

REFORM_API void reform_search_options_init(reform_search_options* options, size_t size);
/* Many questions take less time in one call, as what is stored of the contexts is loaded once for 32 of them. A
 * message about a question names its number, from 1. */
REFORM_API reform_code reform_search(reform_engine* engine, reform_store* store, const char* const* contexts,
                                     size_t n_contexts, const char* const* questions, size_t n_questions,
                                     const reform_search_options* options, const reform_search_list** list);
REFORM_API void reform_search_list_free(const reform_search_list* list);

typedef struct reform_generate_options {
  size_t size;
  double temperature, top_p, min_p;
  int64_t top_k, max_new_tokens;
  uint64_t seed;
  int32_t chat;       /* apply the chat template */
  const char* system; /* with chat */
  reform_text_fn text;
  void* text_user;
  const reform_cancel* cancel;
  int32_t ignore_end;                     /* as for an ask */
  const char *chat_variables, *chat_date; /* as for an ask; with chat */
  int32_t think;                          /* this and the next two as for an ask; with chat */
  int64_t think_tokens;
  reform_text_fn reasoning;
} reform_generate_options;

typedef struct reform_generate_result {
  const char *text, *finish_reason;
  const reform_report* report;
  const char* empty_because; /* as an ask's */
  const char* prompt;        /* as the model saw it */
  const char* reasoning;     /* this and the next two as an ask's */
  int64_t reasoning_tokens;
  const char* reasoning_finish_reason;
} reform_generate_result;

REFORM_API void reform_generate_options_init(reform_generate_options* options, size_t size);
REFORM_API reform_code reform_generate(reform_engine* engine, const char* prompt,
                                       const reform_generate_options* options, const reform_generate_result** result);
REFORM_API void reform_generate_result_free(const reform_generate_result* result);

#ifdef __cplusplus
}
#endif

#endif
