// Regions and overlay on the GPU: the definition of postprocess.h.
//
// Regions are found by labels. The label of a pixel above is a pixel of its region that is not after it, and itself where it is the
// first, the root: a forest in which threads join trees with atomicMin. Labels only sink, and who lowers one joins what was there
// before as well, so that any order of threads ends in the same roots. Then roots are counted, which gives each its place among the
// regions, and the pixels are gathered into these with atomics on integers, in which order matters neither.
//
// A warp has 32 pixels of one row, and treats those of them above that follow each other as one, by its first.
#include "edgead/postprocess.h"

#include <algorithm>

#include "launch.cuh"

namespace {

using std::int32_t;
using std::int64_t;

constexpr int kWarp = 32, kRows = 8;    // pixels of a block where warps have rows
constexpr int kTile = 256;              // pixels of a block elsewhere
constexpr int kScan = 256;              // threads that add up the tiles
constexpr int kFinish = 256;            // blocks that write regions
constexpr unsigned kAll = ~0u;
constexpr int32_t kBelow = -1;          // the label of a pixel that is not above. Of a root: kPlaced - its place among the regions
constexpr int32_t kPlaced = -2;

// ---- regions -------------------------------------------------------------------------------------------------------

// float32 [height, width], and what is above in it
struct Map {
  const float *values;
  int32_t height, width;
  float threshold;

  __device__ int32_t size() const { return height * width; }
  __device__ bool above(int32_t y, int32_t x) const {
    return y >= 0 && y < height && x >= 0 && x < width && values[y * width + x] >= threshold;
  }
};

// The pixel of a thread where warps have rows
struct Place {
  int32_t y, x, index;

  __device__ explicit Place(const Map &map)
      : y(int32_t(blockIdx.y * kRows + threadIdx.y)), x(int32_t(blockIdx.x * kWarp + threadIdx.x)), index(y * map.width + x) {}
};

// Where in the warp the pixels above, bits of `above`, that lane `lane` belongs to begin and end
__device__ inline int begin_of(unsigned above, int lane) {
  const unsigned gaps = ~above & ((1u << lane) - 1u);
  return gaps ? kWarp - __clz(int(gaps)) : 0;
}

__device__ inline int end_of(unsigned above, int lane) {
  const unsigned gaps = ~above >> lane << lane;
  return gaps ? __ffs(int(gaps)) - 1 : kWarp;
}

// Others may lower labels meanwhile: what is read was the label at some time, and leads to the same root.
__device__ inline int32_t root_of(const volatile int32_t *labels, int32_t pixel) {
  for (int32_t label = labels[pixel]; label != pixel; label = labels[pixel]) pixel = label;
  return pixel;
}

__device__ inline void join(int32_t *labels, int32_t one, int32_t other) {
  while (true) {
    one = root_of(labels, one), other = root_of(labels, other);
    if (one == other) return;
    const int32_t later = one > other ? one : other, earlier = one > other ? other : one;
    const int32_t before = atomicMin(labels + later, earlier);
    if (before == later) return;
    one = before, other = earlier;  // it was no root any more: what it had been joined to is still to be joined
  }
}

__global__ void __launch_bounds__(kWarp *kRows) label_rows(Map map, int32_t *__restrict__ labels) {
  const Place place(map);
  const unsigned above = __ballot_sync(kAll, map.above(place.y, place.x));
  if (place.y >= map.height || place.x >= map.width) return;
  const int lane = int(threadIdx.x);
  labels[place.index] = above >> lane & 1u ? place.index - lane + begin_of(above, lane) : kBelow;
}

// A pixel is joined with the row before it where none beside it in its own row sees to that.
__global__ void __launch_bounds__(kWarp *kRows) join_rows(Map map, int32_t *labels) {
  const Place place(map);
  const int32_t y = place.y, x = place.x, up = place.index - map.width;
  if (!map.above(y, x)) return;
  const bool left = map.above(y, x - 1), up_left = map.above(y - 1, x - 1);
  if (left && threadIdx.x == 0) join(labels, place.index, place.index - 1);
  if (map.above(y - 1, x)) {
    if (!left || !up_left) join(labels, place.index, up);
    return;
  }
  if (up_left && !left) join(labels, place.index, up - 1);
  if (map.above(y - 1, x + 1) && !map.above(y, x + 1)) join(labels, place.index, up + 1);
}

// How many threads before this one in the block say yes, and in `total` how many do
__device__ inline int32_t rank_in_tile(bool yes, int32_t &total) {
  __shared__ int32_t warps[kTile / kWarp];
  const unsigned votes = __ballot_sync(kAll, yes);
  const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) / kWarp;
  if (lane == 0) warps[warp] = __popc(votes);
  __syncthreads();
  int32_t rank = __popc(votes & ((1u << lane) - 1u));
  total = 0;
#pragma unroll
  for (int other = 0; other < kTile / kWarp; ++other) {
    rank += other < warp ? warps[other] : 0;
    total += warps[other];
  }
  return rank;
}

