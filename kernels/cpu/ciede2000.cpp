// CIEDE2000 on the CPU: the definition of ciede2000.h along planes (SIMD). Pixels that are interleaved become planes block by
// block.
#include "edgead/ciede2000.h"

#include <algorithm>

#include "edgead/clones.h"
#include "parallel.h"

namespace {

using std::int64_t;

constexpr int64_t kBlock = 512;     // pixels: their planes stay in the first-level cache
constexpr int64_t kGrain = 1 << 14;  // pixels for which a thread is worth starting: about 0.1 ms

constexpr edgead::SrgbTable kSrgb = edgead::srgb_table();

EDGEAD_CLONES void along_planes(const float *l1, const float *a1, const float *b1, const float *l2, const float *a2,
                                const float *b2, float *__restrict out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = edgead::ciede2000(l1[i], a1[i], b1[i], l2[i], a2[i], b2[i]);
}

EDGEAD_CLONES void along_pixels(const float *lab1, const float *lab2, float *__restrict out, int64_t count) {
  float plane[6][kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    for (int64_t i = 0; i < size; ++i)
      for (int c = 0; c < 3; ++c) {
        plane[c][i] = lab1[(begin + i) * 3 + c];
        plane[3 + c][i] = lab2[(begin + i) * 3 + c];
      }
    for (int64_t i = 0; i < size; ++i)
      out[begin + i] = edgead::ciede2000(plane[0][i], plane[1][i], plane[2][i], plane[3][i], plane[4][i], plane[5][i]);
  }
}

EDGEAD_CLONES void along_photograph(const std::uint8_t *rgb, const float *a, const float *b, float *__restrict out,
                                    int64_t count) {
  float plane[3][kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t size = std::min(kBlock, count - begin);
    for (int64_t i = 0; i < size; ++i)
      for (int c = 0; c < 3; ++c) plane[c][i] = kSrgb.linear[rgb[(begin + i) * 3 + c]];
    for (int64_t i = 0; i < size; ++i)
      out[begin + i] = edgead::ciede2000_recolored(plane[0][i], plane[1][i], plane[2][i], a[begin + i], b[begin + i]);
  }
}

// run(image, first, count) for pieces that together are all pixels of all images
template <class Run>
int over(int64_t images, int64_t pixels, std::int32_t threads, const Run &run) {
  if (images < 0 || pixels < 0 || threads < 1) return edgead::kBadCount;
  edgead::in_parallel(images * pixels, kGrain, threads, [&run, pixels](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t first = begin % pixels, count = std::min(pixels - first, end - begin);
      run(begin / pixels, first, count);
      begin += count;
    }
  });
  return edgead::kOk;
}

}  // namespace

int edgead_ciede2000_planar(const float *lab1, int64_t pitch1, const float *lab2, int64_t pitch2, int64_t images,
                            int64_t pixels, float *out, std::int32_t threads) {
  return over(images, pixels, threads, [=](int64_t image, int64_t first, int64_t count) {
    const float *p = lab1 + image * pitch1 + first, *q = lab2 + image * pitch2 + first;
    along_planes(p, p + pixels, p + 2 * pixels, q, q + pixels, q + 2 * pixels, out + image * pixels + first, count);
  });
}

int edgead_ciede2000_interleaved(const float *lab1, int64_t pitch1, const float *lab2, int64_t pitch2, int64_t rows,
                                 int64_t pixels, float *out, std::int32_t threads) {
  return over(rows, pixels, threads, [=](int64_t row, int64_t first, int64_t count) {
    along_pixels(lab1 + row * pitch1 + 3 * first, lab2 + row * pitch2 + 3 * first, out + row * pixels + first, count);
  });
}

int edgead_ciede2000_recolored(const std::uint8_t *rgb, int64_t pitch1, const float *ab, int64_t pitch2, int64_t images,
                                int64_t pixels, float *out, std::int32_t threads) {
  return over(images, pixels, threads, [=](int64_t image, int64_t first, int64_t count) {
    const float *a = ab + image * pitch2 + first;
    along_photograph(rgb + image * pitch1 + 3 * first, a, a + pixels, out + image * pixels + first, count);
  });
}
