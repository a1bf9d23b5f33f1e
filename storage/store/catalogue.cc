#include "storage/store/catalogue.h"

#include <utf8cpp/utf8.h>

#include <nlohmann/json.hpp>

#include "base/try.h"
#include "storage/disk/checked_json.h"

namespace reform {
namespace {

std::string catalogue_path(const std::string& store_dir) { return store_dir + "/catalogue.json"; }

// JSON holds UTF-8 only. A context whose texts are not UTF-8 is not cached.
bool can_be_json(const ContextMeta& meta) {
  for (const std::string* text : {&meta.name, &meta.settings, &meta.sources, &meta.progress}) {
    if (!utf8::is_valid(text->begin(), text->end())) return false;
  }
  return true;
}

nlohmann::json to_json(const CatalogueEntry& entry) {
  const ContextMeta& m = entry.meta;
  nlohmann::json json = {{"id", m.id},
                         {"name", m.name},
                         {"created_unix_s", m.created_unix_s},
                         {"n_tokens", m.n_tokens},
                         {"complete", m.complete},
                         {"row_bytes", m.row_bytes},
                         {"settings", m.settings},
                         {"sources", m.sources},
                         {"progress", m.progress},
                         {"checkpoint_bytes", entry.checkpoint_bytes},
                         {"stamp", entry.stamp}};
  if (!m.extra_kinds.empty()) json["extra_kinds"] = m.extra_kinds;
  return json;
}

CatalogueEntry from_json(const nlohmann::json& json) {
  CatalogueEntry entry;
  ContextMeta& m = entry.meta;
  m.id = json.at("id");
  m.name = json.at("name");
  m.created_unix_s = json.at("created_unix_s");
  m.n_tokens = json.at("n_tokens");
  m.complete = json.at("complete");
  m.row_bytes = json.at("row_bytes");
  m.extra_kinds = json.value("extra_kinds", ExtraKinds{});
  m.settings = json.at("settings");
  m.sources = json.at("sources");
  m.progress = json.at("progress");
  entry.checkpoint_bytes = json.at("checkpoint_bytes");
  entry.stamp = json.at("stamp");
  return entry;
}

}  // namespace

Catalogue load_catalogue(const Disk& disk, const std::string& store_dir) {
  const auto body = read_checked_json(disk, catalogue_path(store_dir));
  if (!body.ok() || !body.value().is_array()) return {};
  Catalogue catalogue;
  try {
    for (const nlohmann::json& json : body.value()) {
      CatalogueEntry entry = from_json(json);
      catalogue[entry.meta.id] = std::move(entry);
    }
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return catalogue;
}

Status save_catalogue(const Disk& disk, const std::string& store_dir, const Catalogue& catalogue) {
  nlohmann::json body = nlohmann::json::array();
  for (const auto& [id, entry] : catalogue) {
    if (can_be_json(entry.meta)) body.push_back(to_json(entry));
  }
  return write_checked_json(disk, catalogue_path(store_dir), body);
}

}  // namespace reform
