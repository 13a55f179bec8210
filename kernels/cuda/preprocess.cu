// Frames to images on the GPU: the definition of preprocess.h in one kernel, without an image in between.
//
// A block makes up to kTile neighbouring pixels of one output row. Of up to kColumns source columns at a time, its threads read
// four neighbouring pixels each, row by row (12, 8 or 4 bytes in words of 4 where all rows begin at multiples of that, single bytes
// elsewhere), convert them on the way and leave their column sums in shared memory; then each thread adds up one channel of one
// output pixel. A support of more columns is made piece by piece: sums of integers do not mind.
//
// Grid: tiles x output rows.
#include "edgead/preprocess.h"

#include <algorithm>

#include "launch.cuh"

namespace {

using edgead::Area;
using edgead::Frame;
using edgead::ResizeAxis;
using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;

constexpr int kPixels = 4;
constexpr int kTile = 64;
constexpr int kThreads = 3 * kTile;
constexpr int kColumns = kPixels * kThreads;

// ---- the taps of both axes, in the caller's memory -----------------------------------------------------------------------

struct Axis {
  int32_t in, out, stride;
  int32_t *first, *count;
  std::int16_t *weight;

  ResizeAxis taps() const { return {first, count, weight, stride}; }
};

// Of the columns, whose sums make output rows, and of the rows
struct Tables {
  Axis columns, rows;
};

std::int64_t weights_of(int32_t in, int32_t out) { return int64_t(out) * edgead::resize_taps(in, out); }

Tables tables_in(void *memory, int32_t height, int32_t width, int32_t out_height, int32_t out_width) {
  int32_t *const columns = static_cast<int32_t *>(memory), *const rows = columns + 2 * out_height;
  std::int16_t *const weight = reinterpret_cast<std::int16_t *>(rows + 2 * out_width);
  std::int16_t *const row_weight = weight + weights_of(height, out_height);
  return {{height, out_height, edgead::resize_taps(height, out_height), columns, columns + out_height, weight},
          {width, out_width, edgead::resize_taps(width, out_width), rows, rows + out_width, row_weight}};
}

__global__ void __launch_bounds__(kThreads) fill(Axis axis) {
  const int32_t i = int32_t(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= axis.out) return;
  axis.count[i] = edgead::resize_weights(axis.in, axis.out, i, axis.first + i, axis.weight + int64_t(i) * axis.stride);
}

// ---- the image -----------------------------------------------------------------------------------------------------------

__device__ inline uint32_t word_at(const uint8_t *address) { return __ldg(reinterpret_cast<const uint32_t *>(address)); }
__device__ inline int32_t byte_of(uint32_t word, int index) { return int32_t(word >> 8 * index & 255u); }

template <int channels>
__device__ inline void add(int32_t weight, edgead::Rgb pixel, int32_t *sums) {
  sums[0] += weight * pixel.red;
  if (channels == 3) sums[1] += weight * pixel.green, sums[2] += weight * pixel.blue;
}

// Adds pixels x .. x + 3 of row y, all of them in the frame, to the sums of each. x is a multiple of 4, and so are all addresses.
template <int layout, int channels>
__device__ inline void add_words(const Frame &frame, int32_t y, int32_t x, int32_t weight, int32_t (&sums)[kPixels * channels]) {
  const uint8_t *row = frame.plane + y * frame.pitch;
  if (layout == edgead::kBgr || layout == edgead::kRgb) {
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      const uint32_t word = word_at(row + int64_t(x) * 3 + 4 * k);
#pragma unroll
      for (int byte = 0; byte < 4; ++byte) {
        const int value = 4 * k + byte, c = value % 3;
        sums[value - c + (layout == edgead::kBgr ? 2 - c : c)] += weight * byte_of(word, byte);
      }
    }
  } else if (layout == edgead::kGray) {
    const uint32_t word = word_at(row + x);
#pragma unroll
    for (int k = 0; k < kPixels; ++k) sums[k] += weight * byte_of(word, k);
  } else if (layout == edgead::kNv12) {
    const uint32_t light = word_at(row + x), chroma = word_at(frame.chroma + y / 2 * frame.chroma_pitch + x);
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int32_t u = byte_of(chroma, k & 2), v = byte_of(chroma, (k & 2) + 1);
      add<channels>(weight, edgead::rgb_of_yuv(byte_of(light, k), u, v), sums + k * channels);
    }
  } else {
#pragma unroll
    for (int k = 0; k < kPixels; k += 2) {
      const uint32_t word = word_at(row + int64_t(x + k) * 2);
      const int32_t u = byte_of(word, 1), v = byte_of(word, 3);
      add<channels>(weight, edgead::rgb_of_yuv(byte_of(word, 0), u, v), sums + k * channels);
      add<channels>(weight, edgead::rgb_of_yuv(byte_of(word, 2), u, v), sums + (k + 1) * channels);
    }
  }
}

