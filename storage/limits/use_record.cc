#include "storage/limits/use_record.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "storage/disk/checked_json.h"

namespace reform {
namespace {

std::string use_path(const std::string& context_dir) { return context_dir + "/use.json"; }

}  // namespace

UseRecord read_use_record(const Disk& disk, const std::string& context_dir) {
  const auto body = read_checked_json(disk, use_path(context_dir));
  if (body.status().code == Code::kNotFound) return {};
  const UseRecord unreadable{.pinned = true, .last_asked_unix_ms = 0, .readable = false};
  if (!body.ok()) return unreadable;
  try {
    return {body.value().at("pinned"), body.value().at("last_asked_unix_ms"), true};
  } catch (const nlohmann::json::exception&) {
    return unreadable;
  }
}

Status write_use_record(const Disk& disk, const std::string& context_dir, const UseRecord& record) {
  return write_checked_json(disk, use_path(context_dir),
                            {{"pinned", record.pinned}, {"last_asked_unix_ms", record.last_asked_unix_ms}});
}

int64_t last_used_unix_ms(const UseRecord& record, const std::string& context_dir) {
  struct stat info;
  if (::stat((context_dir + "/context.json").c_str(), &info) != 0) return record.last_asked_unix_ms;
  return std::max(record.last_asked_unix_ms, int64_t(info.st_mtim.tv_sec) * 1000 + info.st_mtim.tv_nsec / 1'000'000);
}

}  // namespace reform
