// A context's database, opened as anyone could open it, to write what a store would never write.
#pragma once

#include <rocksdb/db.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "storage/format/chunk_kind.h"
#include "storage/format/schema.h"

namespace reform::test {

class RawDatabase {
 public:
  explicit RawDatabase(const std::string& dir) {
    std::vector<std::string> names;  // by id, the order of their making
    REQUIRE(rocksdb::DB::ListColumnFamilies({}, dir, &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names) families.push_back({name, {}});
    rocksdb::DB* db = nullptr;
    REQUIRE(rocksdb::DB::Open({}, dir, families, &handles_, &db).ok());
    db_.reset(db);
  }
  ~RawDatabase() {
    for (auto* handle : handles_) (void)db_->DestroyColumnFamilyHandle(handle).ok();
  }
  std::string get(schema::Family family, uint64_t block) {
    std::string value;
    REQUIRE(db_->Get({}, handle(family), schema::key_of(block), &value).ok());
    return value;
  }
  void put(schema::Family family, uint64_t block, const std::string& value) {
    REQUIRE(db_->Put({}, handle(family), schema::key_of(block), value).ok());
  }
  void erase(schema::Family family, uint64_t block) {
    REQUIRE(db_->Delete({}, handle(family), schema::key_of(block)).ok());
  }

 private:
  rocksdb::ColumnFamilyHandle* handle(schema::Family family) {
    if (size_t(family) < std::size(schema::kFamilies)) return handles_[1 + size_t(family)];
    const std::string name = find_chunk_kind(family)->name;
    const auto found = std::ranges::find_if(handles_, [&](const auto* h) { return h->GetName() == name; });
    REQUIRE(found != handles_.end());
    return *found;
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace reform::test
