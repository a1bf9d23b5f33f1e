#include "tools/glob.h"

#include <fnmatch.h>
#include <regex.h>

#include <algorithm>
#include <clocale>
#include <cstdint>
#include <cstdlib>

namespace reform::tool {
namespace {

// fnmatch() and regcomp() go by the thread's locale.
class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(utf8())) {}
  ~Utf8Locale() { ::uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t utf8() {
    static const locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t());
    return locale;  // none, if the system lacks it: the thread's stays
  }
  const locale_t before_;
};

// Behind the ']' of the set that begins at `begin`; npos: it has none.
size_t set_end(std::string_view glob, size_t begin) {
  size_t at = begin + 1;
  if (at < glob.size() && (glob[at] == '!' || glob[at] == '^')) ++at;
  for (bool first = true; at < glob.size(); ++at, first = false) {  // a ']' that comes first is one of the set
    if (glob[at] == ']' && !first) return at + 1;
    if (!glob.substr(at).starts_with("[:")) continue;
    const size_t class_end = glob.find(":]", at + 2);
    if (class_end != glob.npos) at = class_end + 1;
  }
  return glob.npos;
}

// POSIX, extended. "": it has none, since a '\\' within a set is a character there.
std::string as_regex(std::string_view glob) {
  std::string regex = "^";
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '*') {
      regex += ".*";
    } else if (glob[i] == '?') {
      regex += '.';
    } else if (glob[i] == '[') {
      std::string set(glob.substr(i, set_end(glob, i) - i));
      if (set.find('\\') != set.npos) return "";
      i += set.size() - 1;
      if (set[1] == '!') set[1] = '^';
      regex += set;
    } else {
      if (glob[i] == '\\') ++i;
      if (std::string_view(".^$+(){}|*?[\\").find(glob[i]) != std::string_view::npos) regex += '\\';
      regex += glob[i];
    }
  }
  return regex + "$";
}

// True, too, where the C library knows no such set: ranges beyond ASCII (glibc 2.36).
bool may_fit_regex(const std::string& regex, const std::string& name) {
  regex_t compiled;
  if (regex.empty() || ::regcomp(&compiled, regex.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return true;
  const bool fits = ::regexec(&compiled, name.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return fits;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0x80; });
}

bool fits(std::string_view glob, const std::string& path, bool is_folder) {
  const bool for_folders = glob.ends_with('/');
  if (for_folders && !is_folder) return false;
  while (glob.ends_with('/')) glob.remove_suffix(1);
  const bool of_path = glob.find('/') != glob.npos;
  if (glob.starts_with('/')) glob.remove_prefix(1);
  const std::string name = of_path ? path : path.substr(path.rfind('/') + 1);
  if (::fnmatch(std::string(glob).c_str(), name.c_str(), of_path ? FNM_PATHNAME : 0) != 0) return false;
  // Where characters do not fit, glibc's fnmatch() tries bytes.
  const bool is_characters = std::mbstowcs(nullptr, name.c_str(), 0) != size_t(-1);
  return is_ascii(name) || !is_characters || may_fit_regex(as_regex(glob), name);
}

}  // namespace

bool fits_any(const std::vector<std::string>& globs, const std::string& path, bool is_folder) {
  if (globs.empty()) return false;
  const Utf8Locale locale;
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return fits(glob, path, is_folder); });
}

bool is_whole_glob(std::string_view glob) {
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '\\') {
      if (++i == glob.size()) return false;
    } else if (glob[i] == '[') {
      const size_t end = set_end(glob, i);
      if (end == glob.npos) return false;
      i = end - 1;
    }
  }
  return true;
}

}  // namespace reform::tool
