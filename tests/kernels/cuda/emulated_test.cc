// The emulation itself: it gives each lane what PTX says, and it notices what a chip may punish.
#include "tests/kernels/cuda/emulated.h"

#include <catch2/catch.hpp>
#include <vector>

namespace reform::cuda {
namespace {

// out [32 lanes, 4 matrices, 2]: what each lane holds after loading four matrices. Element (r, c) of matrix i is 100 i
// + 10 r + c.
std::vector<int> loaded(bool transposed) {
  alignas(16) static uint16_t rows[4][8][8];
  for (int i = 0; i < 256; ++i) rows[i / 64][i / 8 % 8][i % 8] = uint16_t(100 * (i / 64) + 10 * (i / 8 % 8) + i % 8);
  std::vector<int> out(32 * 8);
  emulated::run_grid({1}, {32}, 0, [&] {
    const int lane = int(threadIdx.x);
    uint32_t m[4];
    load_matrices(m, rows[lane / 8][lane % 8], transposed);
    for (int i = 0; i < 8; ++i) out[size_t(lane) * 8 + size_t(i)] = int(i % 2 ? m[i / 2] >> 16 : m[i / 2] & 0xffff);
  });
  return out;
}

TEST_CASE("emulated ldmatrix hands out rows, or columns, as PTX says", "[kernels][cuda]") {
  const std::vector<int> rows = loaded(false), columns = loaded(true);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      const int own = lane / 4, in_pair = lane % 4 * 2 + i % 2;
      REQUIRE(rows[size_t(lane) * 8 + size_t(i)] == 100 * (i / 2) + 10 * own + in_pair);
      REQUIRE(columns[size_t(lane) * 8 + size_t(i)] == 100 * (i / 2) + 10 * in_pair + own);
    }
  }
}

// What the second of two threads sees of the first one's copies, with or without waiting and meeting.
int seen(bool waits, bool meets, int n_bytes) {
  alignas(16) static const int32_t from[4] = {1, 2, 3, 4};
  alignas(16) static int32_t to[2][4];
  std::fill_n(&to[0][0], 8, 9);
  int sum = 0;
  emulated::run_grid({1}, {2}, 0, [&] {
    copy_async(to[threadIdx.x], from, n_bytes);
    commit_copies();
    if (waits) wait_copies<0>();
    if (!waits) wait_copies<1>();
    if (meets) meet_block();
    if (threadIdx.x == 1) sum = to[0][0] + to[0][1] + to[0][2] + to[0][3];
  });
  return sum;
}

TEST_CASE("emulated copies are seen once they are waited for, and no earlier", "[kernels][cuda]") {
  CHECK(seen(true, true, 16) == 10);
  CHECK(seen(true, true, 8) == 3);
  CHECK(seen(true, true, 0) == 0);
  CHECK(seen(false, true, 16) == 36);
  emulated::copies_at_once = true;
  CHECK(seen(false, true, 16) == 10);
  emulated::copies_at_once = false;
}

}  // namespace
}  // namespace reform::cuda
