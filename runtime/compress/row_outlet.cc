#include "runtime/compress/row_outlet.h"

#include "base/memory.h"
#include "base/try.h"

namespace reform {
namespace {

class SharedMemoryOutlet final : public RowOutlet {
 public:
  explicit SharedMemoryOutlet(Buffer<std::byte> rows) : rows_(std::move(rows)) {}
  Result<std::byte*> begin_call() override { return rows_.data(); }
  Result<RowsForHost> end_call(int64_t bytes) override {
    return RowsForHost{std::span<const std::byte>(rows_.data(), size_t(bytes)), -1};
  }
  Status wait_for(const RowsForHost&) override { return {}; }

 private:
  Buffer<std::byte> rows_;
};

class CopyingOutlet final : public RowOutlet {
 public:
  static Result<std::unique_ptr<RowOutlet>> create(const Site& site, int64_t max_bytes) {
    auto outlet = std::make_unique<CopyingOutlet>(*site.device.copies());
    for (Place& place : outlet->places_) {
      TRY_ASSIGN(place.rows, Buffer<std::byte>::create(site.device.account(), MemoryCategory::kIndex, max_bytes));
      TRY_ASSIGN(place.host, PinnedBuffer::create(outlet->copies_, site.host, MemoryCategory::kIndex, max_bytes));
    }
    return std::unique_ptr<RowOutlet>(std::move(outlet));
  }
  explicit CopyingOutlet(Copies& copies) : copies_(copies) {}
  ~CopyingOutlet() override {
    for (const Place& place : places_) {
      if (place.copy >= 0) (void)copies_.wait_for(place.copy).ok();
    }
  }

  Result<std::byte*> begin_call() override {
    now_ = 1 - now_;
    Place& place = places_[now_];
    if (place.copy >= 0) TRY(copies_.ops_wait_for(place.copy));
    return place.rows.data();
  }
  Result<RowsForHost> end_call(int64_t bytes) override {
    Place& place = places_[now_];
    TRY_ASSIGN(place.copy, copies_.start(place.host.data(), place.rows.data(), bytes));
    return RowsForHost{{place.host.data(), size_t(bytes)}, place.copy};
  }
  Status wait_for(const RowsForHost& rows) override {
    return rows.under_way() ? copies_.wait_for(rows.copy) : ok_status();
  }

 private:
  struct Place {
    Buffer<std::byte> rows;
    PinnedBuffer host;
    int64_t copy = -1;  // the last copy of `rows`
  };
  Copies& copies_;
  Place places_[2];
  int now_ = 0;
};

}  // namespace

Result<std::unique_ptr<RowOutlet>> RowOutlet::create(const Site& site, int64_t max_bytes) {
  if (!site.device.is_host()) return CopyingOutlet::create(site, max_bytes);
  TRY_ASSIGN(auto rows, Buffer<std::byte>::create(site.device.account(), MemoryCategory::kIndex, max_bytes));
  return std::unique_ptr<RowOutlet>(std::make_unique<SharedMemoryOutlet>(std::move(rows)));
}

}  // namespace reform
