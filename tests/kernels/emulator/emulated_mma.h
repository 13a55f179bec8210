// mma.sync.aligned.m16n8k16.row.col.f32 of 16-bit numbers on the host, from the PTX ISA, "Matrix Fragments for mma.m16n8k16 with
// floating point type": which lane of the warp holds which elements of A [16, 16], B [16, 8] and of C and D [16, 8].
#pragma once
#include "edgead/half.h"
#include "emulated_cuda.h"

namespace emulated {

// Every lane gives its fragments, puts the two matrices together from those of all, and adds up its own four elements.
template <class Number>
void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  struct Fragments {
    std::uint32_t a[4], b[2];
  } given;
  std::memcpy(given.a, a, sizeof a);
  std::memcpy(given.b, b, sizeof b);
  const auto element = [](const std::uint32_t *words, int i) {
    return edgead::to_float(Number{std::uint16_t(words[i / 2] >> 16 * (i % 2))});
  };
  float A[16][16], B[16][8];
  together(~0u, &given, [&](const void *const *all) {
    for (int lane = 0; lane < warpSize; ++lane) {
      const Fragments &fragments = *static_cast<const Fragments *>(all[lane]);
      const int group = lane / 4, thread = lane % 4;
      for (int i = 0; i < 8; ++i) {
        const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        const int column = thread * 2 + i % 2 + (i < 4 ? 0 : 8);
        A[row][column] = element(fragments.a, i);
      }
      for (int i = 0; i < 4; ++i) B[thread * 2 + i % 2 + (i < 2 ? 0 : 8)][group] = element(fragments.b, i);
    }
  });
  const int group = lane() / 4, thread = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? group : group + 8, column = thread * 2 + i % 2;
    float sum = 0.f;
    for (int k = 0; k < 16; ++k) sum += A[row][k] * B[k][column];
    c[i] += sum;
  }
}

}  // namespace emulated
