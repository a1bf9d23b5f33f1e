#include "runtime/model/synthetic/image.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace reform {
namespace {

// Larger than any CPU cache, and made within a tenth of a second.
constexpr int64_t kMostPatternBytes = 64 * kMiB;

Status refused(int64_t bytes) {
  return {Code::kMemoryCap, fmt::format("the system has no {} of memory for a synthetic model", format_bytes(bytes))};
}

}  // namespace

Result<std::unique_ptr<SyntheticImage>> SyntheticImage::create(std::string_view name_and_type) {
  std::unique_ptr<SyntheticImage> image(new SyntheticImage());
  TRY_ASSIGN(image->file_, describe_synthetic(name_and_type));
  const SyntheticFile& file = image->file_;
  void* const base =
      mmap(nullptr, size_t(file.total_bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return refused(file.total_bytes);
  image->base_ = static_cast<std::byte*>(base);
  if (mprotect(base, file.begin.size(), PROT_READ | PROT_WRITE) != 0) return refused(int64_t(file.begin.size()));
  std::memcpy(base, file.begin.data(), file.begin.size());
  return image;
}

SyntheticImage::~SyntheticImage() {
  if (base_ != nullptr) munmap(base_, size_t(file_.total_bytes));
}

int64_t SyntheticImage::pattern_bytes() const {
  return materialised_ ? 0 : std::min(kMostPatternBytes, file_.largest_matrix_bytes);
}

const WeightPattern& SyntheticImage::pattern() const {
  std::call_once(pattern_made_, [this] { pattern_ = std::make_unique<WeightPattern>(file_.type, pattern_bytes()); });
  return *pattern_;
}

std::span<const std::byte> SyntheticImage::front(std::span<const std::byte> data) const {
  const bool is_matrix = data.data() >= base_ + file_.begin.size() && data.data() < base_ + file_.total_bytes;
  if (materialised_ || !is_matrix || data.empty()) return data;
  const auto begins_after = [](const std::byte* place, std::span<const std::byte> t) { return place < t.data(); };
  const auto next = std::upper_bound(tensors_.begin(), tensors_.end(), data.data(), begins_after);
  CHECK(next != tensors_.begin());
  const std::span<const std::byte> tensor = *std::prev(next);
  const int64_t begin = data.data() - tensor.data();
  CHECK(begin + int64_t(data.size()) <= int64_t(tensor.size()));
  return pattern().piece(std::prev(next) - tensors_.begin(), begin, int64_t(data.size()));
}

Status SyntheticImage::materialise() {
  if (materialised_) return {};
  if (mprotect(base_, size_t(file_.total_bytes), PROT_READ | PROT_WRITE) != 0) return refused(file_.total_bytes);
  for (const std::span<const std::byte> tensor : tensors_) {
    for (size_t done = 0; done < tensor.size();) {
      const std::span<const std::byte> bytes = front(tensor.subspan(done));
      const auto at = size_t(tensor.data() - base_) + done;
      if (bytes.data() != base_ + at) std::memcpy(base_ + at, bytes.data(), bytes.size());
      done += bytes.size();
    }
  }
  materialised_ = true;
  pattern_.reset();
  return {};
}

}  // namespace reform
