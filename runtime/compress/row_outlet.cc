#include "runtime/compress/row_outlet.h"

#include "base/try.h"

namespace reform {

Result<std::unique_ptr<RowOutlet>> RowOutlet::create(const Site& site, int64_t max_bytes) {
  std::unique_ptr<RowOutlet> outlet(new RowOutlet(site.device.copies()));
  for (Place& place : outlet->places_) {
    TRY_ASSIGN(place.rows, Buffer<std::byte>::create(site.device.account(), MemoryCategory::kIndex, max_bytes));
    if (outlet->copies_ == nullptr) break;
    TRY_ASSIGN(place.host, PinnedBuffer::create(*outlet->copies_, site.host, MemoryCategory::kIndex, max_bytes));
  }
  return outlet;
}

RowOutlet::~RowOutlet() {
  for (const Place& place : places_) {
    if (place.copy >= 0) (void)copies_->wait_for(place.copy).ok();
  }
}

Result<std::byte*> RowOutlet::begin_call() {
  if (copies_ != nullptr) now_ = 1 - now_;
  Place& place = places_[now_];
  if (place.copy >= 0) TRY(copies_->ops_wait_for(place.copy));
  return place.rows.data();
}

Result<RowsForHost> RowOutlet::end_call(int64_t bytes) {
  Place& place = places_[now_];
  if (copies_ == nullptr) return RowsForHost{{place.rows.data(), size_t(bytes)}, -1};
  TRY_ASSIGN(place.copy, copies_->start(place.host.data(), place.rows.data(), bytes));
  return RowsForHost{{place.host.data(), size_t(bytes)}, place.copy};
}

Status RowOutlet::wait_for(const RowsForHost& rows) {
  return rows.under_way() ? copies_->wait_for(rows.copy) : ok_status();
}

}  // namespace reform
