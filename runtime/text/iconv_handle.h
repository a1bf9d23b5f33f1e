// A conversion of the C library's iconv.
#pragma once

#include <iconv.h>

#include <string>

namespace reform {

// Code points of four bytes, without a byte order mark.
inline constexpr const char* kCodePoints = "UTF-32LE";

struct Iconv {
  Iconv(const std::string& to, const std::string& from) : handle(iconv_open(to.c_str(), from.c_str())) {}
  ~Iconv() {
    if (valid()) iconv_close(handle);
  }
  Iconv(const Iconv&) = delete;
  Iconv& operator=(const Iconv&) = delete;
  // False: one of the names is unknown.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the error value of iconv_open()
  bool valid() const { return handle != iconv_t(-1); }

  iconv_t handle;
};

}  // namespace reform
