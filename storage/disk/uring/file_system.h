// A rocksdb::FileSystem whose reads, writes and syncs go through io_uring (storage/disk/uring/ring.h); names, locks and
// directories are the wrapped file system's business.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// O_DIRECT wants offsets, lengths and memory in multiples of the disk's blocks: 512 or 4,096 bytes, so this.
constexpr int64_t kDirectAlignment = 4096;

// A file asked for with use_direct_reads or use_direct_writes is opened with O_DIRECT, or without where its file system
// refuses that. Needs a kernel that has io_uring: see ring_refusal(). A thread that can have no ring makes plain calls.
std::shared_ptr<rocksdb::FileSystem> make_uring_file_system(const std::shared_ptr<rocksdb::FileSystem>& wrapped);

}  // namespace reform
