#include "tools/serve/ingest_upload.h"

#include <reform/generate.h>
#include <reform/text.h>

#include <algorithm>
#include <deque>
#include <istream>
#include <utility>
#include <vector>

#include "tools/serve/implicit_context.h"
#include "tools/serve/job_response.h"
#include "tools/serve/replies.h"

namespace reform::tool {
namespace {

constexpr int64_t kSampleBytes = 16 << 10;
constexpr int kSamples = 8;

// The texts as streams, each of which can be read once.
struct Streams {
  std::deque<SpoolInput> inputs;  // nothing in it moves
  std::deque<std::istream> streams;
  std::vector<IngestSource> sources;

  explicit Streams(const Upload& upload) {
    for (const UploadedText& text : upload.texts) {
      inputs.emplace_back(upload.spool, text.begin_byte, text.end_byte);
      streams.emplace_back(&inputs.back());
      sources.push_back({text.file, &streams.back()});
    }
  }
};

// Without the parts of characters at both ends.
std::string whole_characters(std::string bytes) {
  const auto continues = [](char c) { return (c & 0xC0) == 0x80; };
  size_t end = bytes.size();
  while (end > 0 && continues(bytes[end - 1])) --end;
  bytes.resize(end - std::min<size_t>(end, 1));
  return bytes.substr(size_t(std::ranges::find_if_not(bytes, continues) - bytes.begin()));
}

// How many tokens all texts have, about, by a few samples. 0: nobody knows.
int64_t estimated_tokens(Engine& engine, const Upload& upload) {
  const int64_t n_bytes = upload.spool.size_bytes();
  if (!is_utf8(upload.request.options.encoding)) return 0;
  int64_t n_sampled = 0, n_tokens = 0;
  for (int i = 0; i < kSamples; ++i) {
    std::string sample(size_t(std::min(kSampleBytes, n_bytes)), '\0');
    const auto n = upload.spool.read((n_bytes - int64_t(sample.size())) / kSamples * i, sample.data(), sample.size());
    if (!n.ok()) return 0;
    sample.resize(n.value());
    sample = whole_characters(std::move(sample));
    const auto counted = count_tokens(engine, sample);
    if (!counted.ok()) return 0;
    n_sampled += int64_t(sample.size()), n_tokens += counted.value();
  }
  return n_sampled == 0 ? 0 : int64_t(double(n_tokens) * double(n_bytes) / double(n_sampled));
}

// A stream does not say how long it is, but the upload does.
class Estimate {
 public:
  Estimate(ServerState& state, const std::string& name, const Upload& upload) {
    if (!upload.request.streams) return;
    n_tokens_ = estimated_tokens(state.engine, upload);
    if (upload.request.options.on_existing != IngestOptions::OnExisting::kAppend) return;
    const auto grown = state.store.find(name);
    if (grown.ok() && grown.value().state == "complete") n_tokens_ += grown.value().n_tokens;
  }

  IngestProgress completed(IngestProgress progress) const {
    const bool is_open = progress.tokens_total == 0 && progress.phase != "heads";
    if (!is_open || n_tokens_ == 0) return progress;
    progress.tokens_total = std::max(n_tokens_, progress.tokens_done);
    if (progress.tokens_per_s > 0)
      progress.eta_s = double(progress.tokens_total - progress.tokens_done) / progress.tokens_per_s;
    return progress;
  }

 private:
  int64_t n_tokens_ = 0;
};

}  // namespace

Result<std::string> ingest_upload(ServerState& state, const std::string& name, const Upload& upload,
                                  const Job::Tell& tell, const CancelToken& cancel) {
  const IngestOptions& options = upload.request.options;
  const Estimate estimate(state, name, upload);
  const auto show = [&](const IngestProgress& progress) {
    if (upload.request.streams) tell(sse({{"reform", {{"progress", progress_json(estimate.completed(progress))}}}}));
  };
  const auto read = [&] {
    Streams streams(upload);
    return ingest(state.engine, state.store, name, streams.sources, options, show, &cancel);
  };
  auto result = read();
  // What was begun with other text is dropped now, and a stream that was compared with it has to be read again.
  if (result.status().code == Code::kExists && options.on_existing != IngestOptions::OnExisting::kRefuse)
    result = read();
  if (!result.ok()) return result.status();
  state.metrics.count_read_tokens(result.value().tokens_run);
  hide_implicit(result.value().evicted);
  const Json object = with_header("ingest", ingest_fields(result.value(), {}));
  return upload.request.streams ? sse(object) + kLastEvent : dump(object) + "\n";
}

}  // namespace reform::tool
