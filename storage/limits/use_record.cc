#include "storage/limits/use_record.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "storage/disk/checked_json.h"
#include "storage/disk/files.h"
#include "storage/disk/ledger.h"

namespace reform {
namespace {

std::string use_path(const std::string& context_dir) { return context_dir + "/use.json"; }

}  // namespace

UseRecord read_use_record(const Disk& disk, const std::string& context_dir) {
  const auto body = read_checked_json(disk, use_path(context_dir));
  if (body.status().code == Code::kNotFound) return {};
  const UseRecord unreadable{.pinned = true, .readable = false};
  if (!body.ok()) return unreadable;
  try {
    return {.pinned = body.value().at("pinned"),
            .last_asked_unix_ms = body.value().at("last_asked_unix_ms"),
            .use_number = body.value().value("use_number", int64_t{0})};
  } catch (const nlohmann::json::exception&) {
    return unreadable;
  }
}

Status write_use_record(const Disk& disk, const std::string& context_dir, const UseRecord& record) {
  return write_checked_json(disk, use_path(context_dir),
                            {{"pinned", record.pinned},
                             {"last_asked_unix_ms", record.last_asked_unix_ms},
                             {"use_number", record.use_number}});
}

bool LastUse::before(const LastUse& other) const {
  // Between two numbers, no time counts.
  const auto place = [](const LastUse& use) { return std::tuple(use.number, use.number == 0 ? use.unix_ms : 0); };
  return place(*this) < place(other);
}

LastUse last_use(const Disk& disk, const std::string& context_dir, const UseRecord& record) {
  LastUse use{record.use_number, record.last_asked_unix_ms};
  if (const auto ledger = read_ledger(disk, context_dir); ledger.ok()) {
    use.number = std::max(use.number, ledger.value().use_number);
  }
  struct stat info;
  if (::stat((context_dir + "/context.json").c_str(), &info) != 0) return use;
  const int64_t made_ms = int64_t(info.st_mtim.tv_sec) * 1000 + info.st_mtim.tv_nsec / 1'000'000;
  use.unix_ms = std::max(use.unix_ms, made_ms);
  return use;
}

int64_t next_use_number(const Disk& disk, const std::string& contexts_dir) {
  const auto ids = list_directory(contexts_dir);
  if (!ids.ok()) return 1;
  int64_t largest = 0;
  for (const std::string& id : ids.value()) {
    const std::string dir = contexts_dir + "/" + id;
    largest = std::max(largest, last_use(disk, dir, read_use_record(disk, dir)).number);
  }
  return std::min(largest, INT64_MAX - 1) + 1;
}

}  // namespace reform
