#include "storage/disk/checked_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/parse_json.h"
#include "base/try.h"
#include "storage/format/frame.h"
#include "storage/format/schema.h"

namespace reform {
namespace {

// dump() sorts the keys, so the text of equal values is equal. Bytes that are not UTF-8 cannot be in JSON.
Result<std::string> dump(const nlohmann::json& value) {
  try {
    return value.dump();
  } catch (const nlohmann::json::exception& e) {
    return Status{Code::kInternal, fmt::format("cannot be written as JSON: {}", e.what())};
  }
}

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace

Status write_checked_json(const Disk& disk, const std::string& path, const nlohmann::json& body) {
  TRY_ASSIGN(const std::string text, dump(body));
  nlohmann::json file;
  file["format"] = schema::kFormatVersion;
  file["checksum"] = hex(checksum_bytes(text));
  file["body"] = body;
  TRY_ASSIGN(const std::string whole, dump(file));
  return disk.write_file_atomically(path, whole);
}

Result<nlohmann::json> read_checked_json(const Disk& disk, const std::string& path) {
  TRY_ASSIGN(const std::string text, disk.read_small_file(path));
  const nlohmann::json file = parse_json(text);
  const Status damaged{Code::kCorrupt, path + ": is damaged"};
  if (!file.is_object() || !file.contains("format") || !file["format"].is_number_unsigned()) return damaged;
  const auto format = file["format"].get<uint64_t>();
  TRY(check_format(path, format));
  if (!file.contains("body") || !file.contains("checksum")) return damaged;
  TRY_ASSIGN(const std::string body_text, dump(file["body"]));
  if (file["checksum"] != hex(checksum_bytes(body_text))) return damaged;
  return file["body"];
}

}  // namespace reform
