#include "runtime/model/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/try.h"

namespace reform::gguf {
namespace {

constexpr uint32_t kDefaultAlignment = 32;
// The format asks for a power of two that is a multiple of 8, so that tensors can be read in place. A value above the
// maximum is damage.
constexpr int64_t kMinAlignment = 8, kMaxAlignment = int64_t(1) << 30;
constexpr int kMaxArrayDepth = 4;
constexpr uint32_t kMaxDims = 4;
// The smallest metadata entry (empty key, kind, one byte) and tensor info (empty name, one dimension). They bound the
// counts in the header before anything is allocated by them.
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1, kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

// Types that exist in other runtimes, for the message only.
constexpr const char* kUnsupported[] = {
    nullptr,  nullptr,    nullptr,    nullptr,    "Q4_2",  "Q4_3",  nullptr,      nullptr,      nullptr,      "Q8_1",
    nullptr,  nullptr,    nullptr,    nullptr,    nullptr, "Q8_K",  "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",    "IQ1_S",
    "IQ4_NL", "IQ3_S",    "IQ2_S",    "IQ4_XS",   "I8",    "I16",   "I32",        "I64",        "F64",        "IQ1_M",
    nullptr,  "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",
};

class Parser {
 public:
  Parser(std::span<const std::byte> image, const std::string& label, Tables& tables)
      : image_(image), cursor_(image), label_(label), tables_(tables) {}

  Status run() {
    TRY(read_header());
    TRY(read_metadata());
    TRY(check_not_split());
    TRY(read_alignment());
    TRY(read_tensor_infos());
    return place_tensors();
  }

 private:
  struct Extent {
    uint64_t offset, n_bytes;
  };

  Status bad(const std::string& what) const { return {Code::kBadModel, label_ + ": " + what}; }
  Status truncated(const std::string& what) const {
    return bad(fmt::format("truncated or damaged: {} at byte {} needs {} bytes, but only {} of the file's {} are left",
                           what, cursor_.at(), cursor_.wanted_bytes(), cursor_.remaining(), image_.size()));
  }

  Status read_header();
  Status read_metadata();
  Status sort_names(const char* noun, NameIndex& index) const;
  Status read_entry(uint64_t i);
  Status check_value(Kind kind, const std::string& key, int depth);
  Status check_array(const std::string& key, int depth);
  Status check_booleans(uint64_t n, const std::string& key);
  Status check_kind(uint32_t number, const std::string& key) const;
  Status check_not_split() const;
  Status read_alignment();
  Status read_tensor_infos();
  Status read_tensor_info(uint64_t i);
  Status read_shape(const std::string& shown, GgufTensor& tensor, int64_t& n_elems);
  Status place_tensors();

  // The key's integer: `fallback` if the key is absent, an error if it is anything but a small integer.
  Result<int64_t> int_or(std::string_view key, int64_t fallback) const;

