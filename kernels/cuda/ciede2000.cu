// CIEDE2000 on the GPU: the definition of ciede2000.h, four neighbouring pixels a thread, so that a thread reads and writes 16
// bytes at a time wherever planes, rows and images begin at multiples of 16 bytes (uint8: 4), and single numbers elsewhere.
//
// The arguments are those of abi.h. Grid: pixels x images, as far as there are blocks in y; a block goes on to further images.
#include "edgead/ciede2000.h"

#include <algorithm>

#include "launch.cuh"

namespace {

using std::int64_t;

constexpr int kPixels = 4;
constexpr int kThreads = 256;

__device__ constexpr edgead::SrgbTable kSrgb = edgead::srgb_table();

__device__ inline bool aligned(const void *address, int64_t pitch, int64_t pixels, int bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0 && pitch % kPixels == 0 && pixels % kPixels == 0;
}

// N groups of four numbers from `source` on, of which the first `count` numbers exist
template <int N>
__device__ inline void read(const float *source, int64_t count, bool wide, float (&target)[N * kPixels]) {
  if (wide) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float4 four = reinterpret_cast<const float4 *>(source)[k];
      target[4 * k] = four.x, target[4 * k + 1] = four.y, target[4 * k + 2] = four.z, target[4 * k + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int k = 0; k < N * kPixels; ++k) target[k] = k < count ? source[k] : 0.f;
  }
}

__device__ inline void write(float *target, int64_t count, bool wide, const float (&source)[kPixels]) {
  if (wide) {
    *reinterpret_cast<float4 *>(target) = float4{source[0], source[1], source[2], source[3]};
  } else {
#pragma unroll
    for (int k = 0; k < kPixels; ++k)
      if (k < count) target[k] = source[k];
  }
}

// The linear values of four pixels of 8-bit red, green and blue
__device__ inline void read_linear(const std::uint8_t *source, int64_t count, bool wide, float (&target)[3 * kPixels]) {
  if (wide) {
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      const std::uint32_t word = reinterpret_cast<const std::uint32_t *>(source)[k];
#pragma unroll
      for (int byte = 0; byte < 4; ++byte) target[4 * k + byte] = kSrgb.linear[word >> 8 * byte & 255u];
    }
  } else {
#pragma unroll
    for (int k = 0; k < 3 * kPixels; ++k) target[k] = kSrgb.linear[k < count ? source[k] : 0];
  }
}

__global__ void __launch_bounds__(kThreads)
ciede2000_planar(const float *__restrict__ lab1, int64_t pitch1, const float *__restrict__ lab2, int64_t pitch2,
                 int64_t images, int64_t pixels, float *__restrict__ out) {
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * kPixels, count = pixels - first;
  if (count <= 0) return;
  const bool wide1 = aligned(lab1, pitch1, pixels, 16), wide2 = aligned(lab2, pitch2, pixels, 16);
  const bool wide = aligned(out, 0, pixels, 16);
  for (int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float from[3][kPixels], to[3][kPixels], difference[kPixels];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      read<1>(lab1 + image * pitch1 + c * pixels + first, count, wide1, from[c]);
      read<1>(lab2 + image * pitch2 + c * pixels + first, count, wide2, to[c]);
    }
#pragma unroll
    for (int k = 0; k < kPixels; ++k)
      difference[k] = edgead::ciede2000(from[0][k], from[1][k], from[2][k], to[0][k], to[1][k], to[2][k]);
    write(out + image * pixels + first, count, wide, difference);
  }
}

__global__ void __launch_bounds__(kThreads)
ciede2000_interleaved(const float *__restrict__ lab1, int64_t pitch1, const float *__restrict__ lab2, int64_t pitch2,
                      int64_t rows, int64_t pixels, float *__restrict__ out) {
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * kPixels, count = pixels - first;
  if (count <= 0) return;
  const bool wide1 = aligned(lab1, pitch1, pixels, 16), wide2 = aligned(lab2, pitch2, pixels, 16);
  const bool wide = aligned(out, 0, pixels, 16);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float from[3 * kPixels], to[3 * kPixels], difference[kPixels];
    read<3>(lab1 + row * pitch1 + 3 * first, 3 * count, wide1, from);
    read<3>(lab2 + row * pitch2 + 3 * first, 3 * count, wide2, to);
#pragma unroll
    for (int k = 0; k < kPixels; ++k)
      difference[k] =
          edgead::ciede2000(from[3 * k], from[3 * k + 1], from[3 * k + 2], to[3 * k], to[3 * k + 1], to[3 * k + 2]);
    write(out + row * pixels + first, count, wide, difference);
  }
}

__global__ void __launch_bounds__(kThreads)
ciede2000_recolored(const std::uint8_t *__restrict__ rgb, int64_t pitch1, const float *__restrict__ ab, int64_t pitch2,
                    int64_t images, int64_t pixels, float *__restrict__ out) {
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * kPixels, count = pixels - first;
  if (count <= 0) return;
  const bool wide1 = aligned(rgb, pitch1, pixels, 4), wide2 = aligned(ab, pitch2, pixels, 16);
  const bool wide = aligned(out, 0, pixels, 16);
  for (int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float linear[3 * kPixels], a[kPixels], b[kPixels], difference[kPixels];
    read_linear(rgb + image * pitch1 + 3 * first, 3 * count, wide1, linear);
    read<1>(ab + image * pitch2 + first, count, wide2, a);
    read<1>(ab + image * pitch2 + pixels + first, count, wide2, b);
#pragma unroll
    for (int k = 0; k < kPixels; ++k)
      difference[k] =
          edgead::ciede2000_recolored(linear[3 * k], linear[3 * k + 1], linear[3 * k + 2], a[k], b[k]);
    write(out + image * pixels + first, count, wide, difference);
  }
}

template <class Kernel, class First, class Second>
int launch(Kernel kernel, const First *first, int64_t pitch1, const Second *second, int64_t pitch2, int64_t images,
           int64_t pixels, float *out, void *stream) {
  if (images < 0 || pixels < 0) return edgead::kBadCount;
  if (images == 0 || pixels == 0) return edgead::kOk;
  const dim3 grid(unsigned(edgead::blocks_for(pixels, kThreads * kPixels)), unsigned(std::min(images, edgead::kGridLimit)));
  EDGEAD_LAUNCH(kernel, grid, dim3(kThreads), 0, stream, first, pitch1, second, pitch2, images, pixels, out);
  return edgead::launched();
}

}  // namespace

int edgead_cuda_ciede2000_planar(const float *lab1, int64_t pitch1, const float *lab2, int64_t pitch2, int64_t images,
                                 int64_t pixels, float *out, void *stream) {
  return launch(ciede2000_planar, lab1, pitch1, lab2, pitch2, images, pixels, out, stream);
}

int edgead_cuda_ciede2000_interleaved(const float *lab1, int64_t pitch1, const float *lab2, int64_t pitch2, int64_t rows,
                                      int64_t pixels, float *out, void *stream) {
  return launch(ciede2000_interleaved, lab1, pitch1, lab2, pitch2, rows, pixels, out, stream);
}

int edgead_cuda_ciede2000_recolored(const std::uint8_t *rgb, int64_t pitch1, const float *ab, int64_t pitch2, int64_t images,
                                    int64_t pixels, float *out, void *stream) {
  return launch(ciede2000_recolored, rgb, pitch1, ab, pitch2, images, pixels, out, stream);
}