// Every label becomes the root; roots are counted.
__global__ void __launch_bounds__(kTile) find_roots(int32_t size, int32_t *labels, int32_t *__restrict__ tiles) {
  const int32_t index = int32_t(blockIdx.x * kTile + threadIdx.x);
  int32_t root = kBelow, total;
  if (index < size && labels[index] != kBelow) root = labels[index] = root_of(labels, index);
  rank_in_tile(root == index, total);
  if (threadIdx.x == 0) tiles[blockIdx.x] = total;
}

// tiles [count] of numbers of roots become the numbers of roots before each tile.
__global__ void __launch_bounds__(kScan) add_up_tiles(int32_t count, int32_t *__restrict__ tiles, int32_t *__restrict__ roots) {
  __shared__ int32_t sums[kScan];
  const int32_t own = (count + kScan - 1) / kScan, thread = int32_t(threadIdx.x);
  const int32_t begin = min(own * thread, count), end = min(begin + own, count);
  int32_t sum = 0;
  for (int32_t tile = begin; tile < end; ++tile) sum += tiles[tile];
  sums[thread] = sum;
  __syncthreads();
  for (int32_t by = 1; by < kScan; by *= 2) {
    const int32_t before = thread >= by ? sums[thread - by] : 0;
    __syncthreads();
    sums[thread] += before;
    __syncthreads();
  }
  int32_t before = sums[thread] - sum;
  for (int32_t tile = begin; tile < end; ++tile) {
    const int32_t in_tile = tiles[tile];
    tiles[tile] = before;
    before += in_tile;
  }
  if (thread == kScan - 1) *roots = before;
}

// Each root gets its place, and the region there a beginning. Until finish_regions, a region has its right column for its width,
// its bottom row for its height, and an integer for its peak.
__global__ void __launch_bounds__(kTile)
place_regions(Map map, int32_t *labels, const int32_t *__restrict__ tiles, edgead::Region *__restrict__ regions, int32_t capacity) {
  const int32_t index = int32_t(blockIdx.x * kTile + threadIdx.x);
  const bool root = index < map.size() && labels[index] == index;
  int32_t total;
  const int32_t place = rank_in_tile(root, total) + tiles[blockIdx.x];
  if (!root) return;
  labels[index] = kPlaced - place;
  if (place < capacity) regions[place] = {map.width, index / map.width, 0, 0, 0, __int_as_float(INT32_MIN)};
}

__global__ void __launch_bounds__(kWarp *kRows)
gather(Map map, const int32_t *__restrict__ labels, edgead::Region *regions, int32_t capacity) {
  const Place place(map);
  const bool own = map.above(place.y, place.x);
  const unsigned above = __ballot_sync(kAll, own);
  const int lane = int(threadIdx.x), end = end_of(above, lane);
  int32_t peak = own ? edgead::ordered(map.values[place.index]) : INT32_MIN;
#pragma unroll
  for (int by = 1; by < kWarp; by *= 2) {
    const int32_t other = __shfl_down_sync(kAll, peak, unsigned(by));
    if (lane + by < end) peak = max(peak, other);
  }
  if (!own || begin_of(above, lane) != lane) return;
  const int32_t label = labels[place.index], at = kPlaced - (label > kBelow ? labels[label] : label);
  if (at >= capacity) return;
  edgead::Region &region = regions[at];
  atomicMin(&region.left, place.x);
  atomicMax(&region.width, place.x + end - lane - 1);
  atomicMax(&region.height, place.y);
  atomicAdd(&region.area, end - lane);
  atomicMax(reinterpret_cast<int32_t *>(&region.peak), peak);
}

__global__ void __launch_bounds__(kTile)
finish_regions(edgead::Region *__restrict__ regions, int32_t capacity, const int32_t *__restrict__ count) {
  const int32_t written = min(*count, capacity), threads = int32_t(gridDim.x) * kTile;
  for (int32_t index = int32_t(blockIdx.x * kTile + threadIdx.x); index < written; index += threads) {
    edgead::Region &region = regions[index];
    region.width += 1 - region.left, region.height += 1 - region.top;
    region.peak = edgead::from_ordered(__float_as_int(region.peak));
  }
}

// ---- overlay -------------------------------------------------------------------------------------------------------

constexpr int kPixels = 4;  // neighbouring ones of a thread, so that it writes whole words

__device__ constexpr edgead::Turbo kTurbo = edgead::turbo();

