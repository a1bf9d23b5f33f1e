#include "storage/context/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "storage/context/block_stream.h"
#include "storage/context/checkpoint.h"
#include "storage/disk/files.h"
#include "storage/disk/rocksdb_files/live_files.h"
#include "storage/format/block_codec.h"

namespace reform {
namespace {

using schema::Family;
using schema::Kind;

// The most values read together. Small ones (token blocks are about 20 KiB) are many per batch.
constexpr size_t kBatchValues = 256;

// What the system refuses to read (kIo) may be whole.
bool is_damage(const Status& status) { return status.code != Code::kIo; }

// Codes that no damage on the disk can cause: they end the check.
bool ends_check(Code code) {
  return code == Code::kCancelled || code == Code::kMemoryCap || code == Code::kUnavailable || code == Code::kInternal;
}

// What check_live_file() says of a file of that context.
Status of_file(const ContextTag& tag, const Status& checked) {
  if (checked.ok() || ends_check(checked.code)) return checked;
  return {is_damage(checked) ? Code::kCorrupt : checked.code, fmt::format("{}: {}", tag.text(), checked.message)};
}

class Verifier {
 public:
  Verifier(StoredContext& context, const ContextProgressFn& progress, ContextVerdict& verdict)
      : context_(context), db_(context.db()), progress_(progress), verdict_(verdict) {}

  Status run();

 private:
  using Place = std::function<BlockPlace(int64_t i)>;
  using Check = std::function<Status(int64_t i, std::span<const std::byte> payload)>;

  Status note(const Status& status);  // not ok only if the check must end
  Status damaged(const std::string& what) const {
    return {Code::kCorrupt, fmt::format("{}: {}", db_.tag().text(), what)};
  }
  Status advance(int64_t n_bytes);
  Status check_files();
  Status check_kind(const ContextKind& held);
  Status check_checkpoint(const CheckpointRef& ref);
  Status check_values(Family family, Kind kind, int64_t n, const Place& place, const Check& check);

