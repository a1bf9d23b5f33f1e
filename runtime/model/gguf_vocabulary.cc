#include "runtime/model/gguf_vocabulary.h"

namespace reform {

// GPT-2's byte alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100, U+0101, … in order.
std::array<uint32_t, 256> byte_alphabet() {
  std::array<uint32_t, 256> points;
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    points[b] = printable ? b : next++;
  }
  return points;
}

}  // namespace reform
