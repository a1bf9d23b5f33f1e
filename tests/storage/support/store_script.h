// What the fault tests do to a store, step by step. They tell the oracle of each step. They are like a command that is
// run again after every crash until it succeeds.
#pragma once

#include <memory>
#include <string>

#include "storage/disk/disk.h"
#include "tests/storage/support/store_oracle.h"

namespace reform::test {

struct Text {
  std::string name;
  uint64_t seed = 0;
  int64_t n_tokens = 0;
};

class Session {
 public:
  Session(std::string dir, std::shared_ptr<const Disk> disk, Oracle& oracle)
      : dir_(std::move(dir)), disk_(std::move(disk)), oracle_(oracle) {}

  Status open();
  // Ingest, its resume, or an append: whatever is missing until `text` exists and is complete.
  Status write(const Text& text, Which which = Which::kCurrent);
  // Writes up to n_tokens and stops there.
  Status begin(const Text& text, int64_t n_tokens);
  Status replace(const Text& text);  // by `text`
  Status read(const std::string& name);
  Status verify();
  Status export_to_file(const std::string& name);  // beside the store; the file of that name is whole, or there is none
  Status import(const Text& text);                 // from an archive of `text`
  Status evict(const std::string& name, const std::string& pinned);  // by a cap
  Status remove(const std::string& name);
  Status list();
  ContextStore& store() { return *store_; }

 private:
  Result<std::unique_ptr<ContextWriter>> open_or_create(const Text& text, Which which);
  Status go_back(ContextWriter& writer, const Text& text, Which which, int64_t start);
  Status write_chunks(ContextWriter& writer, const Text& text, Which which, int64_t start, int64_t end);
  Status save_checkpoint(ContextWriter& writer, const Text& text, Which which, int64_t n_tokens);
  Status finish(ContextWriter& writer, const Text& text, Which which);

  const std::string dir_;
  const std::shared_ptr<const Disk> disk_;
  Oracle& oracle_;
  MemoryAccount account_;
  std::unique_ptr<ContextStore> store_;
};

// One thing that people do to a store. The fault tests let everything in it go wrong.
struct Scenario {
  const char* name;
  std::vector<Text> before;  // these exist and are complete
  Status (*act)(Session& session);
  bool makes_store = false;  // even the folder above it
  int64_t begun_tokens = 0;  // of `book`, which exists and is not complete
  bool moves_out = true;     // false: the file system cannot move a context to trash/
};
extern const std::vector<Scenario> kScenarios;
extern const Text kBook;

}  // namespace reform::test
