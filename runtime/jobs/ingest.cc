// Decides what an ingest is (ingest_decision.h), opens what the decision names, and runs the job.
#include <fmt/format.h>
#include <reform/ingest.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/try.h"
#include "runtime/jobs/ingest_decision.h"
#include "runtime/jobs/ingest_job.h"
#include "runtime/jobs/kept_settings.h"
#include "runtime/model/judge.h"
#include "runtime/text/same_encoding.h"
#include "storage/format/context_name.h"

namespace reform {
namespace {

using Action = IngestDecision::Action;
using Outcome = IngestResult::Outcome;

// How many tokens of white space a text is read for before the model is looked at.
constexpr int64_t kMostWhiteTokens = int64_t{1} << 18;
constexpr int64_t kUsualTokens = 4096;  // of a chunk, and of a layer's cache

// Chooses the sizes that were left open, and what other options imply. Positions in phase 1 are slots: first the
// cache's, then the chunk's.
IngestOptions with_sizes(IngestOptions options, const Engine::Impl& engine) {
  const Tokenizer& tokenizer = *engine.tokenizer;
  const bool has_bos = tokenizer.add_bos() && tokenizer.bos() >= 0;
  const int64_t slots = engine.model->shape().trained_window_tokens - (has_bos ? 1 : 0);
  const auto fitting = [](int64_t n) { return std::clamp<int64_t>(n / 64 * 64, 64, kUsualTokens); };
  options.full_depth = options.full_depth || options.pages;
  int64_t& chunk = options.chunk_tokens;
  int64_t& cache = options.cache_tokens;
  if (!find_policy(options.policy)->carries()) {
    if (cache == 0) cache = kUsualTokens;  // no cache is made, but the settings need a number
    if (chunk == 0) chunk = fitting(slots - options.overlap_tokens);
    if (options.overlap_is_open()) options.overlap_tokens = std::min(options.overlap_tokens, chunk);
  }
  if (cache == 0) cache = fitting(chunk == 0 ? slots / 2 : slots - chunk);
  if (chunk == 0) chunk = fitting(slots - cache);
  return options;
}

// The heads that the call asks for by a file or a depth, if it does.
Result<std::optional<HeadSet>> asked_heads(const IngestCall& call) {
  if (call.engine.options.heads_file.empty() && call.options.depth.empty()) return std::optional<HeadSet>();
  TRY_ASSIGN(HeadSet set, call.engine.resolve_heads(call.options.depth, call.progress, call.cancel));
  return std::optional(std::move(set));
}

Status warn_of_kept(const IngestCall& call, const ContextSettings& settings) {
  TRY_ASSIGN(const auto heads, asked_heads(call));
  const std::string kept = kept_settings(call.options, heads ? &*heads : nullptr, settings);
  if (kept.empty()) return {};
  call.engine.remark(LogLevel::kWarning, fmt::format("context '{}' keeps what it was begun with: {}; --replace begins "
                                                     "it anew",
                                                     call.name, kept));
  return {};
}

Result<bool> are_as_asked(const IngestCall& call, const ContextSettings& s) {
  const Engine::Impl& engine = call.engine;
  const IngestOptions& options = call.options;
  TRY_ASSIGN(const auto heads, asked_heads(call));
  if (heads && (heads->heads != s.heads || heads->maps != s.maps)) return false;
  return s.fp8_products == engine.fp8_products() && s.full_depth == options.full_depth && s.pages == options.pages &&
         s.policy == options.policy && s.chunk_tokens == options.chunk_tokens &&
         s.cache_tokens == options.cache_tokens && s.sink_tokens == options.sink_tokens &&
         s.overlap_tokens == options.overlap_tokens && s.lossy == options.lossy &&
         same_encoding(s.encoding, canonical_encoding(options.encoding));
}

Result<Reservation> reserve_reading(const IngestCall& call, int64_t bytes) {
  MemoryAccount& account = call.engine.account;
  MemoryPlan plan = in_use(account);
  plan[MemoryCategory::kTokens] += bytes;
  TRY(plan.check(
      account.cap_bytes(),
      "that is for reading the text, and running the model needs more: a larger --max-host-memory would fit"));
  return Reservation::create(account, MemoryCategory::kTokens, bytes);
}

// Compares the texts of the complete calls, one after the other, with these sources.
Result<TextMatch> compare_texts(const IngestCall& call, const ContextMeta& stored) {
  TRY_ASSIGN(const ProgressState state, parse_progress(stored.progress, call.name));
  TRY_ASSIGN(const auto reading, reserve_reading(call, SourceReader::most_bytes(call.sources, /*converts=*/false)));
  TRY_ASSIGN(const ContextSettings settings, parse_settings(stored.settings, call.name));
  TRY_ASSIGN(auto reader, SourceReader::open_bytes(call.sources, settings.encoding, call.cancel));
  std::string_view block;
  for (const SourceHash& part : state.read) {
    RunningHash hash;
    for (int64_t left = part.bytes; left > 0;) {
      if (block.empty()) {
        TRY_ASSIGN(block, reader->next());
        if (block.empty()) return TextMatch::kOther;
      }
      const std::string_view piece = block.substr(0, size_t(std::min<int64_t>(left, int64_t(block.size()))));
      hash.add(piece.data(), piece.size());
      left -= int64_t(piece.size());
      block.remove_prefix(piece.size());
    }
    if (hash.hex() != part.xxh3_128) return TextMatch::kOther;
  }
  if (block.empty()) {
    TRY_ASSIGN(block, reader->next());
  }
  return block.empty() ? TextMatch::kSame : TextMatch::kPrefix;
}

// Reads the target's text up to token target.start. Returns whether it equals the committed text, up to there and
// beyond.
Result<bool> skip_committed(const IngestTarget& target) {
  TokenPump& pump = *target.pump;
  for (int64_t left = target.start - target.state.part.begin_tokens; left > 0;) {
    TRY(pump.fill(1));
    if (pump.waiting() == 0) return false;
    const int64_t n = std::min(left, pump.waiting());
    pump.take(n);
    left -= n;
  }
  const int64_t n_committed = target.stored->n_tokens;
  const int64_t beyond = n_committed - target.start;
  TRY(pump.fill(beyond));
  if (pump.waiting() < beyond) return false;
  return n_committed == target.state.part.begin_tokens || pump.hash_with(beyond) == target.state.committed_hash;
}

Status check_same_encoding(const IngestCall& call, const ContextSettings& stored) {
  const std::string asked = canonical_encoding(call.options.encoding);
  if (call.options.encoding.empty() || same_encoding(asked, stored.encoding)) return {};
  return {Code::kUsage,
          fmt::format("context '{}' was read as {}, and --encoding says {}; leave that out, convert the text, or use "
                      "--replace or another name",
                      call.name, shown_encoding(stored.encoding), shown_encoding(asked))};
}

Status use_stored(const IngestCall& call, const ContextMeta& meta, IngestTarget& target) {
  TRY_ASSIGN(target.settings, parse_settings(meta.settings, call.name));
  TRY(check_same_encoding(call, target.settings));
  TRY(check_model(target.settings, meta, call.engine, "use that one, --replace, or another name"));
  if (target.settings.pages) TRY(check_pages_possible(call.engine));
  TRY_ASSIGN(target.state, parse_progress(meta.progress, call.name));
  TRY_ASSIGN(target.sources_before, parse_sources(meta.sources, call.name));
  return {};
}

Result<StoredFacts> facts_of(const IngestCall& call, const ContextEntry& entry, Which which) {
  StoredFacts facts;
  const bool replaces = call.options.on_existing == IngestOptions::OnExisting::kReplace;
  if (which == Which::kReplacement && !replaces) return facts;  // its existence is enough
  facts.complete = entry.meta.complete;
  if (entry.busy) {
    const Status held = call.store.contexts->open_writer(call.name, which, {.may_evict = false}).status();
    facts.usable = held.ok() ? changed_meanwhile(call.name) : meanwhile(held, call.name);  // says who holds it
    return facts;
  }
  IngestTarget stored;
  facts.usable = entry.state.ok() ? use_stored(call, entry.meta, stored) : entry.state;
  if (!facts.usable.ok()) return facts;
  facts.appended = stored.state.part.source_begin_byte > 0;
  facts.can_append = stored.state.can_append;
  if (replaces && (which == Which::kReplacement || !facts.complete)) {
    TRY_ASSIGN(facts.as_asked, are_as_asked(call, stored.settings));
  }
  return facts;
}

// Host memory of reading the text and noting how far it is read, whatever the text is. most_wanted: tokens that wait at
// most for a chunk.
int64_t most_reading_bytes(const IngestCall& call, const IngestTarget& target, int64_t most_wanted) {
  const ContextSettings& s = target.settings;
  const bool converts = !s.encoding.empty();
  // Of two chunks: the last one, whose rows are not written yet, and the next; and the overlap with what is added to
  // it.
  const int64_t chunk_bytes = s.chunk_tokens * (2 * 8 + 2 * 4) + s.overlap_tokens * 2 * 4;
  int64_t bytes =
      SourceReader::most_bytes(call.sources, converts) + chunk_bytes +
      TokenPump::most_bytes(*call.engine.tokenizer, s.lossy, converts, most_wanted) +
      most_progress_bytes(TokenStream::most_held_bytes(), converts ? OffsetMap::kMostRuns : 0, s.chunk_tokens);
  for (const SourceFile& file : target.sources_before) bytes += listed_bytes(file.name);
  return bytes;
}

Status open_text(const IngestCall& call, IngestTarget& target) {
  const PartStart& part = target.state.part;
  bool& lossy = target.settings.lossy;
  lossy = lossy || call.options.lossy;  // valid text reads the same either way, so a later call may add it
  // A resume compares what was committed after the checkpoint, all at once.
  const int64_t n_committed = target.stored ? std::max<int64_t>(0, target.stored->n_tokens - target.start) : 0;
  const int64_t most_wanted = std::max({target.settings.chunk_tokens, kMostWhiteTokens, n_committed});
  target.pump.reset();
  target.reading = {};
  target.reading_bytes = most_reading_bytes(call, target, most_wanted);
  TRY_ASSIGN(target.reading, reserve_reading(call, target.reading_bytes));
  TRY_ASSIGN(const StoreLimit limit, call.store.contexts->limit());
  if (limit.max_bytes > 0 && limit.evict) {
    TRY_ASSIGN(const int64_t n,
               count_tokens(*call.engine.tokenizer, call.sources, part, target.settings, most_wanted, call.cancel));
    target.n_total = n == kUnknownTokens ? n : part.begin_tokens + n;
  }
  TRY_ASSIGN(auto reader,
             SourceReader::open(call.sources, part.source_begin_byte, lossy, call.cancel, target.settings.encoding));
  TRY_ASSIGN(target.pump, TokenPump::start(*call.engine.tokenizer, std::move(reader), part, lossy, most_wanted));
  return {};
}

Status empty_text(const IngestCall& call) {
  return {Code::kBadText, fmt::format("{}: the text is empty", call.sources[0].path)};
}

// Reads on until there is more than white space, so that nothing is begun or cut back for a stream of nothing else.
Status read_beginning(TokenPump& pump) {
  do {
    TRY(pump.fill(pump.waiting() + 1));
  } while (!pump.reader().saw_text() && !pump.ended() && pump.waiting() < kMostWhiteTokens);
  return {};
}

Result<IngestTarget> begin(IngestCall& call, Which which) {
  Stopwatch watch;
  const Engine::Impl& engine = call.engine;
  const IngestOptions& options = call.options;
  TRY(check_policy(*find_policy(options.policy), *engine.device));
  if (options.pages) TRY(check_pages_possible(engine));
  IngestTarget target;
  target.which = which;
  target.settings = {.model_fingerprint = engine.info.fingerprint,
                     .model_name = engine.info.name,
                     .model_path = engine.info.path,
                     .architecture = engine.info.architecture,
                     .policy = options.policy,
                     .chunk_tokens = options.chunk_tokens,
                     .cache_tokens = options.cache_tokens,
                     .sink_tokens = options.sink_tokens,
                     .overlap_tokens = options.overlap_tokens,
                     .lossy = options.lossy,
                     .encoding = canonical_encoding(options.encoding),
                     .heads = {},
                     .maps = {},
                     .head_dim = engine.model->shape().head_dim,
                     .kv_type = engine.kv_type_name(),
                     .full_depth = options.full_depth,
                     .pages = options.pages,
                     .fp8_products = engine.fp8_products()};
  TRY(open_text(call, target));
  TRY(read_beginning(*target.pump));
  if (target.pump->waiting() == 0) return empty_text(call);
  call.tokenise_ms += watch.lap_ms();
  TRY_ASSIGN(HeadSet set, call.engine.resolve_heads(options.depth, call.progress, call.cancel));
  target.settings.heads = std::move(set.heads), target.settings.maps = std::move(set.maps);
  call.heads_ms += watch.lap_ms();
  return target;
}

Result<IngestTarget> open_append(const IngestCall& call, const ContextMeta& then) {
  IngestTarget target;
  TRY(use_stored(call, then, target));
  target.state.part = target.state.append;
  target.start = target.state.part.begin_tokens;
  target.stored = then;
  TRY(open_text(call, target));
  TRY(read_beginning(*target.pump));
  return target;
}

// Reads the text as far as an unfinished context has it committed, so that a resume can go on from there.
Result<TextMatch> open_unfinished(IngestCall& call, Which which, IngestTarget& target) {
  Stopwatch watch;
  target.which = which;
  std::vector<int64_t> checkpoints;
  {
    const auto opened = call.store.contexts->open_reader(call.name, which);
    TRY(meanwhile(opened.status(), call.name));
    const auto& reader = opened.value();
    TRY_ASSIGN(checkpoints, reader->checkpoints());
    target.stored = reader->meta();
  }
  const ContextMeta& meta = *target.stored;
  TRY(use_stored(call, meta, target));
  ProgressState& state = target.state;
  if (meta.complete && !state.read.empty()) state.read.pop_back();  // complete, but stopped before it took its place
  std::erase_if(target.sources_before,
                [&](const SourceFile& f) { return f.begin_byte >= state.part.source_begin_byte; });
  target.start = resume_start(checkpoints, meta.n_tokens, target.settings.chunk_tokens, state);
  TRY(open_text(call, target));
  TRY_ASSIGN(const bool same, skip_committed(target));
  call.tokenise_ms += watch.lap_ms();
  return same ? TextMatch::kPrefix : TextMatch::kOther;
}

// Takes back what the call that was stopped has added.
Status cut_back(const IngestCall& call, IngestTarget target) {
  const auto opened = call.store.contexts->open_writer(call.name, target.which, {.may_evict = false});
  TRY(meanwhile(opened.status(), call.name));
  const auto& writer = opened.value();
  TRY(check_unchanged(*target.stored, writer->meta()));
  target.state.can_append = false;
  target.state.append = {};
  return writer->truncate(target.state.part.begin_tokens, to_json(target.sources_before), to_json(target.state));
}

Result<IngestResult> result_of(IngestCall& call, Outcome outcome) {
  IngestResult r;
  const auto found = call.store.contexts->find(call.name);
  if (found.status().code == Code::kNotFound)
    return Status{Code::kNotFound,
                  fmt::format("context '{}' is finished, but another process has removed it", call.name)};
  TRY(found);
  r.context = describe(found.value());
  r.outcome = outcome;
  r.tokens_run = call.n_run;
  r.evicted = std::move(call.evicted);
  r.timings.prompt_n = call.n_run;
  r.timings.prompt_ms = call.compress_ms;
  r.timings.phases_ms = {{"tokenise_ms", call.tokenise_ms},
                         {"compress_ms", call.compress_ms},
                         {"store_ms", call.store_ms},
                         {"heads_ms", call.heads_ms}};
  r.timings.total_ms = call.tokenise_ms + call.compress_ms + call.store_ms + call.heads_ms;
  r.memory = memory_report(call.engine, &call.store.account);
  return r;
}

// `target` is what a comparison opened; an append uses `current`.
Result<IngestResult> carry_out(IngestCall& call, const IngestDecision& decision, const ContextMeta& current,
                               IngestTarget target) {
  Outcome outcome = Outcome::kAppended;
  if (decision.action == Action::kNothing) {
    TRY_ASSIGN(const ContextSettings settings, parse_settings(current.settings, call.name));
    TRY(warn_of_kept(call, settings));
    return result_of(call, Outcome::kUnchanged);
  }
  if (decision.action == Action::kBegin) {
    target = {};
    TRY_ASSIGN(target, begin(call, decision.which));
    outcome = decision.which == Which::kReplacement ? Outcome::kReplaced : Outcome::kIngested;
  } else if (decision.action == Action::kResume) {
    outcome = Outcome::kResumed;
  } else if (decision.action == Action::kRestartAppend) {
    target.start = target.state.part.begin_tokens;
    TRY(open_text(call, target));
  } else {
    TRY_ASSIGN(target, open_append(call, current));
  }
  if (decision.action != Action::kBegin) TRY(warn_of_kept(call, target.settings));
  IngestJob job(call, std::move(target));
  TRY(job.run());
  // If this fails, the next process that opens the store does it.
  if (decision.which == Which::kReplacement) (void)call.store.contexts->remove_replaced();
  return result_of(call, outcome);
}

Result<IngestFacts> look_up(const IngestCall& call, ContextMeta& current) {
  IngestFacts facts;
  facts.on_existing = call.options.on_existing;
  facts.reads_stream =
      std::any_of(call.sources.begin(), call.sources.end(), [](const IngestSource& s) { return s.stream != nullptr; });
  for (const Which which : {Which::kCurrent, Which::kReplacement}) {
    const auto entry = call.store.contexts->find(call.name, which);
    if (entry.status().code == Code::kNotFound) continue;
    TRY(entry);
    TRY_ASSIGN(facts.of(which), facts_of(call, entry.value(), which));
    if (which == Which::kCurrent) current = entry.value().meta;
  }
  return facts;
}

std::string names_of(const std::vector<Eviction>& evicted) {
  std::vector<std::string> names;
  names.reserve(evicted.size());
  for (const Eviction& one : evicted) names.push_back(fmt::format("'{}'", one.context));
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<IngestResult> decide_and_carry_out(IngestCall& call) {
  ContextMeta current;
  TRY_ASSIGN(IngestFacts facts, look_up(call, current));
  IngestTarget target;
  for (;;) {
    const IngestDecision decision = decide_ingest(facts, call.name);
    const bool drops = decision.drop_replacement || decision.cut_back;
    if (drops && target.pump != nullptr && target.pump->reader().bytes_read() == 0) return empty_text(call);
    if (decision.drop_replacement) {
      target = {};
      const Status dropped = call.store.contexts->remove(call.name, Which::kReplacement);
      if (dropped.code != Code::kNotFound) TRY(dropped);
    }
    if (decision.cut_back) TRY(cut_back(call, std::exchange(target, {})));
    if (decision.action == Action::kRefuse) return decision.refusal;
    Status failed;
    if (decision.action == Action::kCompare) {
      const bool unfinished = decision.which == Which::kReplacement || !current.complete;
      auto match = unfinished ? open_unfinished(call, decision.which, target) : compare_texts(call, current);
      if (match.ok()) {
        facts.of(decision.which)->text = match.value();
        continue;
      }
      failed = match.status();
    } else {
      auto done = carry_out(call, decision, current, std::exchange(target, {}));
      if (done.ok() || decision.action != Action::kResume) return done;
      failed = done.status();
    }
    // With --replace, a damaged context is treated like one with other text.
    if (failed.code != Code::kCorrupt || facts.on_existing != IngestOptions::OnExisting::kReplace) return failed;
    facts.of(decision.which)->text = TextMatch::kOther;
    call.n_run = 0;
    call.tokenise_ms = call.compress_ms = call.store_ms = call.heads_ms = 0;
  }
}

}  // namespace

Result<IngestResult> ingest(Engine& engine, Store& store, const std::string& name,
                            const std::vector<IngestSource>& sources, const IngestOptions& options,
                            const IngestProgressCallback& progress, const CancelToken* cancel) {
  TRY(options.validate());
  if (store.impl().contexts->find(name).status().code == Code::kNotFound) TRY(check_context_name(name));
  if (sources.empty()) return Status{Code::kUsage, "no text to ingest: name at least one file"};
  TRY_ASSIGN(const auto turn, engine.impl().turns.take(Turns::Kind::kReading, cancel));
  remark_disk(engine.impl(), store.impl());
  const IngestOptions sized = with_sizes(options, engine.impl());
  TRY(sized.validate());
  IngestCall call{engine.impl(), store.impl(), name, sources, sized, progress, cancel, {}};
  TRY(call.store.contexts->check_limit(name));
  auto done = decide_and_carry_out(call);
  if (done.ok()) return done;  // its model was looked at before the last of it was saved
  if (done.status().code == Code::kNoSpace && !call.evicted.empty())
    return Status{Code::kNoSpace,
                  fmt::format("{}; removed before to make room: {}", done.status().message, names_of(call.evicted))};
  return judge(*call.engine.gguf, done.status());
}

}  // namespace reform
