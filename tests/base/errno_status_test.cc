#include <reform/errno_status.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

using namespace reform;

TEST_CASE("errno: each kind of refusal has its code and is told apart from the others", "[base]") {
  const struct {
    int error;
    Code code;
  } cases[] = {{ENOENT, Code::kNotFound},    {ENOTDIR, Code::kNotFound},   {EISDIR, Code::kUsage},
               {EACCES, Code::kIo},          {EPERM, Code::kIo},           {ELOOP, Code::kIo},
               {EROFS, Code::kIo},           {EMFILE, Code::kUnavailable}, {EIO, Code::kIo},
               {ENOSPC, Code::kNoSpace},     {EDQUOT, Code::kNoSpace},     {ENOMEM, Code::kMemoryCap},
               {ENFILE, Code::kUnavailable}, {EFBIG, Code::kNoSpace}};
  std::set<std::string> said;
  for (const auto& c : cases) {
    const Status status = errno_status(c.error, "a.txt");
    CHECK(status.code == c.code);
    CHECK(status.message.starts_with("a.txt: "));
    said.insert(status.message);
  }
  CHECK(said.size() == std::size(cases));
}
