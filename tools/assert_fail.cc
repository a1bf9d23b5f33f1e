// What the command says where an assertion of a library in C or C++ fails. RocksDB has them, also as Debian builds it,
// for what it never expects to read or be refused; they would end the process by a signal, without --json's object.
#include <reform/status.h>

#include <cstdio>
#include <cstring>

#include "tools/sudden_end.h"

// Visible, so that libraries call it in place of the C library's.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" [[noreturn, gnu::visibility("default")]] void __assert_fail(const char* /*assertion*/, const char* file,
                                                                       unsigned int line,
                                                                       const char* /*function*/) noexcept {
  char message[400];
  const char* const name = std::strrchr(file, '/') == nullptr ? file : std::strrchr(file, '/') + 1;
  std::snprintf(
      message, sizeof message,
      "a library gave up (%.200s, line %u): stored data is damaged, or the system refused an operation; reform "
      "verify NAME tells of a context whether it is whole",
      name, line);
  reform::tool::end_suddenly(reform::Code::kCorrupt, message);
}
