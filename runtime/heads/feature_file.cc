#include "runtime/heads/feature_file.h"

#include <fmt/format.h>
#include <reform/errno_status.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kHashBytes = 16;
constexpr int64_t kHeaderBytes = kHashBytes + int64_t(sizeof(int64_t));
constexpr auto kOpenMode = std::ios::in | std::ios::out | std::ios::binary;

std::string header(const FeatureShape& shape) {
  RunningHash hash;
  hash.add_text("reform head features 1");  // another number when they are computed otherwise
  hash.add_text(shape.key);
  hash.add(&shape.n_heads, sizeof(shape.n_heads));
  hash.add(&shape.n_questions, sizeof(shape.n_questions));
  hash.add(shape.section_passages.data(), shape.section_passages.size() * sizeof(int64_t));
  std::string bytes = hash.bytes();
  bytes.append(reinterpret_cast<const char*>(&shape.n_samples), sizeof(shape.n_samples));
  return bytes;
}

}  // namespace

Status FeatureFile::failed(const char* what) const {
  return errno_status(errno, fmt::format("{}: cannot be {}", path_, what));
}

Result<FeatureFile> FeatureFile::open(const std::string& path, FeatureShape shape) {
  FeatureFile file(path, std::move(shape));
  const std::string wanted = header(file.shape_);
  std::string found(wanted.size(), '\0');
  file.file_.open(path, kOpenMode);
  if (!file.file_.read(found.data(), std::streamsize(found.size())) || found != wanted) TRY(file.create());
  while (!file.complete() && file.section_is_whole(file.n_done_)) ++file.n_done_;
  file.file_.clear();
  return file;
}

Status FeatureFile::create() {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  std::filesystem::remove(path_, error);  // another process may still read and write what was here
  file_ = std::fstream(path_, kOpenMode | std::ios::trunc);
  const std::string bytes = header(shape_);
  if (!file_.write(bytes.data(), std::streamsize(bytes.size())).flush()) return failed("written");
  return {};
}

int64_t FeatureFile::section_begin(int64_t section) const {
  int64_t at = kHeaderBytes;
  for (int64_t s = 0; s < section; ++s) at += shape_.section_elems(size_t(s)) * int64_t(sizeof(Feature)) + kHashBytes;
  return at;
}

bool FeatureFile::section_is_whole(int64_t section) {
  std::vector<char> piece(1 << 20);
  RunningHash hash;
  file_.seekg(section_begin(section));
  for (int64_t left = shape_.section_elems(size_t(section)) * int64_t(sizeof(Feature)); left > 0;) {
    const int64_t n = std::min(left, int64_t(piece.size()));
    if (!file_.read(piece.data(), n)) return false;
    hash.add(piece.data(), size_t(n));
    left -= n;
  }
  std::string found(kHashBytes, '\0');
  return file_.read(found.data(), kHashBytes) && found == hash.bytes();
}

int64_t FeatureFile::n_samples_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  int64_t n = 0;
  const bool is_there = bool(file.seekg(kHashBytes).read(reinterpret_cast<char*>(&n), sizeof(n)));
  return is_there ? n : 0;
}

void FeatureFile::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void FeatureFile::begin_section() {
  file_.clear();
  file_.seekp(section_begin(n_done_));
  hash_ = RunningHash();
}

Status FeatureFile::append(std::span<const Feature> features) {
  hash_.add(features.data(), features.size_bytes());
  if (!file_.write(reinterpret_cast<const char*>(features.data()), std::streamsize(features.size_bytes())))
    return failed("written");
  return {};
}

Status FeatureFile::end_section() {
  const std::string hash = hash_.bytes();
  if (!file_.write(hash.data(), std::streamsize(hash.size())).flush()) return failed("written");
  ++n_done_;
  return {};
}

Status FeatureFile::read_head(int64_t head, std::span<Feature> features) {
  CHECK(complete());
  const size_t n_questions = size_t(shape_.n_questions), n_passages = features.size() / n_questions;
  std::vector<Feature> part;
  size_t first = 0;
  for (size_t s = 0; s < shape_.section_passages.size(); ++s) {
    const auto n = size_t(shape_.section_passages[s]);
    part.resize(n_questions * n);
    const int64_t at = section_begin(int64_t(s)) + head * int64_t(part.size() * sizeof(Feature));
    file_.seekg(at);
    if (!file_.read(reinterpret_cast<char*>(part.data()), std::streamsize(part.size() * sizeof(Feature))))
      return failed("read");
    for (size_t q = 0; q < n_questions; ++q) std::copy_n(&part[q * n], n, &features[q * n_passages + first]);
    first += n;
  }
  return {};
}

}  // namespace reform
