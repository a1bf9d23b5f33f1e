#include "runtime/text/source_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <unistd.h>

#include <cerrno>
#include <istream>

#include "base/try.h"
#include "runtime/text/likeness.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr size_t kBlockBytes = SourceReader::kMostBlockBytes;
// iconv gives four characters of four bytes at most for a byte.
constexpr size_t kConvertedBlockBytes = kBlockBytes / 16;
constexpr size_t kFirstLookBytes = 4096;

Status changed(const std::string& name, const std::string& how) {
  return {Code::kBadText,
          fmt::format("{} {} while the text was being read; run this again once the file is whole and nobody writes to "
                      "it, with --replace if the text is another one now",
                      name, how)};
}

// looked_at: it was there before.
Status cannot_open(const std::string& name, int error, bool looked_at) {
  return looked_at && error == ENOENT ? changed(name, "was removed or renamed") : errno_status(error, name);
}

Status or_lossy(Status status) {
  if (status.code == Code::kBadText) status.message += "; --lossy reads it all the same, what is not UTF-8 as U+FFFD";
  return status;
}

Status nothing_to_read(const std::string& name, int64_t n_bytes) {
  constexpr const char* kBlank = "the text is white space alone, or other characters that do not show";
  return {Code::kBadText, fmt::format("{}: {}: there is nothing to read; leave it out", name,
                                      n_bytes == 0 ? "the text is empty" : kBlank)};
}

FileDescriptor open_file(const std::string& path) { return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

// Reads a file up to its first character that is not blank.
Status check_has_text(const std::string& path, const std::string& encoding) {
  const FileDescriptor file = open_file(path);
  if (!file.valid()) return cannot_open(path, errno, /*looked_at=*/true);
  TRY_ASSIGN(EncodedTextFinder text, EncodedTextFinder::create(encoding));
  std::string buffer(kFirstLookBytes, '\0');
  for (int64_t n_bytes = 0;;) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_status(errno, fmt::format("{}: reading failed at byte {}", path, n_bytes));
    n_bytes += n;
    TRY(text.look({buffer.data(), size_t(n)}, /*at_end=*/n == 0));
    if (text.found()) return {};
    if (n == 0) return nothing_to_read(path, n_bytes);
    buffer.resize(encoding.empty() ? kBlockBytes : kConvertedBlockBytes);
  }
}

}  // namespace

Result<std::unique_ptr<SourceReader>> SourceReader::open(const std::vector<IngestSource>& sources, int64_t first_byte,
                                                         bool lossy, const CancelToken* cancel,
                                                         const std::string& encoding) {
  auto reader = std::make_unique<SourceReader>();
  if (!encoding.empty()) {
    TRY_ASSIGN(reader->decoder_, TextDecoder::create(encoding, lossy));
  }
  reader->first_byte_ = first_byte;
  reader->lossy_ = lossy;
  reader->cancel_ = cancel;
  TRY(reader->add(sources, encoding));
  reader->buffer_.resize(encoding.empty() ? kBlockBytes : kConvertedBlockBytes);
  return reader;
}

Result<std::unique_ptr<SourceReader>> SourceReader::open_bytes(const std::vector<IngestSource>& sources,
                                                               const std::string& encoding, const CancelToken* cancel) {
  auto reader = std::make_unique<SourceReader>();
  reader->lossy_ = reader->bytes_only_ = true;
  reader->cancel_ = cancel;
  TRY(reader->add(sources, encoding));
  reader->buffer_.resize(kBlockBytes);
  return reader;
}

Status SourceReader::add(const std::vector<IngestSource>& sources, const std::string& encoding) {
  for (const IngestSource& source : sources) {
    TRY_ASSIGN(Input input, examine(source, encoding));
    if (!input.identity) total_bytes_ = -1;
    if (total_bytes_ >= 0) total_bytes_ += input.identity->size_bytes;
    inputs_.push_back(std::move(input));
  }
  return {};
}

int64_t SourceReader::most_bytes(const std::vector<IngestSource>& sources, bool converts) {
  constexpr int64_t kBlocks = 3;  // the block, its copy with the character before it, what it was converted to
  int64_t bytes = kBlocks * kMostBlockBytes + int64_t(kLikenessBytes);
  if (converts) bytes += (OffsetMap::kMostRuns + int64_t(kConvertedBlockBytes)) * int64_t(sizeof(TextRun));
  for (const IngestSource& source : sources)
    bytes += int64_t(sizeof(IngestSource) + sizeof(Input)) + 2 * string_bytes(source.path) + listed_bytes(source.path);
  return bytes;
}

Result<SourceReader::Input> SourceReader::examine(const IngestSource& source, const std::string& encoding) {
  Input input{source.path, source.stream, std::nullopt};
  if (source.stream != nullptr) return input;
  struct stat info;
  if (::stat(source.path.c_str(), &info) != 0) return cannot_open(source.path, errno, source.seen);
  if (S_ISDIR(info.st_mode)) return Status{Code::kUsage, source.path + ": is a directory; name the files to read"};
  if (!S_ISREG(info.st_mode)) return input;  // opening a pipe twice would lose its text
  if (!source.seen) TRY(check_has_text(source.path, encoding));
  if (info.st_size > 0) input.identity = FileIdentity::of(info);
  return input;
}