// The same wherever they lie, and those of them that are in the frame.
template <int layout, int channels>
__device__ inline void add_pixels(Frame frame, int32_t y, int32_t x, int32_t weight, int32_t (&sums)[kPixels * channels]) {
  frame.layout = layout;
#pragma unroll
  for (int k = 0; k < kPixels; ++k)
    if (x + k < frame.width) add<channels>(weight, edgead::pixel_of(frame, y, x + k), sums + k * channels);
}

// Without a number of blocks, ptxas spills registers on some architectures to have room for more of them.
template <int layout>
__global__ void __launch_bounds__(kThreads, 5)
preprocess(Frame frame, Area area, ResizeAxis columns, ResizeAxis rows, uint8_t *__restrict__ target, int32_t out_width,
           int32_t tile, bool in_words) {
  constexpr int kChannels = layout == edgead::kGray ? 1 : 3;
  EDGEAD_SHARED(uint16_t, sums);  // [kColumns, kChannels]
  const int32_t thread = int32_t(threadIdx.x), y = int32_t(blockIdx.y);
  const int32_t tile_begin = int32_t(blockIdx.x) * tile, tile_end = min(tile_begin + tile, out_width);
  const int32_t top = area.top + columns.first[y], height = columns.count[y];
  const std::int16_t *column_weight = columns.weight + int64_t(y) * columns.stride;

  const int32_t x = tile_begin + thread / 3, channel = thread % 3;
  const bool mine = x < tile_end;
  const int32_t begin = mine ? area.left + rows.first[x] : 0, end = mine ? begin + rows.count[x] : 0;
  const std::int16_t *weight = rows.weight + int64_t(mine ? x : 0) * rows.stride;
  int32_t sum = 0;

  const int32_t last = area.left + rows.first[tile_end - 1] + rows.count[tile_end - 1];
  for (int32_t left = (area.left + rows.first[tile_begin]) / kPixels * kPixels; left < last; left += kColumns) {
    const int32_t column = left + kPixels * thread;
    if (column < last) {
      int32_t four[kPixels * kChannels] = {};
      if (in_words && column + kPixels <= frame.width) {
#pragma unroll 4
        for (int32_t m = 0; m < height; ++m) add_words<layout, kChannels>(frame, top + m, column, column_weight[m], four);
      } else {
        for (int32_t m = 0; m < height; ++m) add_pixels<layout, kChannels>(frame, top + m, column, column_weight[m], four);
      }
      uint32_t *pairs = reinterpret_cast<uint32_t *>(sums + kPixels * kChannels * thread);
#pragma unroll
      for (int k = 0; k < 2 * kChannels; ++k)
        pairs[k] = uint32_t(edgead::round_column(four[2 * k])) | uint32_t(edgead::round_column(four[2 * k + 1])) << 16;
    }
    __syncthreads();
    const int32_t until = min(end, left + kColumns);
    for (int32_t k = max(begin, left); k < until; ++k)
      sum += weight[k - begin] * int32_t(sums[(k - left) * kChannels + (kChannels == 3 ? channel : 0)]);
    __syncthreads();
  }
  if (mine) target[(int64_t(y) * out_width + x) * 3 + channel] = edgead::round_row(sum);
}

