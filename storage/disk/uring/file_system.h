// A rocksdb::FileSystem whose reads, writes and syncs go through io_uring (storage/disk/uring/ring.h). The wrapped file
// system does names, locks and directories.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// O_DIRECT needs offsets, lengths and memory in multiples of the disk's blocks. These are 512 or 4,096 bytes, and 4,096
// fits both.
constexpr int64_t kDirectAlignment = 4096;

// A file asked for with use_direct_reads or use_direct_writes is opened with O_DIRECT, or without it if its file system
// refuses that. Needs a kernel with io_uring: see ring_refusal(). A thread that can have no ring makes plain calls.
std::shared_ptr<rocksdb::FileSystem> make_uring_file_system(const std::shared_ptr<rocksdb::FileSystem>& wrapped);

}  // namespace reform
