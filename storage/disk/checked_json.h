// A JSON file of ours: {"format": 1, "checksum": "<XXH3-64 of body's text>", "body": …}.
#pragma once

#include <reform/status.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "storage/disk/disk.h"

namespace reform {

Status write_checked_json(const Disk& disk, const std::string& path, const nlohmann::json& body);
// kCorrupt unless format, checksum and syntax are right; kNotFound if there is no such file.
Result<nlohmann::json> read_checked_json(const Disk& disk, const std::string& path);

}  // namespace reform
