#include "runtime/jobs/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/parse_json.h"
#include "base/try.h"
#include "runtime/compress/embedding.h"
#include "runtime/model/model.h"

namespace reform {

using nlohmann::json;

namespace {

constexpr const char* kFp8Products = "fp8";  // on disk; without FP8 products there is no such key

// Names the keys without which a reader would take the context for another one: it would append other tokens, rows or
// caches. A program that does not know one of them refuses the context. Other keys that it does not know it keeps.
constexpr const char* kMustUnderstand = "must_understand";
constexpr std::string_view kKnownKeys[] = {
    "model", "policy", "chunk_tokens", "cache_tokens", "sink_tokens", "overlap_tokens", "lossy", "encoding",
    "heads", "maps",   "head_dim",     "embedding",    "kv_type",     "full_depth",     "pages", "products"};

// Throws the library's exception if the list is none.
Status check_understood(const json& root, const std::string& context) {
  if (!root.contains(kMustUnderstand)) return {};
  for (const auto& key : root.at(kMustUnderstand).get<std::vector<std::string>>()) {
    if (std::ranges::find(kKnownKeys, key) != std::end(kKnownKeys)) continue;
    return {Code::kCorrupt, fmt::format("context '{}' was made by a newer reform: its settings need \"{}\", which this "
                                        "program does not know; use a newer reform (or the data is damaged)",
                                        context, key)};
  }
  return {};
}

// As in "SmolLM2 135M (/models/smollm2.gguf)", with the fingerprint instead of an unknown path.
std::string describe_model(const ContextSettings& s) {
  return fmt::format("{} ({})", s.model_name,
                     s.model_path.empty() ? "fingerprint " + s.model_fingerprint : s.model_path);
}

}  // namespace

std::string to_json(const ContextSettings& s) {
  nlohmann::ordered_json root;
  root["model"] = {{"fingerprint", s.model_fingerprint},
                   {"name", s.model_name},
                   {"path", s.model_path},
                   {"architecture", s.architecture}};
  root["policy"] = s.policy;
  root["chunk_tokens"] = s.chunk_tokens;
  root["cache_tokens"] = s.cache_tokens;
  root["sink_tokens"] = s.sink_tokens;
  root["overlap_tokens"] = s.overlap_tokens;
  root["lossy"] = s.lossy;
  std::vector<std::string> must_understand;
  const auto set_needed = [&](const char* key, const auto& value) {
    root[key] = value;
    must_understand.emplace_back(key);
  };
  if (!s.encoding.empty()) set_needed("encoding", s.encoding);
  for (const HeadRef& h : s.heads) root["heads"].push_back(to_string(h));
  if (!s.maps.empty()) root["maps"] = maps_json(s.maps);
  root["head_dim"] = s.head_dim;
  root["embedding"] = s.embedding;
  root["kv_type"] = s.kv_type;
  if (s.full_depth) set_needed("full_depth", true);
  if (s.pages) set_needed("pages", true);
  if (s.fp8_products) set_needed("products", kFp8Products);
  if (!must_understand.empty()) root[kMustUnderstand] = must_understand;
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<ContextSettings> parse_settings(const std::string& text, const std::string& context) {
  const auto bad = [&](const std::string& what) {
    return Status{Code::kCorrupt, fmt::format("context '{}': its settings are damaged: {}", context, what)};
  };
  ContextSettings s;
  try {  // the library's accessors throw on a missing key or another kind; caught below
    const json root = parse_json(text);
    TRY(check_understood(root, context));
    const json& model = root.at("model");
    model.at("fingerprint").get_to(s.model_fingerprint);
    model.at("name").get_to(s.model_name);
    model.at("path").get_to(s.model_path);
    model.at("architecture").get_to(s.architecture);
    root.at("policy").get_to(s.policy);
    s.chunk_tokens = parse_integer(root.at("chunk_tokens"));
    s.cache_tokens = parse_integer(root.at("cache_tokens"));
    s.sink_tokens = parse_integer(root.at("sink_tokens"));
    s.overlap_tokens = parse_integer(root.at("overlap_tokens"));
    root.at("lossy").get_to(s.lossy);
    if (root.contains("encoding")) root.at("encoding").get_to(s.encoding);
    s.head_dim = parse_integer(root.at("head_dim"));
    root.at("embedding").get_to(s.embedding);
    root.at("kv_type").get_to(s.kv_type);
    if (root.contains("full_depth")) root.at("full_depth").get_to(s.full_depth);
    if (root.contains("pages")) root.at("pages").get_to(s.pages);
    if (root.contains("products")) {
      if (root.at("products") != kFp8Products) return bad("unknown products");
      s.fp8_products = true;
    }
    for (const json& entry : root.at("heads")) {
      TRY_ASSIGN(const HeadRef head, parse_head(entry.get<std::string>()));
      s.heads.push_back(head);
    }
    if (root.contains("maps")) {
      auto maps = parse_maps(root.at("maps"), "maps", s.heads.size());
      if (!maps.ok()) return bad(maps.status().message);
      s.maps = std::move(maps).value();
    }
  } catch (const json::exception& e) {
    return bad(what_is_wrong(e));
  }
  if (s.chunk_tokens == 0 || s.cache_tokens == 0) return bad("chunk or cache of 0 tokens");
  const IngestOptions options{.policy = s.policy,
                              .chunk_tokens = s.chunk_tokens,
                              .cache_tokens = s.cache_tokens,
                              .sink_tokens = s.sink_tokens,
                              .overlap_tokens = s.overlap_tokens};
  if (Status status = options.validate(); !status.ok()) return bad(status.message);
  constexpr int64_t kMaxHeadDim = 1 << 16;
  if (s.heads.empty() || s.head_dim <= 0 || s.head_dim > kMaxHeadDim || s.embedding != "int8")
    return bad("no heads, or an unknown embedding");
  if (s.pages && !s.full_depth) return bad("pages without full_depth");
  if (s.kv_type != "f16" && s.kv_type != "f32") return bad("unknown kv_type " + s.kv_type);
  return s;
}

Result<std::string> with_model_path(const std::string& text, const std::string& path, const std::string& context) {
  TRY(parse_settings(text, context));
  auto root = nlohmann::ordered_json::parse(text);
  root["model"]["path"] = path;
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

CompressOptions compress_options(const ContextSettings& settings, KvView::Type kv_type) {
  return {.policy = find_policy(settings.policy),
          .chunk_tokens = settings.chunk_tokens,
          .cache_tokens = settings.cache_tokens,
          .sink_tokens = settings.sink_tokens,
          .overlap_tokens = settings.overlap_tokens,
          .kv_type = kv_type,
          .page_tokens = settings.pages ? schema::kPageTokens : 0,
          .full_depth = settings.full_depth};
}

ExtraKinds extra_kinds(const ContextSettings& settings, const ModelShape& shape) {
  if (!settings.pages) return {};
  const PageLayout layout = PageLayout::of(shape);
  return {{kPageStates.name, int32_t(layout.states().row_bytes())}, {kPageKeys.name, int32_t(layout.key_bytes())}};
}

Status check_pages_possible(const Engine::Impl& engine) {
  if (!engine.device->is_host()) {
    return {Code::kUnavailable, fmt::format("pages are made on the CPU only, and the model is on {}; use --device cpu",
                                            engine.device->name())};
  }
  const PageLayout layout = PageLayout::of(engine.model->shape());
  const int64_t page_bytes = layout.states().row_bytes() * schema::kPageTokens;
  if (page_bytes <= schema::kMaxBlockBytes) return {};
  return {Code::kUsage, fmt::format("a page of this model has {} bytes, and a store takes {}; ingest without --pages",
                                    page_bytes, schema::kMaxBlockBytes)};
}

Status check_rows(const ContextSettings& settings, const ContextMeta& meta) {
  const int64_t row_bytes = EmbeddingLayout{int64_t(settings.heads.size()), settings.head_dim}.row_bytes();
  if (row_bytes != meta.row_bytes) {
    return {Code::kCorrupt,
            fmt::format("context '{}': rows of {} bytes; its heads give {}", meta.name, meta.row_bytes, row_bytes)};
  }
  for (const ChunkKind* kind : {&kPageStates, &kPageKeys}) {
    if (meta.extra_kinds.contains(kind->name) == settings.pages) continue;
    return {Code::kCorrupt,
            fmt::format("context '{}': its settings say that it {} pages, and it {} \"{}\"", meta.name,
                        settings.pages ? "keeps" : "has no", settings.pages ? "lacks" : "keeps", kind->name)};
  }
  return {};
}

Status check_fingerprint(const ContextSettings& settings, const std::string& context, const std::string& fingerprint,
                         const std::string& path, const std::string& advice) {
  if (fingerprint == settings.model_fingerprint) return {};
  if (path == settings.model_path) {
    return {Code::kWrongModel,
            fmt::format("context '{}' belongs to the model {}, and that file is another model now; say "
                        "with --model where the context's is",
                        context, describe_model(settings))};
  }
  return {Code::kWrongModel, fmt::format("context '{}' belongs to the model {}, not to {}; {}", context,
                                         describe_model(settings), path, advice)};
}

Status check_model(const ContextSettings& settings, const ContextMeta& meta, const Engine::Impl& engine,
                   const std::string& advice) {
  TRY(check_fingerprint(settings, meta.name, engine.info.fingerprint, engine.info.path, advice));
  TRY(check_policy(*find_policy(settings.policy), *engine.device));
  if (settings.kv_type != engine.kv_type_name()) {
    return {Code::kWrongModel, fmt::format("context '{}' was made {}", meta.name,
                                           settings.kv_type == "f32" ? "with --isa ref; give that here, too"
                                                                     : "without --isa ref; leave that out here, too")};
  }
  const ModelShape& shape = engine.model->shape();
  if (settings.head_dim != shape.head_dim) {
    return {Code::kCorrupt, fmt::format("context '{}': its settings say heads of {} dimensions, the model's have {}",
                                        meta.name, settings.head_dim, shape.head_dim)};
  }
  if (const Status heads = check_heads(settings.heads, shape); !heads.ok())
    return {Code::kCorrupt, fmt::format("context '{}': {}", meta.name, heads.message)};
  TRY(check_rows(settings, meta));
  for (const auto& [kind, bytes] : extra_kinds(settings, shape)) {
    const int32_t there = meta.extra_kinds.at(kind);
    if (there == bytes) continue;
    return {Code::kCorrupt,
            fmt::format("context '{}': \"{}\" of {} bytes; the model gives {}", meta.name, kind, there, bytes)};
  }
  return {};
}

}  // namespace reform
