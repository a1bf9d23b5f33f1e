// contexts/<id>/use.json: what users did with a context. It lies beside the context's data, so exports do not hold it.
// If it cannot be read, the context counts as pinned, since somebody may have pinned it.
//
// Uses (asked, or completed by a writer) are numbered, so that clocks, which jump, do not decide what is evicted. The
// next number is one more than the largest that any context of the store has. Two uses at once may get the same.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>

#include "storage/disk/disk.h"

namespace reform {

struct UseRecord {
  bool pinned = false;             // never evicted
  int64_t last_asked_unix_ms = 0;  // for people; 0: never
  int64_t use_number = 0;          // of the last ask; 0: never, or by an older program
  bool readable = true;            // false: counts as pinned, so that no error costs a context
};

// The most that write_use_record() takes on the disk while it writes.
constexpr int64_t kUseRecordBytes = 8192;

UseRecord read_use_record(const Disk& disk, const std::string& context_dir);  // the default if there is none
Status write_use_record(const Disk& disk, const std::string& context_dir, const UseRecord& record);

// A context's place in the order of uses. One that only older programs used has the number 0, and then its time counts:
// so it comes before all that have a number.
struct LastUse {
  int64_t number = 0;
  int64_t unix_ms = 0;  // for people: asked, or made (when its ledger was last written), whichever is later

  bool before(const LastUse& other) const;
};
LastUse last_use(const Disk& disk, const std::string& context_dir, const UseRecord& record);
// `contexts_dir`: where the store's contexts are.
int64_t next_use_number(const Disk& disk, const std::string& contexts_dir);

}  // namespace reform
