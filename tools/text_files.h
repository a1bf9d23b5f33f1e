// The texts that ingest reads: files by name, all that lies below directories, and lists of names.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform::tool {

inline constexpr const char* kStandardInput = "-";

struct TextChoice {
  std::vector<std::string> named;  // files, directories, kStandardInput
  std::string list_file;           // holds more names; "": none
  bool nul_separated = false;      // names in the list end with a NUL byte, not with a line feed
  bool recursive = false;          // directories stand for the files below them
  std::string encoding;            // of the texts; "": UTF-8
  // For what lies below a directory, as globs of fnmatch(3). One with a '/' is compared with the path below the
  // directory, and its '*' stops at a '/'; one without, with the name. A directory that is excluded is not entered.
  std::vector<std::string> include, exclude;  // no `include`: every file
};

// What was found below directories and is no text. What is named is never left out: it is read or refused.
struct LeftOut {
  std::string why;    // "binary", "empty", "hidden", "link", "special", "store"
  std::string first;  // the first of them by name
  int64_t n = 0;
};

struct TextFile {
  std::string path;   // may be kStandardInput
  bool seen = false;  // text was seen in it
};

struct TextFiles {
  std::vector<TextFile> files;  // in the order to read
  std::vector<LeftOut> left_out;
};

// Names first, as given, then those of the list. The files of a directory stand in its place, sorted by the bytes of
// their paths. Symbolic links below a directory are not followed, so that no loop can arise and no text comes twice;
// `store_dir` is not entered. Fails with the first name that cannot be read, below directories, too.
Result<TextFiles> find_texts(const TextChoice& choice, const std::string& store_dir, const CancelToken& cancel);

// "3 binary files (docs/logo.png, …), 1 symbolic link (docs/latest)".
std::string describe(const std::vector<LeftOut>& left_out);

}  // namespace reform::tool