__device__ inline std::uint32_t packed(const edgead::Rgb &pixel, bool swap) {
  const std::uint32_t first = swap ? pixel.blue : pixel.red, third = swap ? pixel.red : pixel.blue;
  return first | std::uint32_t(pixel.green) << 8 | third << 16;
}

__global__ void __launch_bounds__(kWarp *kRows)
overlay(edgead::Frame frame, edgead::Heat heat, int32_t reach, bool swap, std::uint8_t *__restrict__ target) {
  const int32_t y = int32_t(blockIdx.y * kRows + threadIdx.y), x = int32_t(blockIdx.x * kWarp + threadIdx.x) * kPixels;
  if (y >= frame.height || x >= frame.width) return;
  std::uint8_t *const out = target + (int64_t(y) * frame.width + x) * 3;
  std::uint32_t first = 0, second = 0, third = 0;  // the twelve bytes of four pixels, which come in from the end
#pragma unroll 1
  for (int32_t k = x; k < x + kPixels; ++k) {
    const std::uint32_t pixel = k < frame.width ? packed(edgead::overlaid(frame, heat, kTurbo, reach, y, k), swap) : 0;
    first = first >> 24 | second << 8, second = second >> 24 | third << 8, third = third >> 24 | pixel << 8;
  }
  if (frame.width % kPixels == 0 && reinterpret_cast<std::uintptr_t>(target) % sizeof first == 0) {
    auto *const words = reinterpret_cast<std::uint32_t *>(out);
    words[0] = first, words[1] = second, words[2] = third;
    return;
  }
  const int32_t bytes = 3 * min(frame.width - x, kPixels);
  for (int32_t i = 0; i < bytes; ++i) {
    out[i] = std::uint8_t(first);
    first = first >> 8 | second << 24, second = second >> 8 | third << 24, third >>= 8;
  }
}

unsigned tiles_of(int32_t height, int32_t width) { return unsigned(edgead::blocks_for(int64_t(height) * width, kTile)); }

}  // namespace

int64_t edgead_cuda_regions_bytes(int32_t height, int32_t width) {
  if (!edgead::is_map(height, width)) return 0;
  return (int64_t(height) * width + tiles_of(height, width)) * int64_t(sizeof(int32_t));
}

int edgead_cuda_regions(const float *map, int32_t height, int32_t width, float threshold, edgead::Region *regions, int32_t capacity,
                        int32_t *count, void *workspace, void *stream) {
  if (!edgead::is_map(height, width)) return edgead::kBadSize;
  if (capacity < 0) return edgead::kBadCount;
  const Map whole{map, height, width, threshold};
  const int32_t size = height * width, tiles = int32_t(tiles_of(height, width));
  int32_t *const labels = static_cast<int32_t *>(workspace), *const before = labels + size;
  const dim3 rows(kWarp, kRows), grid(unsigned(edgead::blocks_for(width, kWarp)), unsigned(edgead::blocks_for(height, kRows)));
  const dim3 line(unsigned(tiles), 1), tile(kTile);
  const dim3 finish(unsigned(std::min<int64_t>(kFinish, edgead::blocks_for(std::max(capacity, 1), kTile))));
  EDGEAD_LAUNCH(label_rows, grid, rows, 0, stream, whole, labels);
  EDGEAD_LAUNCH(join_rows, grid, rows, 0, stream, whole, labels);
  EDGEAD_LAUNCH(find_roots, line, tile, 0, stream, size, labels, before);
  EDGEAD_LAUNCH(add_up_tiles, dim3(1), dim3(kScan), 0, stream, tiles, before, count);
  EDGEAD_LAUNCH(place_regions, line, tile, 0, stream, whole, labels, before, regions, capacity);
  EDGEAD_LAUNCH(gather, grid, rows, 0, stream, whole, labels, regions, capacity);
  EDGEAD_LAUNCH(finish_regions, finish, tile, 0, stream, regions, capacity, count);
  return edgead::launched();
}

int edgead_cuda_overlay(const edgead::Frame *frame, const float *map, int32_t map_height, int32_t map_width, float low, float high,
                        float threshold, std::uint32_t line, std::uint8_t *target, int32_t swap, void *stream) {
  if (!edgead::is_map(map_height, map_width)) return edgead::kBadSize;
  if (const int status = edgead::frame_status(*frame)) return status;
  const edgead::Heat heat{map, map_height, map_width, low, edgead::span_of(low, high), threshold, line};
  const dim3 grid(unsigned(edgead::blocks_for(frame->width, kWarp * kPixels)),
                  unsigned(edgead::blocks_for(frame->height, kRows)));
  const int32_t reach = edgead::reach_of(frame->height, frame->width);
  EDGEAD_LAUNCH(overlay, grid, dim3(kWarp, kRows), 0, stream, *frame, heat, reach, swap != 0, target);
  return edgead::launched();
}
