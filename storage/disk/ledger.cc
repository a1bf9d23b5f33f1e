#include "storage/disk/ledger.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/try.h"
#include "storage/disk/checked_json.h"

namespace reform {
namespace {

std::string ledger_path(const std::string& context_dir) { return context_dir + "/context.json"; }

}  // namespace

Status write_ledger(const Disk& disk, const std::string& context_dir, const Ledger& ledger) {
  nlohmann::json body = {{"id", ledger.id},
                         {"name", ledger.name},
                         {"saved_sequence", ledger.saved_sequence},
                         {"saved_tokens", ledger.saved_tokens},
                         {"complete", ledger.complete},
                         {"replaces", ledger.replaces},
                         {"took_over", ledger.took_over},
                         {"version_log", ledger.version_log},
                         {"version_log_bytes", ledger.version_log_bytes},
                         {"use_number", ledger.use_number}};
  if (!ledger.extra_kinds.empty()) body["extra_kinds"] = ledger.extra_kinds;
  return write_checked_json(disk, ledger_path(context_dir), body);
}

uint64_t synced_log_bytes(const Ledger& ledger, const std::string& version_log) {
  if (ledger.version_log.empty() || ledger.version_log_bytes < 0) return UINT64_MAX;
  return ledger.version_log == version_log ? uint64_t(ledger.version_log_bytes) : 0;
}

Result<Ledger> read_ledger(const Disk& disk, const std::string& context_dir) {
  const std::string path = ledger_path(context_dir);
  auto read = read_checked_json(disk, path);
  if (read.status().code == Code::kNotFound) return Status{Code::kCorrupt, path + ": is missing"};
  TRY_ASSIGN(const nlohmann::json body, std::move(read));
  try {
    const Ledger ledger{body.at("id"),
                        body.at("name"),
                        body.at("saved_sequence"),
                        body.at("saved_tokens"),
                        body.at("complete"),
                        body.at("replaces"),
                        body.at("took_over"),
                        body.value("version_log", ""),  // the oldest ledgers have neither
                        body.value("version_log_bytes", int64_t{0}),
                        body.value("extra_kinds", ExtraKinds{}),
                        body.value("use_number", int64_t{0})};
    if (ledger.id == std::filesystem::path(context_dir).filename().string()) return ledger;
    return Status{Code::kCorrupt, path + ": belongs to context " + ledger.id};
  } catch (const nlohmann::json::exception&) {
    return Status{Code::kCorrupt, path + ": lacks a field"};
  }
}

}  // namespace reform