  StoredContext& context_;
  Database& db_;
  const ContextProgressFn& progress_;
  ContextVerdict& verdict_;
  int64_t total_bytes_ = 0;
  // When the files are known to be as they were written, RocksDB need not check the blocks again.
  Database::Checks checks_ = Database::Checks::kRocksdbAndFrame;
};

Status Verifier::note(const Status& status) {
  if (status.ok()) return {};
  if (ends_check(status.code)) return status;
  add_damage(verdict_, status);
  return {};
}

Status Verifier::advance(int64_t n_bytes) {
  verdict_.checked_bytes += n_bytes;
  return progress_ ? progress_(verdict_.meta.name, std::min(verdict_.checked_bytes, total_bytes_), total_bytes_)
                   : Status{};
}

Status Verifier::run() {
  TRY(check_files());
  for (const ContextKind& held : context_.kinds()) TRY(check_kind(held));
  for (const CheckpointRef& ref : context_.state().checkpoints) TRY(check_checkpoint(ref));
  total_bytes_ = verdict_.checked_bytes;
  return advance(0);
}

Status Verifier::check_files() {
  const auto files = db_.live_files(context_.dir());
  if (!files.ok()) return note(files.status());
  bool all_whole = true;
  for (const LiveFile& file : files.value()) {
    total_bytes_ += file.bytes;
    all_whole = all_whole && !file.checksum.empty();
  }
  total_bytes_ *= 2;  // once as files and once as values, which are nearly all of the files
  for (const LiveFile& file : files.value()) {
    const Status checked =
        check_live_file(db_.disk(), context_.dir(), file, [&](int64_t n_bytes) { return advance(n_bytes); });
    TRY(note(of_file(db_.tag(), checked)));
  }
  if (all_whole && verdict_.n_damages == 0) checks_ = Database::Checks::kFrame;
  return {};
}

// Reads values [0, n) in batches. If a batch cannot be read, it reads them one by one, to name each damaged value.
Status Verifier::check_values(Family family, Kind kind, int64_t n, const Place& place, const Check& check) {
  if (n == 0) return {};
  // Twice, as RocksDB copies the values out of what it has read.
  TRY_ASSIGN(const auto memory, Reservation::create(db_.account(), MemoryCategory::kIndex, 2 * kStreamBatchBytes));
  for (int64_t begin = 0; begin < n;) {
    std::vector<BlockPlace> places;
    std::vector<uint64_t> blocks;
    for (int64_t bytes = 0; begin + int64_t(places.size()) < n && places.size() < kBatchValues;) {
      const BlockPlace next = place(begin + int64_t(places.size()));
      bytes += next.payload_bytes;
      if (!places.empty() && bytes > kStreamBatchBytes) break;
      places.push_back(next);
      blocks.push_back(next.block);
    }
    const auto batch = db_.read(family, kind, blocks, checks_);
    for (size_t i = 0; i < places.size(); ++i) {
      const auto look = [&](std::span<const std::byte> payload) -> Status {
        const Status sized = check_size(db_.tag(), kind, places[i], payload.size());
        TRY(note(sized.ok() ? check(begin + int64_t(i), payload) : sized));
        return advance(int64_t(payload.size()));
      };
      if (batch.ok()) {
        TRY(look(batch.value().payloads[i]));
        continue;
      }
      const auto one = db_.read(family, kind, {&blocks[i], 1});
      TRY(one.ok() ? look(one.value().payloads[0]) : note(one.status()));
    }
    begin += int64_t(places.size());
  }
  return {};
}

Status Verifier::check_kind(const ContextKind& held) {
  const BlockMap values = held.values(context_.state().blocks);
  const bool of_tokens = held.kind->shape == ChunkKind::Shape::kTokens;
  SpanChain spans;
  const auto check = [&](int64_t i, std::span<const std::byte> payload) -> Status {
    if (!of_tokens) return {};
    const Status added = spans.add(values.block(i), payload);
    return added.ok() ? added : damaged(added.message);
  };
  TRY(check_values(
      held.kind->family, held.kind->kind, values.n_blocks(), [&](int64_t i) { return held.place(values.block(i)); },
      check));
  if (!of_tokens) return {};
  const auto end_byte = spans.end_byte(values.n_tokens());
  if (!end_byte || *end_byte == context_.state().n_bytes) return {};
  return note(damaged(fmt::format("the token blocks end at byte {} of the text, the state says {}", *end_byte,
                                  context_.state().n_bytes)));
}

Status Verifier::check_checkpoint(const CheckpointRef& ref) {
  TRY(note(read_checkpoint_index(db_, ref).status()));
  return check_values(
      Family::kCheckpoints, Kind::kCheckpointPiece, n_checkpoint_pieces(ref.bytes),
      [&](int64_t i) { return checkpoint_piece(ref, i); },
      [](int64_t, std::span<const std::byte>) { return Status{}; });
}

}  // namespace

void add_damage(ContextVerdict& verdict, Status damage) {
  ++verdict.n_damages;
  std::vector<Status>& listed = verdict.damages;
  if (listed.size() < kDamagesListed) {
    listed.push_back(std::move(damage));
  } else if (is_damage(damage) && std::none_of(listed.begin(), listed.end(), is_damage)) {
    listed.back() = std::move(damage);
  }
}

Status verify_unopened(const Disk& disk, const std::string& dir, const ContextTag& tag, Status why,
                       ContextVerdict& verdict) {
  add_damage(verdict, std::move(why));
  const auto names = list_directory(dir);
  if (!names.ok()) return {};
  for (const std::string& name : names.value()) {
    if (!name.ends_with(".sst")) continue;
    const Status checked = check_live_file(disk, dir, {name, 0, ""}, [](int64_t) { return Status{}; });
    if (ends_check(checked.code)) return checked;
    if (!checked.ok()) add_damage(verdict, of_file(tag, checked));
  }
  return {};
}

Status verify_context(StoredContext& context, const ContextProgressFn& progress, ContextVerdict& verdict) {
  return Verifier(context, progress, verdict).run();
}

}  // namespace reform
