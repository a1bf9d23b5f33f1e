#include "tools/text_files.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <reform/errno_status.h>
#include <reform/text.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

#include "tools/input.h"

namespace reform::tool {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeadBytes = 64 * 1024;  // that are looked at to tell a binary file from a text

struct Kind {
  const char* why;
  const char *one, *many;
};
constexpr Kind kKinds[] = {{"binary", "binary file", "binary files"},
                           {"empty", "empty file", "empty files"},
                           {"hidden", "hidden name", "hidden names"},
                           {"link", "symbolic link", "symbolic links"},
                           {"special", "pipe, socket or device", "pipes, sockets or devices"},
                           {"store", "store of contexts", "stores of contexts"}};

Result<std::string> read_head(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  in.read(head.data(), std::streamsize(head.size()));
  if (!in.is_open() || in.bad()) return errno_status(errno, path);
  head.resize(size_t(in.gcount()));
  return head;
}

// `path`: below the directory that was named.
bool matches(const std::vector<std::string>& globs, const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return std::any_of(globs.begin(), globs.end(), [&](std::string_view glob) {
    while (glob.ends_with('/')) glob.remove_suffix(1);
    const bool of_path = glob.find('/') != glob.npos;
    if (glob.starts_with('/')) glob.remove_prefix(1);
    return ::fnmatch(std::string(glob).c_str(), (of_path ? path : name).c_str(), of_path ? FNM_PATHNAME : 0) == 0;
  });
}

class Walk {
 public:
  Walk(const TextChoice& choice, const std::string& store_dir, const CancelToken& cancel)
      : choice_(choice), store_dir_(store_dir), cancel_(cancel) {}

  // Appends the texts below `root`.
  Status add(const std::string& root, TextFiles& found) {
    found_ = &found;
    root_ = root.ends_with('/') ? root : root + "/";
    const auto begin = ptrdiff_t(found.files.size());
    for (folders_ = {""}; !folders_.empty();) {
      const std::string folder = std::move(folders_.back());
      folders_.pop_back();
      if (Status s = add_entries(folder); !s.ok()) return s;
    }
    std::sort(found.files.begin() + begin, found.files.end(),
              [](const TextFile& a, const TextFile& b) { return a.path < b.path; });
    return {};
  }

 private:
  // `folder`: below root_, "" or with a '/' at its end. Its entries are read before any is looked into, so that one
  // directory is open at a time.
  Status add_entries(const std::string& folder) {
    std::error_code error;
    std::vector<std::string> names;
    fs::directory_iterator entries(root_ + folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error))
      names.push_back(entries->path().filename().string());
    if (error) return errno_status(error.value(), root_ + folder);
    for (const std::string& name : names) {
      if (cancel_.cancelled()) return {Code::kCancelled, "stopped while looking for texts; nothing was read"};
      if (Status s = add_entry(folder + name); !s.ok()) return s;
    }
    return {};
  }

  Status add_entry(const std::string& path) {
    const std::string full = root_ + path;
    struct stat info;
    if (::lstat(full.c_str(), &info) != 0) return errno_status(errno, full);
    const bool is_folder = S_ISDIR(info.st_mode);
    if (matches(choice_.exclude, path)) return {};
    if (!is_folder && !choice_.include.empty() && !matches(choice_.include, path)) return {};
    if (path[path.rfind('/') + 1] == '.') return leave_out("hidden", full);
    if (S_ISLNK(info.st_mode)) return leave_out("link", full);
    if (is_folder) return add_folder(path);
    if (!S_ISREG(info.st_mode)) return leave_out("special", full);
    const Result<std::string> head = read_head(full);
    if (!head.ok()) return head.status();
    const bool seen = has_text(head.value());
    // As many an __init__.py. A longer file is read to be told so.
    if (!seen && head.value().size() < kHeadBytes) return leave_out("empty", full);
    if (looks_binary(head.value(), choice_.encoding)) return leave_out("binary", full);
    found_->files.push_back({full, seen});
    return {};
  }

