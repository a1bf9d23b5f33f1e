// Readers of any number of contexts over a bounded number of open ones. A question about hundreds of contexts would
// otherwise run out of descriptors (an open context takes five and more) or of memory.
#pragma once

#include <reform/status.h>

#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "storage/context/stored_context.h"
#include "storage/store/directory.h"

namespace reform {

// At most this many contexts are open at a time, fewer if the process may open few files.
constexpr int64_t kMostOpenReaders = 16;

class PooledReader;

class ReaderPool : public std::enable_shared_from_this<ReaderPool> {
 public:
  ReaderPool(StoreDirectory dir, DatabaseShare share);

  void make_room();  // for one more open context; closes the one that was not read for longest
  // A reader of a context that was just opened. Where the pool closes it, the next read opens it again. Nothing locks
  // it in between, so that read fails if somebody has meanwhile changed (kBusy) or removed it (kNotFound).
  std::unique_ptr<ContextData> make_reader(StoredContext context);

 private:
  friend class PooledReader;
  using Open =
      std::shared_ptr<StoredContext>;  // shared with a read that is under way, which may outlast its place here
  Result<Open> open(const PooledReader& reader);
  void keep(const PooledReader& reader, Open context);
  void forget(const PooledReader& reader);

  const StoreDirectory dir_;
  const DatabaseShare share_;
  const size_t most_open_;
  std::mutex mutex_;
  std::list<std::pair<const PooledReader*, Open>> open_;  // the last read is last
};

}  // namespace reform
