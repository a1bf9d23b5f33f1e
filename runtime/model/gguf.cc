#include "runtime/model/gguf.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <reform/engine.h>
#include <reform/errno_status.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/try.h"
#include "runtime/model/gguf_parser.h"
#include "runtime/model/judge.h"
#include "runtime/model/synthetic/image.h"

namespace reform {
namespace {

using gguf::Kind;
using gguf::Value;

// A read-only mapping of a whole file.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, size_);
    if (fd_ >= 0) ::close(fd_);
  }

  Status open(const std::string& path) {
    // O_NONBLOCK: open() must not wait for a named pipe, which map() refuses.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno_status(errno, path);
    fd_ = fd;
    return map(fd, path);
  }
  // Starts reading the weights in the background; they are all needed soon.
  void read_ahead() const {
    if (data_ != nullptr) madvise(data_, size_, MADV_WILLNEED);
  }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  const std::optional<FileIdentity>& identity() const { return identity_; }
  // By the descriptor, which is what was mapped, and by the path, which may be another file's by now.
  Status check_unchanged(const std::string& path) const {
    if (!identity_) return {};
    struct stat info = {};
    if (fstat(fd_, &info) != 0) return errno_status(errno, path);
    std::string how = difference(*identity_, path);
    if (how.empty()) how = difference(*identity_, FileIdentity::of(info));
    if (how.empty()) return {};
    return {Code::kBadModel, fmt::format("{}: {} while it was in use, so its results may be wrong; run this again once "
                                         "nobody writes to it",
                                         path, how)};
  }
  bool holds(std::span<const std::byte> part) const {
    return part.data() >= bytes().data() && part.data() + part.size() <= bytes().data() + size_;
  }
  Status read(std::span<const std::byte> part, std::byte* to, const std::string& path) const {
    const int64_t offset = part.data() - bytes().data();
    for (size_t done = 0; done < part.size();) {
      const ssize_t n = ::pread(fd_, to + done, part.size() - done, offset + off_t(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status(errno, path + ": cannot be read");
      if (n == 0) {
        return {Code::kBadModel,
                fmt::format("{}: ends at byte {}; it had {} when it was opened", path, offset + int64_t(done), size_)};
      }
      done += size_t(n);
    }
    return {};
  }

 private:
  Status map(int fd, const std::string& path) {
    struct stat info = {};
    if (fstat(fd, &info) != 0) return errno_status(errno, path);
    if (S_ISDIR(info.st_mode)) return errno_status(EISDIR, path);
    if (!S_ISREG(info.st_mode)) return {Code::kBadModel, path + ": is not a regular file, expected a GGUF file"};
    identity_ = FileIdentity::of(info);
    if (info.st_size == 0) return {};  // bytes() is empty, which the parser reports
    void* data = mmap(nullptr, size_t(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return errno_status(errno, path + ": cannot be mapped");
    data_ = data, size_ = size_t(info.st_size);
    return {};
  }

  void* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
  std::optional<FileIdentity> identity_;
};

// The elements of an array value. The parser has checked it, but whoever writes to the file changes the mapping, too:
// no more elements than there is room for.
struct Elements {
  Kind kind;
  uint64_t n;
  std::span<const std::byte> bytes;
};

constexpr size_t kArrayHeaderBytes = 4 + 8;
constexpr uint32_t kLeastElemBytes = 8;  // of a text: its length

Elements elements(const Value& array) {
  Elements e = {};
  gguf::Cursor cursor(array.bytes);
  uint32_t kind = 0;
  CHECK(cursor.read(kind) && cursor.read(e.n));
  if (kind >= uint32_t(Kind::kCount)) return {Kind::kU8, 0, {}};
  e.kind = Kind(kind), e.bytes = array.bytes.subspan(kArrayHeaderBytes);
  const uint32_t elem_bytes = gguf::info(e.kind).bytes;
  e.n = std::min<uint64_t>(e.n, e.bytes.size() / (elem_bytes > 0 ? elem_bytes : kLeastElemBytes));
  return e;
}

// An array's elements, or a scalar as the one element.
Elements as_elements(const Value& value) {
  return value.kind == Kind::kArray ? elements(value) : Elements{value.kind, 1, value.bytes};
}

std::string kind_name(const Value& value) {
  if (value.kind != Kind::kArray) return gguf::info(value.kind).name;
  return fmt::format("array of {}", gguf::info(elements(value).kind).name);
}

double load_float(Kind kind, const std::byte* at) {
  if (kind == Kind::kF64) {
    double value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  float value;
  std::memcpy(&value, at, sizeof(value));
  return double(value);
}

}  // namespace

struct Gguf::Impl {
  std::string label;
  Mapping mapping;
  std::unique_ptr<SyntheticImage> synthetic;  // instead of the mapping
  std::span<const std::byte> image;
  gguf::Tables tables;

  const Value* find(std::string_view key) const {
    const int64_t at = gguf::find_name(tables.keys, key);
    return at < 0 ? nullptr : &tables.values[size_t(at)];
  }
  Status wrong_kind(std::string_view key, const Value& value, const char* expected) const {
    return {Code::kBadModel, fmt::format("{}: metadata key {} is of kind {}, expected {}", label, gguf::in_quotes(key),
                                         kind_name(value), expected)};
  }
  Status no_text(std::string_view key) const {
    return {Code::kBadModel, fmt::format("{}: metadata key {}: its text passes its end", label, gguf::in_quotes(key))};
  }
  // The elements as integers; booleans as 0 and 1.
  Result<std::vector<int64_t>> ints(std::string_view key, const Elements& e) const;
  Status open_synthetic(std::string_view name_and_type);
};

Result<std::vector<int64_t>> Gguf::Impl::ints(std::string_view key, const Elements& e) const {
  std::vector<int64_t> out(e.n);
  const uint32_t elem_bytes = gguf::info(e.kind).bytes;
  for (uint64_t i = 0; i < e.n; ++i) {
    if (gguf::read_int(e.kind, e.bytes.data() + i * elem_bytes, out[i])) continue;
    return Status{Code::kBadModel, fmt::format("{}: metadata key {}: value {} is {}, past the largest int64", label,
                                               gguf::in_quotes(key), i, uint64_t(out[i]))};
  }
  return out;
}

Status Gguf::Impl::open_synthetic(std::string_view name_and_type) {
  TRY_ASSIGN(synthetic, SyntheticImage::create(name_and_type));
  image = synthetic->bytes();
  TRY(gguf::parse(image, label, tables));
  std::vector<std::span<const std::byte>> places;
  for (const GgufTensor& tensor : tables.tensors) places.push_back(tensor.data);
  synthetic->set_tensors(std::move(places));
  return {};
}

Gguf::Gguf(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gguf::~Gguf() = default;

Result<std::unique_ptr<Gguf>> Gguf::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->label = path;
  if (path.starts_with(kSyntheticModel)) {
    TRY(impl->open_synthetic(std::string_view(path).substr(kSyntheticModel.size())));
    return std::unique_ptr<Gguf>(new Gguf(std::move(impl)));
  }
  TRY(impl->mapping.open(path));
  impl->image = impl->mapping.bytes();
  std::unique_ptr<Gguf> gguf(new Gguf(std::move(impl)));
  TRY(judge(*gguf, gguf::parse(gguf->impl_->image, path, gguf->impl_->tables)));
  gguf->impl_->mapping.read_ahead();
  return gguf;
}

Result<std::unique_ptr<Gguf>> Gguf::parse(std::span<const std::byte> bytes, const std::string& label) {
  auto impl = std::make_unique<Impl>();
  impl->label = label;
  impl->image = bytes;
  TRY(gguf::parse(bytes, label, impl->tables));
  return std::unique_ptr<Gguf>(new Gguf(std::move(impl)));
}

const std::optional<FileIdentity>& Gguf::identity() const { return impl_->mapping.identity(); }
Status Gguf::check_unchanged() const { return impl_->mapping.check_unchanged(impl_->label); }

const std::string& Gguf::path() const { return impl_->label; }
std::string Gguf::absolute_path() const {
  if (is_synthetic()) return impl_->label;
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(impl_->label, error);
  return error ? impl_->label : absolute.string();
}

std::span<const std::byte> Gguf::bytes_at(std::span<const std::byte> data) const {
  return is_synthetic() ? impl_->synthetic->front(data) : data;
}

bool Gguf::is_synthetic() const { return impl_->synthetic != nullptr; }
int64_t Gguf::made_bytes() const { return is_synthetic() ? impl_->synthetic->pattern_bytes() : 0; }
Status Gguf::materialise() const { return is_synthetic() ? impl_->synthetic->materialise() : Status{}; }

int64_t Gguf::file_bytes() const { return int64_t(impl_->image.size()); }
const std::vector<GgufTensor>& Gguf::tensors() const { return impl_->tables.tensors; }
const std::vector<Gguf::RawEntry>& Gguf::raw_entries() const { return impl_->tables.entries; }
Status Gguf::read(std::span<const std::byte> data, std::byte* to) const {
  if (impl_->mapping.holds(data)) return impl_->mapping.read(data, to, impl_->label);
  for (size_t done = 0; done < data.size();) {
    const std::span<const std::byte> bytes = bytes_at(data.subspan(done));
    std::memcpy(to + done, bytes.data(), bytes.size());
    done += bytes.size();
  }
  return {};
}

bool Gguf::has(std::string_view key) const { return impl_->find(key) != nullptr; }

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  const int64_t at = gguf::find_name(impl_->tables.tensor_names, name);
  return at < 0 ? nullptr : &impl_->tables.tensors[size_t(at)];
}

Result<std::optional<int64_t>> Gguf::get_int(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<int64_t>();
  if (!gguf::is_integer(value->kind)) return impl_->wrong_kind(key, *value, "an integer");
  TRY_ASSIGN(const auto ints, impl_->ints(key, as_elements(*value)));
  return std::optional<int64_t>(ints[0]);
}

Result<std::optional<double>> Gguf::get_float(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<double>();
  if (!gguf::is_float(value->kind)) return impl_->wrong_kind(key, *value, "a float");
  return std::optional<double>(load_float(value->kind, value->bytes.data()));
}

Result<std::optional<bool>> Gguf::get_bool(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<bool>();
  if (value->kind != Kind::kBool) return impl_->wrong_kind(key, *value, "a boolean");
  return std::optional<bool>(value->bytes[0] != std::byte{0});
}

Result<std::optional<std::string_view>> Gguf::get_string(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (value->kind != Kind::kString) return impl_->wrong_kind(key, *value, "text");
  std::string_view text;
  if (!gguf::Cursor(value->bytes).read_string(text)) return impl_->no_text(key);
  return std::optional<std::string_view>(text);
}

Result<std::optional<std::vector<std::string_view>>> Gguf::get_strings(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<std::vector<std::string_view>>();
  if (value->kind != Kind::kArray || elements(*value).kind != Kind::kString) {
    return impl_->wrong_kind(key, *value, "array of text");
  }
  const Elements e = elements(*value);
  std::vector<std::string_view> out(e.n);
  gguf::Cursor cursor(e.bytes);
  for (std::string_view& text : out)
    if (!cursor.read_string(text)) return impl_->no_text(key);
  return std::optional(std::move(out));
}

Result<std::optional<std::vector<int64_t>>> Gguf::get_ints(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<std::vector<int64_t>>();
  const Elements e = as_elements(*value);
  const bool booleans = value->kind == Kind::kArray && e.kind == Kind::kBool;
  if (!gguf::is_integer(e.kind) && !booleans) return impl_->wrong_kind(key, *value, "integers");
  TRY_ASSIGN(auto ints, impl_->ints(key, e));
  return std::optional(std::move(ints));
}

Result<std::optional<std::vector<double>>> Gguf::get_floats(std::string_view key) const {
  const Value* value = impl_->find(key);
  if (value == nullptr) return std::optional<std::vector<double>>();
  const Elements e = as_elements(*value);
  if (!gguf::is_float(e.kind)) return impl_->wrong_kind(key, *value, "floats");
  std::vector<double> out(e.n);
  for (uint64_t i = 0; i < e.n; ++i) out[i] = load_float(e.kind, e.bytes.data() + i * gguf::info(e.kind).bytes);
  return std::optional(std::move(out));
}

}  // namespace reform
