#include "base/blank.h"

#include <algorithm>
#include <iterator>

namespace reform {
namespace {

struct CodePoints {
  char32_t first, last;
};

// Unicode 16, in order.
constexpr CodePoints kBlank[] = {
    {0x0000, 0x0020},   {0x007f, 0x00a0},   {0x00ad, 0x00ad},  {0x034f, 0x034f}, {0x061c, 0x061c}, {0x115f, 0x1160},
    {0x1680, 0x1680},   {0x17b4, 0x17b5},   {0x180b, 0x180f},  {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
    {0x3000, 0x3000},   {0x3164, 0x3164},   {0xfe00, 0xfe0f},  {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfff8},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};

}  // namespace

bool is_blank(char32_t code_point) {
  const auto range = std::lower_bound(std::begin(kBlank), std::end(kBlank), code_point,
                                      [](const CodePoints& r, char32_t c) { return r.last < c; });
  return range != std::end(kBlank) && range->first <= code_point;
}

}  // namespace reform
