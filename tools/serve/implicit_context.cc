#include "tools/serve/implicit_context.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <utility>

namespace reform::tool {
namespace {

constexpr const char* kNamePrefix = "prompt-";
constexpr int kMostOfOneName = 16;
constexpr size_t kNameDigits = 32, kFileDigits = 16;  // of hashes

std::string hash_of(const std::string& text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// The hashes up to each piece.
std::vector<std::string> chain_of(const std::vector<Piece>& pieces, const std::string& model_fingerprint) {
  std::vector<std::string> chain;
  std::string before = model_fingerprint;
  for (const Piece& piece : pieces) {
    before = hash_of(before + '\0' + piece.name + '\0' + piece.text);
    chain.push_back(before);
  }
  return chain;
}

// The pieces from `first` on, as the streams that an ingest reads.
struct Sources {
  std::vector<std::istringstream> streams;
  std::vector<IngestSource> list;

  Sources(const std::vector<Piece>& pieces, const std::vector<std::string>& files, size_t first) {
    for (size_t i = first; i < pieces.size(); ++i) streams.emplace_back(pieces[i].text);
    for (size_t i = first; i < pieces.size(); ++i) list.push_back({files[i], &streams[i - first]});
  }
};

}  // namespace

bool is_implicit_name(const std::string& name) {
  static const std::regex form(fmt::format("{}[0-9a-f]{{{}}}(-[0-9]+)?", kNamePrefix, kNameDigits));
  return name.size() < 64 && std::regex_match(name, form);
}

void hide_implicit(std::vector<Eviction>& evicted) {
  std::erase_if(evicted, [](const Eviction& e) { return is_implicit_name(e.context); });
}

std::vector<std::string> file_names(const std::vector<Piece>& pieces, const std::string& model_fingerprint) {
  std::vector<std::string> files = chain_of(pieces, model_fingerprint);
  for (size_t i = 0; i < files.size(); ++i) files[i] = pieces[i].name + "#" + files[i].substr(0, kFileDigits);
  return files;
}

KnownContext find_known(const std::vector<ContextInfo>& contexts, const std::vector<std::string>& files) {
  KnownContext best;
  for (const ContextInfo& context : contexts) {
    const size_t n = context.files.size();
    if (!is_implicit_name(context.name) || context.state != "complete" || n == 0 || n > files.size()) continue;
    if (n > best.n_pieces && std::equal(context.files.begin(), context.files.end(), files.begin()))
      best = {context.name, n};
  }
  return best;
}

Result<ReadyContext> make_ready(Engine& engine, Store& store, const KnownContext& known,
                                const std::vector<Piece>& pieces, const std::vector<std::string>& files,
                                const IngestProgressCallback& progress, const CancelToken& cancel) {
  IngestOptions options;
  if (known.n_pieces > 0) {
    options.on_existing = IngestOptions::OnExisting::kAppend;
    Sources more(pieces, files, known.n_pieces);
    const auto grown = ingest(engine, store, known.name, more.list, options, progress, &cancel);
    if (grown.ok()) return ReadyContext{known.name, grown.value().tokens_run};
    // Another process may be changing it, or have removed it.
    const Code code = grown.status().code;
    if (code != Code::kBusy && code != Code::kExists && code != Code::kNotFound) return grown.status();
  }
  options.on_existing = IngestOptions::OnExisting::kRefuse;
  const std::string name = kNamePrefix + chain_of(pieces, engine.model().fingerprint).back();
  for (int i = 1;; ++i) {
    const std::string unused = i == 1 ? name : fmt::format("{}-{}", name, i);
    Sources all(pieces, files, 0);
    const auto made = ingest(engine, store, unused, all.list, options, progress, &cancel);
    if (made.ok()) return ReadyContext{unused, made.value().tokens_run};
    // The one of this name has grown since, or was stopped while it grew.
    if (made.status().code != Code::kExists || i == kMostOfOneName) return made.status();
  }
}

std::vector<std::string> to_remove(const std::vector<ContextInfo>& contexts, int64_t max_bytes,
                                   const std::string& kept) {
  std::vector<const ContextInfo*> implicit;
  int64_t bytes = 0;
  for (const ContextInfo& context : contexts) {
    if (!is_implicit_name(context.name)) continue;
    bytes += context.disk_bytes;
    if (context.name != kept && !context.pinned) implicit.push_back(&context);
  }
  const auto last_used = [](const ContextInfo* c) { return std::max(c->last_asked_unix_s, c->created_unix_s); };
  std::ranges::stable_sort(implicit, {}, last_used);
  std::vector<std::string> names;
  for (const ContextInfo* context : implicit) {
    if (bytes <= max_bytes) break;
    bytes -= context->disk_bytes;
    names.push_back(context->name);
  }
  return names;
}

}  // namespace reform::tool