// Output pixels of a block: as many as the columns are for, and equally many in each.
int32_t tile_of(int32_t width, int32_t out_width) {
  const int64_t room = kColumns - (kPixels - 1) - edgead::resize_taps(width, out_width);
  const int32_t most = int32_t(std::clamp<int64_t>(room * out_width / width, 1, kTile));
  const int32_t tiles = (out_width + most - 1) / most;
  return (out_width + tiles - 1) / tiles;
}

bool whole_words(const uint8_t *plane, int64_t pitch) {
  return reinterpret_cast<std::uintptr_t>(plane) % 4 == 0 && pitch % 4 == 0;
}

template <int layout>
int launch(const Frame &frame, const Area &area, const Tables &tables, uint8_t *target, void *stream) {
  const auto kernel = preprocess<layout>;
  const int32_t out_width = tables.rows.out, tile = tile_of(area.width, out_width);
  const bool in_words = whole_words(frame.plane, frame.pitch) &&
                        (layout != edgead::kNv12 || whole_words(frame.chroma, frame.chroma_pitch));
  const dim3 grid(unsigned(edgead::blocks_for(out_width, tile)), unsigned(tables.columns.out));
  const std::size_t bytes = sizeof(uint16_t) * kColumns * (layout == edgead::kGray ? 1 : 3);
  const ResizeAxis columns = tables.columns.taps(), rows = tables.rows.taps();
  EDGEAD_LAUNCH(kernel, grid, dim3(kThreads), bytes, stream, frame, area, columns, rows, target, out_width, tile, in_words);
  return edgead::launched();
}

bool are_sides(int32_t height, int32_t width, int32_t out_height, int32_t out_width) {
  return edgead::is_side(height) && edgead::is_side(width) && edgead::is_side(out_height) && edgead::is_side(out_width);
}

}  // namespace

int64_t edgead_cuda_preprocess_bytes(int32_t height, int32_t width, int32_t out_height, int32_t out_width) {
  if (!are_sides(height, width, out_height, out_width)) return -1;
  return (int64_t(out_height) + out_width) * 8 + (weights_of(height, out_height) + weights_of(width, out_width)) * 2;
}

int edgead_cuda_preprocess_tables(void *tables, int32_t height, int32_t width, int32_t out_height, int32_t out_width,
                                  void *stream) {
  if (!are_sides(height, width, out_height, out_width)) return edgead::kBadSize;
  const Tables there = tables_in(tables, height, width, out_height, out_width);
  for (const Axis axis : {there.columns, there.rows})
    EDGEAD_LAUNCH(fill, dim3(unsigned(edgead::blocks_for(axis.out, kThreads))), dim3(kThreads), 0, stream, axis);
  return edgead::launched();
}

int edgead_cuda_preprocess(const Frame *frame, const Area *area, const void *tables, std::uint8_t *target, int32_t out_height,
                           int32_t out_width, void *stream) {
  const int status = edgead::preprocess_status(*frame, *area, out_height, out_width);
  if (status != edgead::kOk) return status;
  const Tables there = tables_in(const_cast<void *>(tables), area->height, area->width, out_height, out_width);
  switch (frame->layout) {
    case edgead::kBgr: return launch<edgead::kBgr>(*frame, *area, there, target, stream);
    case edgead::kRgb: return launch<edgead::kRgb>(*frame, *area, there, target, stream);
    case edgead::kGray: return launch<edgead::kGray>(*frame, *area, there, target, stream);
    case edgead::kNv12: return launch<edgead::kNv12>(*frame, *area, there, target, stream);
    default: return launch<edgead::kYuyv>(*frame, *area, there, target, stream);
  }
}
