#include "tools/text_files.h"

#include <fmt/format.h>
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
#include <utility>

#include "tools/glob.h"
#include "tools/input.h"
#include "tools/store_places.h"

namespace reform::tool {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostNames = 262144;     // in a list, as all are held
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

// Of what its directory has just listed.
Status not_there_any_more(const std::string& path, int error) {
  if (error != ENOENT) return errno_status(error, path);
  return {Code::kBadText, path + ": was removed or renamed while texts were looked for; run this again"};
}

Result<std::string> read_head(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  in.read(head.data(), std::streamsize(head.size()));
  if (!in.is_open() || in.bad()) return not_there_any_more(path, errno);
  head.resize(size_t(in.gcount()));
  return head;
}

class Walk {
 public:
  Walk(const TextChoice& choice, const StorePlaces& store, const CancelToken& cancel)
      : choice_(choice), store_(store), cancel_(cancel) {}

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

  int64_t n_not_included() const { return n_not_included_; }  // files that no `include` fits

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
    if (::lstat(full.c_str(), &info) != 0) return not_there_any_more(full, errno);
    const bool is_folder = S_ISDIR(info.st_mode);
    if (fits_any(choice_.exclude, path, is_folder)) return {};
    if (!is_folder && !choice_.include.empty() && !fits_any(choice_.include, path, is_folder)) {
      ++n_not_included_;
      return {};
    }
    if (path[path.rfind('/') + 1] == '.') return leave_out("hidden", full);
    if (S_ISLNK(info.st_mode)) return leave_out("link", full);
    if (is_folder && store_.include(info)) return leave_out("store", full);
    if (is_folder) {
      folders_.push_back(path + "/");
      return {};
    }
    if (!S_ISREG(info.st_mode)) return leave_out("special", full);
    const Result<std::string> head = read_head(full);
    if (!head.ok()) return head.status();
    const bool seen = has_text(head.value(), choice_.encoding);
    // As many an __init__.py. A longer file is read to be told so.
    if (!seen && head.value().size() < kHeadBytes) return leave_out("empty", full);
    if (looks_binary(head.value(), choice_.encoding)) return leave_out("binary", full);
    found_->files.push_back({full, seen});
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
  const StorePlaces& store_;
  const CancelToken& cancel_;
  TextFiles* found_ = nullptr;
  int64_t n_not_included_ = 0;
  std::string root_;                  // with a '/' at its end
  std::vector<std::string> folders_;  // still to be entered
};

struct Named {
  std::string path;
  int64_t line = 0;  // of the list; 0: named as FILE
};

Result<std::string> read_list_file(const TextChoice& choice, const CancelToken& cancel) {
  const std::string label = shown_input(choice.list_file);
  return read_whole(
      choice.list_file, kMostListBytes,
      [&](std::string_view head) -> Status {
        if (choice.nul_separated || head.find('\0') == head.npos) return {};
        return {Code::kUsage, label + ": its names are separated by NUL bytes; -0 reads such a list"};
      },
      cancel);
}

Status read_list(const TextChoice& choice, const CancelToken& cancel, std::vector<Named>& names) {
  const Result<std::string> read = read_list_file(choice, cancel);
  if (!read.ok()) return read.status();
  std::string_view text = read.value();
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a list from Windows
  const std::string label = shown_input(choice.list_file);
  const char separator = choice.nul_separated ? '\0' : '\n';
  const size_t n_before = names.size();
  for (int64_t line = 1; !text.empty(); ++line) {
    std::string_view name = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(name.size() + 1, text.size()));
    if (!choice.nul_separated && name.ends_with('\r')) name.remove_suffix(1);  // from Windows, too
    if (name.empty()) continue;
    if (names.size() - n_before == kMostNames)
      return {Code::kBadText, fmt::format("{}: over {} names, which is the most; split it", label, kMostNames)};
    names.push_back({name == kStandardInput ? "./-" : std::string(name), line});
  }
  if (names.size() == n_before) return {Code::kUsage, label + ": there is no name in it"};
  return {};
}

Status check_globs(const TextChoice& choice) {
  for (const std::string& glob : choice.include)
    if (glob.ends_with('/'))
      return {Code::kUsage,
              fmt::format("--include '{}': files alone are included; name {}* for those in there", glob, glob)};
  for (const auto& [option, globs] : {std::pair("--include", &choice.include), std::pair("--exclude", &choice.exclude)})
    for (const std::string& glob : *globs)
      if (!is_whole_glob(glob))
        return {Code::kUsage, fmt::format("{} '{}': a '[' without its ']', or a '\\' at the end; a '\\' before the '[' "
                                          "takes it as it is",
                                          option, glob)};
  return {};
}

Status add_name(const std::string& name, bool recursive, const StorePlaces& store, Walk& walk, TextFiles& found) {
  struct stat info;
  if (name != kStandardInput && ::stat(name.c_str(), &info) != 0) return errno_status(errno, name);
  if (name != kStandardInput && store.hold(name))
    return {Code::kBadText, name + ": is in the store itself, whose files are no texts; name files outside it"};
  if (name == kStandardInput || !S_ISDIR(info.st_mode)) {
    found.files.push_back({name});
    return {};
  }
  if (recursive) return walk.add(name, found);
  Status refused = errno_status(EISDIR, name);
  refused.message += "; -r reads what is in it";
  return refused;
}

Status nothing_found(const TextChoice& choice, const std::vector<Named>& names, int64_t n_not_included,
                     const std::vector<LeftOut>& left_out) {
  constexpr size_t kShown = 8;
  std::string in;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) in += (i == 0 ? "" : ", ") + names[i].path;
  if (names.size() > kShown) in += ", …";
  std::string but = left_out.empty() ? "" : ", only " + describe(left_out);
  if (n_not_included > 0)
    but += fmt::format("; {} other {} there, but no --include fits ({})", n_not_included,
                       n_not_included == 1 ? "file is" : "files are", fmt::join(choice.include, ", "));
  return {Code::kBadText, fmt::format("there is no text to read in {}{}", in, but)};
}

}  // namespace

Result<TextFiles> find_texts(const TextChoice& choice, const std::string& store_dir, const CancelToken& cancel) {
  std::vector<Named> names;
  for (const std::string& name : choice.named) names.push_back({name});
  if (std::count(choice.named.begin(), choice.named.end(), kStandardInput) +
          (choice.list_file == kStandardInput ? 1 : 0) >
      1)
    return Status{Code::kUsage, "standard input ('-') can be read only once"};
  if (Status s = check_globs(choice); !s.ok()) return s;
  if (!choice.list_file.empty()) {
    if (Status s = read_list(choice, cancel, names); !s.ok()) return s;
  }
  TextFiles found;
  const StorePlaces store(store_dir);
  Walk walk(choice, store, cancel);
  for (const Named& named : names) {
    Status s = add_name(named.path, choice.recursive, store, walk, found);
    if (s.ok()) continue;
    if (named.line == 0 || s.code == Code::kCancelled) return s;
    s.message = fmt::format("{} {} {}: {}", shown_input(choice.list_file), choice.nul_separated ? "name" : "line",
                            named.line, s.message);
    return s;
  }
  const auto by_kind = [](const LeftOut& a, const LeftOut& b) { return a.why < b.why; };
  std::sort(found.left_out.begin(), found.left_out.end(), by_kind);
  if (!found.files.empty()) return found;
  return nothing_found(choice, names, walk.n_not_included(), found.left_out);
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