Result<std::string_view> SourceReader::next() {
  while (current_ < inputs_.size()) {
    if (cancel_ != nullptr && cancel_->cancelled())
      return Status{Code::kCancelled, "stopped while the text was being read"};
    const Input& input = inputs_[current_];
    if (files_.size() == current_) {
      files_.push_back({input.name, first_byte_ + bytes_read_, 0});
      text_ = {};
      start_.clear();
      if (decoder_ != nullptr) TRY(decoder_->begin(input.name));
    }
    TRY_ASSIGN(const size_t n, read_some(input));
    const std::string_view block(buffer_.data(), n);
    if (decoder_ != nullptr) {
      TRY(convert(block));
    } else if (!lossy_) {
      TRY(check_utf8(block, block.empty()));
    }
    if (block.empty()) {
      TRY(end_file(input));
      text_.look(converted_);
      text_.end();
      if (!bytes_only_ && !text_.found()) return nothing_to_read(input.name, files_.back().size_bytes);
      ++current_;
      if (converted_.empty()) continue;
      return std::string_view(converted_);
    }
    text_.look(decoder_ == nullptr ? block : std::string_view(converted_));
    hash_.add(block.data(), block.size());
    bytes_read_ += int64_t(block.size());
    files_.back().size_bytes += int64_t(block.size());
    if (decoder_ == nullptr) return block;
    if (!converted_.empty()) return std::string_view(converted_);  // else a byte order mark, or a part of a character
  }
  return std::string_view{};
}

Result<size_t> SourceReader::read_some(const Input& input) {
  if (input.stream == nullptr) return read_file(input);
  input.stream->read(buffer_.data(), std::streamsize(buffer_.size()));
  if (!input.stream->bad()) return size_t(input.stream->gcount());
  return Status{Code::kIo, fmt::format("{}: reading failed at byte {}", input.name, files_.back().size_bytes)};
}

Result<size_t> SourceReader::read_file(const Input& input) {
  if (!file_.valid()) {
    file_ = open_file(input.name);
    if (!file_.valid()) return cannot_open(input.name, errno, /*looked_at=*/input.identity.has_value());
  }
  size_t n = 0;
  while (n < buffer_.size()) {
    const ssize_t more = ::read(file_.get(), buffer_.data() + n, buffer_.size() - n);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0)
      return errno_status(errno, fmt::format("{}: reading failed at byte {}", input.name, files_.back().size_bytes));
    if (more == 0) break;
    n += size_t(more);
  }
  return n;
}

// By the descriptor, which is the file that was read, and by its name, which may be another one's by now.
Status SourceReader::end_file(const Input& input) {
  const FileDescriptor file = std::move(file_);
  if (!input.identity) return {};
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return errno_status(errno, input.name);
  std::string how = difference(*input.identity, FileIdentity::of(info));
  if (how.empty()) how = difference(*input.identity, input.name);
  if (how.empty() && files_.back().size_bytes != input.identity->size_bytes)
    how = fmt::format("gave {} bytes instead of {}", files_.back().size_bytes, input.identity->size_bytes);
  return how.empty() ? Status{} : changed(input.name, how);
}

Status SourceReader::check_unchanged() const {
  for (const Input& input : inputs_) {
    if (!input.identity) continue;
    if (const std::string how = difference(*input.identity, input.name); !how.empty()) return changed(input.name, how);
  }
  return {};
}

Status SourceReader::convert(std::string_view block) {
  converted_.clear();
  TRY(or_lossy(decoder_->decode(block, /*at_end=*/block.empty(), converted_, offsets_)));
  if (int64_t(offsets_.left().size()) <= OffsetMap::kMostRuns) return {};
  return {Code::kBadText,
          fmt::format("{}: up to byte {} there are more than {} characters of changing size without a place to split "
                      "the text into tokens; convert it to UTF-8",
                      files_.back().name, files_.back().size_bytes, OffsetMap::kMostRuns)};
}

Status SourceReader::check_utf8(std::string_view block, bool at_end) {
  if (files_.back().size_bytes == 0) start_ = block.substr(0, kLikenessBytes);
  if (const int64_t at = not_a_text(block, files_.back().size_bytes == 0); at >= 0)
    return or_lossy(not_utf8(files_.back().name, start_, block, size_t(at), files_.back().size_bytes + at));
  const std::string text = cut_ + std::string(block);
  size_t pos = 0;
  while (pos < text.size()) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind == Utf8Char::Kind::kIncomplete && !at_end) break;
    if (c.kind != Utf8Char::Kind::kValid) {
      const int64_t at = files_.back().size_bytes - int64_t(cut_.size()) + int64_t(pos);
      return or_lossy(not_utf8(files_.back().name, start_, text, pos, at));
    }
    pos += c.n_bytes;
  }
  cut_.assign(text, pos);
  return {};
}

}  // namespace reform