  Status add_folder(const std::string& path) {
    std::error_code error;
    if (fs::equivalent(root_ + path, store_dir_, error)) return leave_out("store", root_ + path);
    folders_.push_back(path + "/");
    return {};
  }

  Status leave_out(const char* why, const std::string& full) {
    std::vector<LeftOut>& kinds = found_->left_out;
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const LeftOut& k) { return k.why == why; });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {why, full, 0});
    kind->first = std::min(kind->first, full);
    ++kind->n;
    return {};
  }

  const TextChoice& choice_;
  const std::string& store_dir_;
  const CancelToken& cancel_;
  TextFiles* found_ = nullptr;
  std::string root_;                  // with a '/' at its end
  std::vector<std::string> folders_;  // still to be entered
};

Result<std::vector<std::string>> read_list(const TextChoice& choice, const CancelToken& cancel) {
  const Result<std::string> read = read_file_or_input(choice.list_file, cancel);
  if (!read.ok()) return read.status();
  const std::string& text = read.value();
  const std::string label = choice.list_file == kStandardInput ? "standard input" : choice.list_file;
  if (!choice.nul_separated && text.find('\0') != text.npos)
    return Status{Code::kUsage, label + ": its names are separated by NUL bytes; -0 reads such a list"};
  const char separator = choice.nul_separated ? '\0' : '\n';
  std::vector<std::string> names;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    std::string name = text.substr(begin, end - begin);
    if (!choice.nul_separated && name.ends_with('\r')) name.pop_back();  // a list from Windows
    if (!name.empty()) names.push_back(name == kStandardInput ? "./-" : std::move(name));
    begin = end + 1;
  }
  if (names.empty()) return Status{Code::kUsage, label + ": there is no name in it"};
  return names;
}

Status add_name(const std::string& name, bool recursive, Walk& walk, TextFiles& found) {
  struct stat info;
  if (name != kStandardInput && ::stat(name.c_str(), &info) != 0) return errno_status(errno, name);
  if (name == kStandardInput || !S_ISDIR(info.st_mode)) {
    found.files.push_back({name});
    return {};
  }
  if (recursive) return walk.add(name, found);
  Status refused = errno_status(EISDIR, name);
  refused.message += "; -r reads what is in it";
  return refused;
}

}  // namespace

Result<TextFiles> find_texts(const TextChoice& choice, const std::string& store_dir, const CancelToken& cancel) {
  std::vector<std::string> names = choice.named;
  if (std::count(names.begin(), names.end(), kStandardInput) + (choice.list_file == kStandardInput ? 1 : 0) > 1)
    return Status{Code::kUsage, "standard input ('-') can be read only once"};
  if (!choice.list_file.empty()) {
    const Result<std::vector<std::string>> listed = read_list(choice, cancel);
    if (!listed.ok()) return listed.status();
    names.insert(names.end(), listed.value().begin(), listed.value().end());
  }
  TextFiles found;
  Walk walk(choice, store_dir, cancel);
  for (const std::string& name : names) {
    if (Status s = add_name(name, choice.recursive, walk, found); !s.ok()) return s;
  }
  const auto by_kind = [](const LeftOut& a, const LeftOut& b) { return a.why < b.why; };
  std::sort(found.left_out.begin(), found.left_out.end(), by_kind);
  if (!found.files.empty()) return found;
  const std::string but = found.left_out.empty() ? "" : ", only " + describe(found.left_out);
  return Status{Code::kBadText, fmt::format("there is no text to read in {}{}", fmt::join(names, ", "), but)};
}

std::string describe(const std::vector<LeftOut>& left_out) {
  std::vector<std::string> parts;
  for (const Kind& kind : kKinds) {
    for (const LeftOut& left : left_out) {
      if (left.why != kind.why) continue;
      parts.push_back(fmt::format("{} {} ({}{})", left.n, left.n == 1 ? kind.one : kind.many, left.first,
                                  left.n == 1 ? "" : ", …"));
    }
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace reform::tool
