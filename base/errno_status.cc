#include <reform/errno_status.h>

#include <cerrno>
#include <system_error>

namespace reform {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case EISDIR:
      return Code::kUsage;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Code::kNoSpace;
    case ENOMEM:
      return Code::kMemoryCap;
    case EMFILE:
    case ENFILE:
      return Code::kUnavailable;
    default:
      return Code::kIo;
  }
}

std::string reason(int error) {
  switch (error) {
    case EACCES:
      return "permission denied: this user may not read or write there";
    case ELOOP:
      return "its symbolic links lead in a circle";
    case EROFS:
      return "the file system is read-only; make it writable, or use another place";
    case EISDIR:
      return "is a directory";
    case EMFILE:
      return "too many files are open in this process (ulimit -n)";
    case ENFILE:
      return "too many files are open on this machine (fs.file-max)";
    case EFBIG:
      return "the file would be larger than this process or the file system allows (ulimit -f)";
    case ENOMEM:
      return "no memory left: the system, or a limit (ulimit -v, a control group), has no more for this process";
    case ENOENT:
      return "no such file or directory";
    case ENOTDIR:
      return "not a directory: a part of the path is a file";
    case ENAMETOOLONG:
      return "the name is too long for the file system";
    case ENOSPC:
      return "the disk is full; make room";
    case EDQUOT:
      return "this user's disk quota is used up; make room";
    default:
      return std::generic_category().message(error);
  }
}

}  // namespace

Status errno_status(int error, const std::string& what) { return {code_of(error), what + ": " + reason(error)}; }

}  // namespace reform