  const std::span<const std::byte> image_;
  Cursor cursor_;
  const std::string& label_;
  Tables& tables_;
  uint64_t n_tensors_ = 0, n_entries_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<Extent> extents_;  // of tables_.tensors, relative to the data section
};

Status Parser::read_header() {
  if (image_.empty()) return bad("not a GGUF file: it is empty");
  const std::string_view magic(reinterpret_cast<const char*>(image_.data()), std::min<size_t>(4, image_.size()));
  if (magic != std::string_view("GGUF").substr(0, magic.size())) {
    return bad(fmt::format("not a GGUF file: it begins with {}, expected 'GGUF'", in_quotes(magic)));
  }
  uint32_t version = 0;
  if (!cursor_.skip(4) || !cursor_.read(version)) return truncated("the header");
  if (version != 0 && (version & 0xffff) == 0) {
    return bad(
        fmt::format("a big-endian GGUF (version bytes read as {:#x}); only little-endian files can be read, "
                    "convert it (gguf_convert_endian.py of the gguf package)",
                    version));
  }
  if (version != 2 && version != 3) return bad(fmt::format("GGUF version {}, expected 2 or 3", version));
  if (!cursor_.read(n_tensors_) || !cursor_.read(n_entries_)) return truncated("the header");
  return {};
}

Status Parser::read_metadata() {
  if (!cursor_.has(n_entries_, kMinEntryBytes)) {
    return truncated(fmt::format("a table of {} metadata entries", n_entries_));
  }
  for (uint64_t i = 0; i < n_entries_; ++i) TRY(read_entry(i));
  for (size_t i = 0; i < tables_.entries.size(); ++i) tables_.keys.emplace_back(tables_.entries[i].key, i);
  return sort_names("metadata key", tables_.keys);
}

// Sorts the index for find_name(). A name that occurs twice is refused.
Status Parser::sort_names(const char* noun, NameIndex& index) const {
  std::sort(index.begin(), index.end());
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  const auto twice = std::adjacent_find(index.begin(), index.end(), same);
  if (twice == index.end()) return {};
  return bad(fmt::format("{} {} is there twice (entries {} and {})", noun, in_quotes(twice->first), twice->second,
                         std::next(twice)->second));
}

Status Parser::read_entry(uint64_t i) {
  std::string_view key;
  if (!cursor_.read_string(key)) return truncated(fmt::format("the key of metadata entry {} of {}", i, n_entries_));
  const std::string shown = in_quotes(key);
  const uint64_t begin = cursor_.at();
  uint32_t kind = 0;
  if (!cursor_.read(kind)) return truncated("the kind of metadata key " + shown);
  TRY(check_kind(kind, shown));
  const uint64_t value_begin = cursor_.at();
  TRY(check_value(Kind(kind), shown, 0));
  tables_.entries.push_back({key, cursor_.since(begin)});
  tables_.values.push_back({Kind(kind), cursor_.since(value_begin)});
  return {};
}

Status Parser::check_kind(uint32_t number, const std::string& key) const {
  if (number < uint32_t(Kind::kCount)) return {};
  return bad(fmt::format("metadata key {} has values of the unknown kind {} (at byte {}), expected 0 to {}", key,
                         number, cursor_.at() - 4, uint32_t(Kind::kCount) - 1));
}

Status Parser::check_value(Kind kind, const std::string& key, int depth) {
  if (kind == Kind::kArray) return check_array(key, depth);
  if (kind == Kind::kBool) return check_booleans(1, key);
  std::string_view text;
  const bool fits = kind == Kind::kString ? cursor_.read_string(text) : cursor_.skip(info(kind).bytes);
  return fits ? Status{} : truncated("the value of metadata key " + key);
}

Status Parser::check_array(const std::string& key, int depth) {
  if (depth == kMaxArrayDepth) {
    return bad(
        fmt::format("metadata key {} nests arrays more than {} deep (at byte {})", key, kMaxArrayDepth, cursor_.at()));
  }
  uint32_t number = 0;
  uint64_t n = 0;
  if (!cursor_.read(number)) return truncated("the array of metadata key " + key);
  TRY(check_kind(number, key));
  if (!cursor_.read(n)) return truncated("the array of metadata key " + key);
  const Kind kind = Kind(number);
  if (kind == Kind::kBool) return check_booleans(n, key);
  const bool sized = info(kind).bytes != 0;
  // A string takes at least its length field, an array its kind and count.
  const uint64_t elem_bytes = sized ? info(kind).bytes : kind == Kind::kString ? 8 : 12;
  if (!cursor_.has(n, elem_bytes)) return truncated(fmt::format("the array of {} values of metadata key {}", n, key));
  if (sized) {
    cursor_.skip(n * elem_bytes);
    return {};
  }
  for (uint64_t i = 0; i < n; ++i) TRY(check_value(kind, key, depth + 1));
  return {};
}

Status Parser::check_booleans(uint64_t n, const std::string& key) {
  const uint64_t begin = cursor_.at();
  if (!cursor_.skip(n)) return truncated("the value of metadata key " + key);
  const auto booleans = cursor_.since(begin);
  const auto wrong = std::find_if(booleans.begin(), booleans.end(), [](std::byte b) { return uint8_t(b) > 1; });
  if (wrong == booleans.end()) return {};
  return bad(fmt::format("metadata key {} has the boolean value {} (at byte {}), expected 0 or 1", key, uint8_t(*wrong),
                         begin + uint64_t(wrong - booleans.begin())));
}

Result<int64_t> Parser::int_or(std::string_view key, int64_t fallback) const {
  const int64_t at = find_name(tables_.keys, key);
  if (at < 0) return fallback;
  const Value& value = tables_.values[size_t(at)];
  int64_t result = 0;
  if (is_integer(value.kind) && read_int(value.kind, value.bytes.data(), result)) return result;
  return bad(fmt::format("metadata key {} has kind {} or is out of range, expected a small integer", in_quotes(key),
                         info(value.kind).name));
}

Status Parser::check_not_split() const {
  TRY_ASSIGN(const int64_t count, int_or("split.count", 1));
  if (count <= 1) return {};
  TRY_ASSIGN(const int64_t number, int_or("split.no", 0));
  return bad(fmt::format("part {} of a GGUF split into {} files; join them first (llama-gguf-split --merge)",
                         number < std::numeric_limits<int64_t>::max() ? number + 1 : number, count));
}

Status Parser::read_alignment() {
  TRY_ASSIGN(const int64_t alignment, int_or("general.alignment", kDefaultAlignment));
  if (alignment < kMinAlignment || alignment > kMaxAlignment || !std::has_single_bit(uint64_t(alignment))) {
    return bad(fmt::format("general.alignment is {}, expected a power of two from {} to {}", alignment, kMinAlignment,
                           kMaxAlignment));
  }
  alignment_ = uint64_t(alignment);
  return {};
}

Status Parser::read_tensor_infos() {
  if (!cursor_.has(n_tensors_, kMinTensorBytes)) return truncated(fmt::format("a table of {} tensors", n_tensors_));
  for (uint64_t i = 0; i < n_tensors_; ++i) TRY(read_tensor_info(i));
  for (size_t i = 0; i < tables_.tensors.size(); ++i) tables_.tensor_names.emplace_back(tables_.tensors[i].name, i);
  return sort_names("tensor", tables_.tensor_names);
}

Status Parser::read_tensor_info(uint64_t i) {
  GgufTensor tensor;
  std::string_view name;
  if (!cursor_.read_string(name)) return truncated(fmt::format("the name of tensor {} of {}", i, n_tensors_));
  const std::string shown = in_quotes(name);
  tensor.name = name;
  int64_t n_elems = 0;
  TRY(read_shape(shown, tensor, n_elems));
  uint32_t type_number = 0;
  Extent extent = {};
  if (!cursor_.read(type_number) || !cursor_.read(extent.offset))
    return truncated("the description of tensor " + shown);
  const auto type = quant_type_from_gguf(type_number);
  if (!type.has_value()) {
    const char* known = type_number < std::size(kUnsupported) ? kUnsupported[type_number] : nullptr;
    return bad(
        fmt::format("tensor {} has the unknown quantisation {}{}; known are F32, F16, BF16, Q4_0, Q4_1, Q5_0, "
                    "Q5_1, Q8_0 and Q2_K to Q6_K",
                    shown, type_number, known != nullptr ? fmt::format(" ({})", known) : ""));
  }
  tensor.type = *type;
  const QuantGeometry& g = geometry(*type);
  if (tensor.shape[0] % g.block_elems != 0) {
    return bad(fmt::format("tensor {} has rows of {} elements, expected a multiple of {}'s block of {}", shown,
                           tensor.shape[0], g.name, g.block_elems));
  }
  if (__builtin_mul_overflow(uint64_t(n_elems / g.block_elems), uint64_t(g.block_bytes), &extent.n_bytes)) {
    return bad(fmt::format("tensor {} has {} elements, more than can be addressed", shown, n_elems));
  }
  tables_.tensors.push_back(std::move(tensor));
  extents_.push_back(extent);
  return {};
}

Status Parser::read_shape(const std::string& shown, GgufTensor& tensor, int64_t& n_elems) {
  uint32_t n_dims = 0;
  if (!cursor_.read(n_dims)) return truncated("the shape of tensor " + shown);
  if (n_dims == 0 || n_dims > kMaxDims) {
    return bad(fmt::format("tensor {} has {} dimensions (at byte {}), expected 1 to {}", shown, n_dims,
                           cursor_.at() - 4, kMaxDims));
  }
  n_elems = 1;
  for (uint32_t d = 0; d < n_dims; ++d) {
    uint64_t extent = 0;
    if (!cursor_.read(extent)) return truncated("the shape of tensor " + shown);
    if (extent == 0 || extent > uint64_t(std::numeric_limits<int64_t>::max())) {
      return bad(fmt::format("tensor {}: dimension {} is {} (at byte {}), expected 1 to 2^63 - 1", shown, d, extent,
                             cursor_.at() - 8));
    }
    tensor.shape.push_back(int64_t(extent));
    if (__builtin_mul_overflow(n_elems, int64_t(extent), &n_elems)) {
      return bad(fmt::format("tensor {}: shape {} has more elements than can be counted", shown,
                             fmt::join(tensor.shape, " x ")));
    }
  }
  return {};
}

Status Parser::place_tensors() {
  const uint64_t data_begin = (cursor_.at() + alignment_ - 1) / alignment_ * alignment_;
  for (size_t i = 0; i < tables_.tensors.size(); ++i) {
    GgufTensor& tensor = tables_.tensors[i];
    const auto [offset, n_bytes] = extents_[i];
    if (offset % alignment_ != 0) {
      return bad(fmt::format("tensor {} begins at offset {}, expected a multiple of the alignment {}",
                             in_quotes(tensor.name), offset, alignment_));
    }
    uint64_t begin = 0, end = 0;
    if (__builtin_add_overflow(data_begin, offset, &begin) || __builtin_add_overflow(begin, n_bytes, &end)) {
      return bad(fmt::format("tensor {} has offset {} and {} bytes, past any file's end", in_quotes(tensor.name),
                             offset, n_bytes));
    }
    if (end > image_.size()) {
      return bad(fmt::format("truncated: tensor {} ({} bytes) ends at byte {}, but the file has {} bytes ({} missing)",
                             in_quotes(tensor.name), n_bytes, end, image_.size(), end - image_.size()));
    }
    tensor.data = image_.subspan(begin, n_bytes);
  }
  return {};
}

// False if the value does not fit, which happens only with a uint64.
template <class T>
bool load_int(const std::byte* at, int64_t& value) {
  T raw;
  std::memcpy(&raw, at, sizeof(T));
  value = int64_t(raw);
  return sizeof(T) < 8 || std::is_signed_v<T> || value >= 0;
}

}  // namespace

int64_t find_name(const NameIndex& index, std::string_view name) {
  const auto below = [](const auto& entry, std::string_view wanted) { return entry.first < wanted; };
  const auto at = std::lower_bound(index.begin(), index.end(), name, below);
  return at != index.end() && at->first == name ? int64_t(at->second) : -1;
}

bool read_int(Kind kind, const std::byte* at, int64_t& value) {
  switch (kind) {
    case Kind::kBool:
    case Kind::kU8:
      return load_int<uint8_t>(at, value);
    case Kind::kI8:
      return load_int<int8_t>(at, value);
    case Kind::kU16:
      return load_int<uint16_t>(at, value);
    case Kind::kI16:
      return load_int<int16_t>(at, value);
    case Kind::kU32:
      return load_int<uint32_t>(at, value);
    case Kind::kI32:
      return load_int<int32_t>(at, value);
    case Kind::kU64:
      return load_int<uint64_t>(at, value);
    case Kind::kI64:
      return load_int<int64_t>(at, value);
    default:
      return false;
  }
}

Status parse(std::span<const std::byte> image, const std::string& label, Tables& tables) {
  return Parser(image, label, tables).run();
}

}  // namespace reform::gguf
