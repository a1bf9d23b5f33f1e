// contexts/<id>/use.json: what users did with a context. It lies beside the context's data, so exports do not hold it.
// If it cannot be read, the context counts as pinned, since somebody may have pinned it.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>

#include "storage/disk/disk.h"

namespace reform {

struct UseRecord {
  bool pinned = false;             // never evicted
  int64_t last_asked_unix_ms = 0;  // 0: never
  bool readable = true;            // false: counts as pinned, so that no error costs a context
};

// The most that write_use_record() takes on the disk while it writes.
constexpr int64_t kUseRecordBytes = 8192;

UseRecord read_use_record(const Disk& disk, const std::string& context_dir);  // the default if there is none
Status write_use_record(const Disk& disk, const std::string& context_dir, const UseRecord& record);

// When the context was last used: asked, or made (when its ledger was last written), whichever is later.
int64_t last_used_unix_ms(const UseRecord& record, const std::string& context_dir);

}  // namespace reform
