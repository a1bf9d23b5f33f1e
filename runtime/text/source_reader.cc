#include "runtime/text/source_reader.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/try.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr size_t kBlockBytes = 256 * 1024;

}  // namespace

Result<std::unique_ptr<SourceReader>> SourceReader::open(const std::vector<IngestSource>& sources, int64_t first_byte,
                                                         bool lossy, const CancelToken* cancel) {
  auto reader = std::make_unique<SourceReader>();
  reader->first_byte_ = first_byte;
  reader->lossy_ = lossy;
  reader->cancel_ = cancel;
  for (const IngestSource& source : sources) {
    Open open{source.path, nullptr, source.stream};
    if (source.stream == nullptr) {
      std::error_code error;
      if (std::filesystem::is_directory(source.path, error)) {
        return Status{Code::kUsage, fmt::format("{}: is a directory; name the files to read", source.path)};
      }
      open.file = std::make_unique<std::ifstream>(source.path, std::ios::binary);
      if (!*open.file) return Status{Code::kNotFound, fmt::format("{}: {}", source.path, std::strerror(errno))};
      open.stream = open.file.get();
      const auto size = std::filesystem::file_size(source.path, error);
      // A pipe or device has no size, nor has a file in /proc.
      if (error || !std::filesystem::is_regular_file(source.path, error) || size == 0) reader->total_bytes_ = -1;
      if (reader->total_bytes_ >= 0) reader->total_bytes_ += int64_t(size);
    } else {
      reader->total_bytes_ = -1;
    }
    reader->sources_.push_back(std::move(open));
  }
  reader->buffer_.resize(kBlockBytes);
  return reader;
}

Result<std::string_view> SourceReader::next() {
  while (current_ < sources_.size()) {
    if (cancel_ != nullptr && cancel_->cancelled())
      return Status{Code::kCancelled, "stopped while the text was being read"};
    Open& source = sources_[current_];
    if (files_.size() == current_) files_.push_back({source.name, first_byte_ + bytes_read_, 0});
    source.stream->read(buffer_.data(), std::streamsize(buffer_.size()));
    const std::string_view block(buffer_.data(), size_t(source.stream->gcount()));
    if (source.stream->bad())
      return Status{Code::kIo, fmt::format("{}: reading failed at byte {}", source.name, files_.back().size_bytes)};
    if (!lossy_) TRY(check_utf8(block, block.empty()));
    if (block.empty()) {
      source.file.reset();
      ++current_;
      continue;
    }
    hash_.add(block.data(), block.size());
    bytes_read_ += int64_t(block.size());
    files_.back().size_bytes += int64_t(block.size());
    return block;
  }
  return std::string_view{};
}

Status SourceReader::check_utf8(std::string_view block, bool at_end) {
  const std::string text = cut_ + std::string(block);
  size_t pos = 0;
  while (pos < text.size()) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind == Utf8Char::Kind::kIncomplete && !at_end) break;
    if (c.kind != Utf8Char::Kind::kValid) {
      const int64_t at = files_.back().size_bytes - int64_t(cut_.size()) + int64_t(pos);
      return {Code::kBadText,
              fmt::format("{}: not UTF-8 at byte {} (0x{:02x}); convert it, or read it all the same with "
                          "--lossy, each invalid byte as U+FFFD",
                          files_.back().name, at, uint8_t(text[pos]))};
    }
    pos += c.n_bytes;
  }
  cut_.assign(text, pos);
  return {};
}

}  // namespace reform
