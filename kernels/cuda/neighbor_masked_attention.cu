// Neighbour-masked attention on the GPU: the definition of neighbor_masked_attention.h with an online softmax (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023, algorithm 1).
//
// A warp has a tile of queries of one head and takes the keys a few at a time: scores, weights relative to a score, sums of
// weighted values. Two kernels do it, one on tensor cores for 16-bit numbers, one in float32 for everything else.
//
// Few images make few tiles: 8 heads of 14 x 14 tokens are 56 of 32 queries, and an H100 has 528 schedulers for warps. So two or
// four warps of a block may share a tile: each takes its part of the keys, and what they have found is put together at the end,
// for about as many instructions as 25 keys take. That is done as long as the GPU gets at most two blocks a multiprocessor: up to
// there, by the count of instructions and their latencies, a warp waits for what it has begun itself rather than for others, so
// that one more costs no time. With 14 x 14 tokens on an H100, four warps share a tile of a batch of 1, two one of 8, and from 16
// on every warp has its own; with 32 x 32, four for 1 and one from 4 on.
#include "edgead/neighbor_masked_attention.h"

#include <algorithm>
#include <cmath>

#include "launch.cuh"
#include "mma.cuh"

namespace {

using edgead::Attention;
using edgead::BFloat16;
using edgead::Half;
using std::int32_t;
using std::int64_t;
using std::uint32_t;

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = 32 * kWarps;
constexpr int kBlocksPerMultiprocessor = 2;  // up to which tiles are shared
constexpr unsigned kAll = ~0u;
constexpr uint32_t kSigns = 0x80008000u;

// What is the same for all threads
struct Plan {
  int32_t heads, dim, tokens, width;
  int32_t splits;  // warps that share a tile: 1, 2 or 4
  int32_t reach;   // of the window: rows * 2^16 + columns on each side of the query, -1 if there are none
  uint32_t reciprocal;  // ceil(2^18 / width)
  float scale;          // of scores: log2(e) / sqrt(dim)
  bool wide;            // whether four channels can be read at once
  int64_t tiles;
};

// ---- the window ----------------------------------------------------------------------------------------------------------------

// The row of a token of at most 4096, without a division: exact because reciprocal * width - 2^18 < width <= 64.
__device__ inline int32_t row_of(int32_t token, const Plan &plan) { return int32_t(uint32_t(token) * plan.reciprocal >> 18); }

// row * 2^16 + column
__device__ inline uint32_t place_of(int32_t token, const Plan &plan) {
  return uint32_t(token + row_of(token, plan) * (0x10000 - plan.width));
}

// The window around a query, in which is_near is two differences and a look at their signs: how far a key is behind the first row
// and column, and before the last ones. A column that is on the wrong side borrows from its row, and is seen itself.
struct Window {
  uint32_t first, last;

  __device__ Window(int32_t query, const Plan &plan)
      : first(place_of(query, plan) - uint32_t(plan.reach)), last(place_of(query, plan) + uint32_t(plan.reach)) {}
  __device__ bool hides(uint32_t key) const { return (((key - first) | (last - key)) & kSigns) == 0; }
};

// The keys in the rows that the windows around some queries have: others need no second look.
struct Band {
  int32_t begin, end;

  __device__ Band(int32_t first, int32_t last, const Plan &plan) {
    const int32_t rows = (plan.reach + 0x8000) >> 16;
    begin = (row_of(first, plan) - rows) * plan.width, end = (row_of(last, plan) + rows + 1) * plan.width;
  }
  __device__ bool meets(int32_t first, int32_t count) const { return first < end && first + count > begin; }
};

// ---- the softmax ---------------------------------------------------------------------------------------------------------------

// Of a number of at most some hundreds: 0 of -infinity and of all below -126
__device__ inline float power_of_2(float x) {
#if defined(EDGEAD_EMULATED)
  return x < -126.f ? 0.f : std::exp2(x);
#else
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#endif
}

// What a lane has of its queries after some of the keys. Weights are powers of 2 relative to a score, `most`, -infinity at first.
// A row may lie on several lanes: they have the same `most`; the sums of weights belong to a lane in one kernel and to a row in
// the other.
template <int Rows, int Numbers>
struct Found {
  static constexpr int kSize = Rows * (Numbers + 2);
  float most[Rows], weights[Rows], values[Rows][Numbers];

  __device__ Found() {
#pragma unroll
    for (int row = 0; row < Rows; ++row) {
      most[row] = -INFINITY, weights[row] = 0.f;
#pragma unroll
      for (int n = 0; n < Numbers; ++n) values[row][n] = 0.f;
    }
  }

  // What a score is taken relative to. There is none before the first key that is not hidden, and nothing to be relative to it.
  __device__ static float finite(float most) { return most == -INFINITY ? 0.f : most; }
  __device__ float base(int row) const { return finite(most[row]); }

  __device__ void rise(int row, float score) {
    const float next = fmaxf(most[row], score), factor = power_of_2(most[row] - finite(next));
    most[row] = next;
    weights[row] *= factor;
#pragma unroll
    for (int n = 0; n < Numbers; ++n) values[row][n] *= factor;
  }

  __device__ void add(int row, float other_most, float other_weights, const float *other_values, int stride) {
    rise(row, other_most);
    const float factor = power_of_2(other_most - base(row));
    weights[row] += factor * other_weights;
#pragma unroll
    for (int n = 0; n < Numbers; ++n) values[row][n] += factor * other_values[n * stride];
  }

  // Puts together what the warps of a tile have found, by halves, until the first has all of it. Lanes do not mix.
  // shared: float [kWarps / 2, kSize, 32]
  __device__ void gather(float *shared, int warp, int lane, int splits) {
    const int part = warp % splits, first = warp / splits * (splits / 2);
    for (int half = splits / 2; half; half /= 2) {
      float *const numbers = shared + (first + part % half) * (kSize * 32) + lane;
      __syncthreads();
      if (part >= half && part < 2 * half) {
#pragma unroll
        for (int row = 0; row < Rows; ++row) {
          numbers[row * (Numbers + 2) * 32] = most[row], numbers[(row * (Numbers + 2) + 1) * 32] = weights[row];
#pragma unroll
          for (int n = 0; n < Numbers; ++n) numbers[(row * (Numbers + 2) + 2 + n) * 32] = values[row][n];
        }
      }
      __syncthreads();
      if (part < half) {
#pragma unroll
        for (int row = 0; row < Rows; ++row) {
          const float *const of_row = numbers + row * (Numbers + 2) * 32;
          add(row, of_row[0], of_row[32], of_row + 64, 32);
        }
      }
    }
  }
};

// ---- 16-bit numbers on tensor cores --------------------------------------------------------------------------------------------

// Bytes that are read at once
template <int Count>
struct alignas(4 * Count) Words {
  uint32_t words[Count];
};

template <class Number, int D>
struct Tensor {
  static constexpr int kMatrices = D <= 64 ? 2 : 1;  // of 16 queries: each key that is read serves all
  static constexpr int kQueries = 16 * kMatrices, kRows = 2 * kMatrices;
  static constexpr int kKeys = D <= 32 ? 32 : 16;  // at a time: as many as there are registers for
  static constexpr int kChunk = D % 64 ? 4 : 8;  // channels of a value that are read at once
  using Chunk = Words<kChunk / 2>;
  using Results = Found<kRows, D / 4>;
};

// Grid: tiles of all heads and images, kWarps / splits of them a block. Nothing is shared while keys are taken: each lane reads
// what it multiplies from global memory straight into its registers, the next keys while it works on these. The order of the
// channels in a product does not matter as long as it is that of both factors, nor does that of the columns of a matrix: so a
// lane, which holds scattered elements of the matrices, takes neighbouring channels for them, and a warp reads and writes whole
// sectors. Warps of a block mostly have the same head, and the keys from each other out of the first-level cache.
template <class Number, int D>
__global__ void __launch_bounds__(kThreads, D <= 32 ? 3 : 2)
attend_on_tensor_cores(const Number *__restrict__ q, const Number *__restrict__ k, const Number *__restrict__ v,
                       Number *__restrict__ out, const Plan plan) {
#if defined(EDGEAD_EMULATED) || __CUDA_ARCH__ >= 800
  using Shape = Tensor<Number, D>;
  constexpr int kMatrices = Shape::kMatrices, kRows = Shape::kRows, kKeys = Shape::kKeys, kGroups = kKeys / 8;
  constexpr int kChunk = Shape::kChunk, kChunks = D / 8 / kChunk;
  using Chunk = typename Shape::Chunk;
  EDGEAD_SHARED(float, shared);

  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, group = lane / 4, quad = lane % 4;
  const uint32_t tile = blockIdx.x * uint32_t(kWarps / plan.splits) + uint32_t(warp / plan.splits);
  if (tile >= uint32_t(plan.tiles)) return;
  const uint32_t tiles = uint32_t(plan.tokens + Shape::kQueries - 1) / Shape::kQueries, head = tile / tiles;
  const int begin = int(tile % tiles) * Shape::kQueries, last = plan.tokens - 1;
  const int pitch = plan.heads * plan.dim;  // an image has less than 2^31 numbers
  const int64_t offset = int64_t(head / uint32_t(plan.heads)) * plan.tokens * pitch + int(head % uint32_t(plan.heads)) * plan.dim;

  // Of the 32 channels of a block, lane t of four takes 8 t to 8 t + 7. Of those beyond dim, the queries are 0, and the keys
  // whatever channels there are.
  uint32_t queries[kMatrices][D / 16][4];
#pragma unroll
  for (int m = 0; m < kMatrices; ++m) {
#pragma unroll
    for (int block = 0; block < D / 32; ++block) {
      const int channel = 32 * block + 8 * quad;
      uint4 row[2] = {};
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int query = min(begin + 16 * m + 8 * r + group, last);
        if (channel < plan.dim) row[r] = *reinterpret_cast<const uint4 *>(q + offset + query * pitch + channel);
      }
      uint32_t(&first)[4] = queries[m][2 * block], (&second)[4] = queries[m][2 * block + 1];
      first[0] = row[0].x, first[1] = row[1].x, first[2] = row[0].y, first[3] = row[1].y;
      second[0] = row[0].z, second[1] = row[1].z, second[2] = row[0].w, second[3] = row[1].w;
    }
  }
  uint4 keys[kGroups][D / 32];
  const auto read_keys = [&](int first) {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const Number *const key = k + offset + min(first + 8 * j + group, last) * pitch;
#pragma unroll
      for (int block = 0; block < D / 32; ++block)
        keys[j][block] = *reinterpret_cast<const uint4 *>(key + min(32 * block + 8 * quad, plan.dim - 8));
    }
  };
  // Of the values, lanes with the same g take the channels kChunk g to kChunk g + kChunk - 1 of a block; lane t of four those of
  // the keys whose weights it will have, 2 t and 2 t + 1 of eight.
  Chunk values[kGroups][2][kChunks];
  const auto read_values = [&](int first) {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const Number *const value = v + offset + min(first + 8 * j + 2 * quad + i, last) * pitch;
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk)
          values[j][i][chunk] =
              *reinterpret_cast<const Chunk *>(value + min(kChunk * (8 * chunk + group), plan.dim - kChunk));
      }
    }
  };

  const Band band(begin, min(begin + Shape::kQueries - 1, last), plan);
  typename Shape::Results found;
  int first = warp % plan.splits * kKeys;
  if (first <= last) read_keys(first), read_values(first);
  while (first <= last) {
    const int next = first + plan.splits * kKeys;
    float scores[kRows][2 * kGroups] = {};
#pragma unroll
    for (int block = 0; block < D / 32; ++block) {
#pragma unroll
      for (int j = 0; j < kGroups; ++j) {
        const uint4 key = keys[j][block];
#pragma unroll
        for (int m = 0; m < kMatrices; ++m) {
          float *const top = scores[2 * m] + 2 * j, *const bottom = scores[2 * m + 1] + 2 * j;
          edgead::multiply_add<Number>(top[0], top[1], bottom[0], bottom[1], queries[m][2 * block], key.x, key.y);
          edgead::multiply_add<Number>(top[0], top[1], bottom[0], bottom[1], queries[m][2 * block + 1], key.z, key.w);
        }
      }
    }
    if (next <= last) read_keys(next);

#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      if (!band.meets(first + 8 * j, 8)) continue;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t place = place_of(first + 8 * j + 2 * quad + i, plan);
#pragma unroll
        for (int row = 0; row < kRows; ++row)
          if (Window(begin + 8 * row + group, plan).hides(place)) scores[row][2 * j + i] = -INFINITY;
      }
    }
    if (first + kKeys > plan.tokens) {
#pragma unroll
      for (int n = 0; n < 2 * kGroups; ++n) {
        if (first + 8 * (n / 2) + 2 * quad + n % 2 <= last) continue;
#pragma unroll
        for (int row = 0; row < kRows; ++row) scores[row][n] = -INFINITY;
      }
    }

    // Scores may exceed `most` by 8 in the exponent, which float32 and both types of 16 bits bear: it seldom has to rise.
    float most[kRows];
    bool rises = false;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      most[row] = scores[row][0];
#pragma unroll
      for (int n = 1; n < 2 * kGroups; ++n) most[row] = fmaxf(most[row], scores[row][n]);
      most[row] *= plan.scale;
      rises = rises || most[row] > found.most[row] + 8.f;
    }
    if (__any_sync(kAll, rises)) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        most[row] = fmaxf(most[row], __shfl_xor_sync(kAll, most[row], 1));
        most[row] = fmaxf(most[row], __shfl_xor_sync(kAll, most[row], 2));
        found.rise(row, most[row]);
      }
    }
    uint32_t weights[kRows][kGroups];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const float base = found.base(row);
#pragma unroll
      for (int j = 0; j < kGroups; ++j) {
        const float low = power_of_2(scores[row][2 * j] * plan.scale - base);
        const float high = power_of_2(scores[row][2 * j + 1] * plan.scale - base);
        found.weights[row] += low + high;
        weights[row][j] = edgead::pair_of<Number>(low, high);
      }
    }

#pragma unroll
    for (int j = 0; j < kGroups; j += 2) {
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {  // matrices of 8 columns, of channels kChunk apart
        const int chunk = n / kChunk, word = n % kChunk / 2;
        uint32_t pair[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t low = values[j + i][0][chunk].words[word], high = values[j + i][1][chunk].words[word];
          pair[i] = n % 2 ? edgead::upper_halves(low, high) : edgead::lower_halves(low, high);
        }
#pragma unroll
        for (int m = 0; m < kMatrices; ++m) {
          const uint32_t a[4] = {weights[2 * m][j], weights[2 * m + 1][j], weights[2 * m][j + 1], weights[2 * m + 1][j + 1]};
          float *const top = found.values[2 * m] + 2 * n, *const bottom = found.values[2 * m + 1] + 2 * n;
          edgead::multiply_add<Number>(top[0], top[1], bottom[0], bottom[1], a, pair[0], pair[1]);
        }
      }
    }
    if (next <= last) read_values(next);
    first = next;
  }

  found.gather(shared, warp, lane, plan.splits);
  if (warp % plan.splits) return;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    float sum = found.weights[row];
    sum += __shfl_xor_sync(kAll, sum, 1);
    sum += __shfl_xor_sync(kAll, sum, 2);
    const float factor = 1.f / sum;
    const int query = begin + 8 * row + group;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int channel = kChunk * (8 * chunk + 2 * quad + i);
        Chunk numbers;
#pragma unroll
        for (int word = 0; word < kChunk / 2; ++word) {
          const float *const pair = found.values[row] + 2 * (chunk * kChunk + 2 * word) + i;
          numbers.words[word] = edgead::pair_of<Number>(factor * pair[0], factor * pair[2]);
        }
        if (query <= last && channel < plan.dim)
          *reinterpret_cast<Chunk *>(out + offset + query * pitch + channel) = numbers;
      }
    }
  }
#endif
}

// ---- float32, and what tensor cores do not take --------------------------------------------------------------------------------

template <int Lanes>
struct Cores {
  static constexpr int kDim = 16 * Lanes, kRows = 2, kChunks = 4;  // of four channels: a lane's of a query
  static constexpr int kQueries = kRows * 32 / Lanes;              // of a warp
  static constexpr int kKeys = Lanes == 2 ? 64 : 32;               // in shared memory
  static constexpr int kBatch = 8;                                 // keys at a time
  static constexpr int kBytes = 2 * kKeys * kDim * int(sizeof(float));
  using Results = Found<kRows, 4 * kChunks>;
  static_assert(kWarps / 2 * Results::kSize * 32 * int(sizeof(float)) <= kBytes);
  static_assert(kKeys / kBatch >= kWarps);
};

__device__ inline void read_wide(const float *source, float (&target)[4]) {
  const float4 four = *reinterpret_cast<const float4 *>(source);
  target[0] = four.x, target[1] = four.y, target[2] = four.z, target[3] = four.w;
}

template <class Number>
__device__ inline void read_wide(const Number *source, float (&target)[4]) {
  const uint2 four = *reinterpret_cast<const uint2 *>(source);
  target[0] = to_float(Number{std::uint16_t(four.x)}), target[1] = to_float(Number{std::uint16_t(four.x >> 16)});
  target[2] = to_float(Number{std::uint16_t(four.y)}), target[3] = to_float(Number{std::uint16_t(four.y >> 16)});
}

__device__ inline void write_wide(float *target, const float (&source)[4]) {
  *reinterpret_cast<float4 *>(target) = float4{source[0], source[1], source[2], source[3]};
}

template <class Number>
__device__ inline void write_wide(Number *target, const float (&source)[4]) {
  const auto bits = [&](int i) { return uint32_t(edgead::from_float<Number>(source[i]).bits); };
  *reinterpret_cast<uint2 *>(target) = uint2{bits(0) | bits(1) << 16, bits(2) | bits(3) << 16};
}

// Four channels from `channel` on; those beyond dim are 0.
template <class Number>
__device__ inline void read(const Number *row, int channel, const Plan &plan, float (&target)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) target[i] = 0.f;
  if (plan.wide) {
    if (channel < plan.dim) read_wide(row + channel, target);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (channel + i < plan.dim) target[i] = edgead::to_float(row[channel + i]);
  }
}

// Grid: groups of tiles of one head, in all heads and images. `Lanes` lanes have two queries in registers, 16 channels of each,
// and read the keys from shared memory, where neighbouring lanes of a query read neighbouring channels and all queries the same.
template <class Number, int Lanes>
__global__ void __launch_bounds__(kThreads, 3)
attend_on_cores(const Number *__restrict__ q, const Number *__restrict__ k, const Number *__restrict__ v,
                Number *__restrict__ out, const Plan plan) {
  using Shape = Cores<Lanes>;
  constexpr int kDim = Shape::kDim, kRows = Shape::kRows, kChunks = Shape::kChunks, kKeys = Shape::kKeys, kBatch = Shape::kBatch;
  EDGEAD_SHARED(float4, keys);  // [kKeys, kDim / 4], and as many values behind them
  float4 *const values = keys + kKeys * (kDim / 4);

  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, slice = lane % Lanes, part = warp % plan.splits;
  const int tiles = kWarps / plan.splits;
  const uint32_t blocks = uint32_t(plan.tokens + tiles * Shape::kQueries - 1) / uint32_t(tiles * Shape::kQueries);
  const uint32_t head = blockIdx.x / blocks;
  const int begin = (int(blockIdx.x % blocks) * tiles + warp / plan.splits) * Shape::kQueries, last = plan.tokens - 1;
  const int pitch = plan.heads * plan.dim;  // an image has less than 2^31 numbers
  const int64_t offset = int64_t(head / uint32_t(plan.heads)) * plan.tokens * pitch + int(head % uint32_t(plan.heads)) * plan.dim;
  const auto query_of = [&](int row) { return begin + row * (32 / Lanes) + lane / Lanes; };
  const auto channel_of = [&](int chunk) { return 4 * (chunk * Lanes + slice); };

  float queries[kRows][kChunks][4];
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      read(q + offset + min(query_of(row), last) * pitch, channel_of(chunk), plan, queries[row][chunk]);
#pragma unroll
      for (int i = 0; i < 4; ++i) queries[row][chunk][i] *= plan.scale;
    }
  }
  const Band band(min(begin, last), min(begin + Shape::kQueries - 1, last), plan);
  typename Shape::Results found;
  for (int stage = 0; stage <= last; stage += kKeys) {
    __syncthreads();
#pragma unroll 2
    for (int n = 0; n < kKeys * (kDim / 4) / kThreads; ++n) {
      const int place = n * kThreads + int(threadIdx.x), channel = place % (kDim / 4) * 4;
      const int64_t row = offset + min(stage + place / (kDim / 4), last) * pitch;
      float key[4], value[4];
      read(k + row, channel, plan, key);
      read(v + row, channel, plan, value);
      keys[place] = float4{key[0], key[1], key[2], key[3]};
      values[place] = float4{value[0], value[1], value[2], value[3]};
    }
    __syncthreads();
    for (int batch = part * kBatch; batch < kKeys && stage + batch <= last; batch += plan.splits * kBatch) {
      float scores[kRows][kBatch] = {};
#pragma unroll
      for (int n = 0; n < kBatch; ++n) {
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          const float4 key = keys[(batch + n) * (kDim / 4) + chunk * Lanes + slice];
#pragma unroll
          for (int row = 0; row < kRows; ++row) {
            const float(&query)[4] = queries[row][chunk];
            scores[row][n] += query[0] * key.x + query[1] * key.y + query[2] * key.z + query[3] * key.w;
          }
        }
      }
#pragma unroll
      for (int with = 1; with < Lanes; with *= 2) {
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
#pragma unroll
          for (int n = 0; n < kBatch; ++n) scores[row][n] += __shfl_xor_sync(kAll, scores[row][n], with);
        }
      }
      const int first = stage + batch;
      if (band.meets(first, kBatch)) {
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
          const Window window(query_of(row), plan);
#pragma unroll
          for (int n = 0; n < kBatch; ++n)
            if (window.hides(place_of(first + n, plan))) scores[row][n] = -INFINITY;
        }
      }
      if (first + kBatch > plan.tokens) {
#pragma unroll
        for (int n = 0; n < kBatch; ++n) {
          if (first + n <= last) continue;
#pragma unroll
          for (int row = 0; row < kRows; ++row) scores[row][n] = -INFINITY;
        }
      }
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        float most = scores[row][0];
#pragma unroll
        for (int n = 1; n < kBatch; ++n) most = fmaxf(most, scores[row][n]);
        found.rise(row, most);
        const float base = found.base(row);
#pragma unroll
        for (int n = 0; n < kBatch; ++n) found.weights[row] += scores[row][n] = power_of_2(scores[row][n] - base);
      }
#pragma unroll
      for (int n = 0; n < kBatch; ++n) {
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          const float4 value = values[(batch + n) * (kDim / 4) + chunk * Lanes + slice];
#pragma unroll
          for (int row = 0; row < kRows; ++row) {
            float *const sums = found.values[row] + 4 * chunk;
            const float weight = scores[row][n];
            sums[0] += weight * value.x, sums[1] += weight * value.y;
            sums[2] += weight * value.z, sums[3] += weight * value.w;
          }
        }
      }
    }
  }

  found.gather(reinterpret_cast<float *>(keys), warp, lane, plan.splits);
  if (part) return;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const float factor = 1.f / found.weights[row];
    const int query = query_of(row);
    if (query > last) continue;
    Number *const target = out + offset + query * pitch;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int channel = channel_of(chunk);
      float numbers[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) numbers[i] = factor * found.values[row][4 * chunk + i];
      if (plan.wide) {
        if (channel < plan.dim) write_wide(target + channel, numbers);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (channel + i < plan.dim) target[channel + i] = edgead::from_float<Number>(numbers[i]);
      }
    }
  }
}

// ---- the launchers -------------------------------------------------------------------------------------------------------------

struct Device {
  int multiprocessors, major;
};

bool ask(Device &device) {
  int index;
  return cudaGetDevice(&index) == cudaSuccess &&
         cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, index) == cudaSuccess &&
         cudaDeviceGetAttribute(&device.major, cudaDevAttrComputeCapabilityMajor, index) == cudaSuccess;
}

Plan plan_for(const Attention &problem) {
  const int32_t rows = problem.neighbor_height / 2, columns = problem.neighbor_width / 2;
  const bool hides = problem.neighbor_height && problem.neighbor_width;
  Plan plan{};
  plan.heads = problem.heads, plan.dim = problem.dim;
  plan.tokens = problem.height * problem.width, plan.width = problem.width;
  plan.reach = hides ? std::min(rows, edgead::kMaxGrid) * 0x10000 + std::min(columns, edgead::kMaxGrid) : -0x10001;
  plan.reciprocal = uint32_t((0x40000 + problem.width - 1) / problem.width);
  plan.scale = float(1.4426950408889634 / std::sqrt(double(problem.dim)));
  return plan;
}

// `queries`: of a tile; `keys`: that a warp takes at a time
void divide(Plan &plan, const Attention &problem, const Device &device, int queries, int keys) {
  plan.tiles = problem.batch * problem.heads * edgead::blocks_for(plan.tokens, queries);
  plan.splits = 1;
  while (plan.splits < kWarps && plan.splits * keys < plan.tokens &&
         plan.tiles * 2 * plan.splits <= int64_t(device.multiprocessors) * kBlocksPerMultiprocessor * kWarps)
    plan.splits *= 2;
}

template <class Number>
struct Arrays {
  const Number *q, *k, *v;
  Number *out;

  bool begin_at_multiples_of(std::uintptr_t bytes) const {
    const void *const all[] = {q, k, v, out};
    return std::all_of(all, all + 4, [&](const void *each) { return reinterpret_cast<std::uintptr_t>(each) % bytes == 0; });
  }
};

template <int D, class Number>
int on_tensor_cores(const Arrays<Number> &arrays, const Attention &problem, const Device &device, void *stream) {
  using Shape = Tensor<Number, D>;
  Plan plan = plan_for(problem);
  divide(plan, problem, device, Shape::kQueries, Shape::kKeys);
  if (plan.tiles > INT32_MAX) return edgead::kBadCount;
  const dim3 grid(unsigned(edgead::blocks_for(plan.tiles, kWarps / plan.splits)));
  const std::size_t bytes = plan.splits > 1 ? kWarps / 2 * Shape::Results::kSize * 32 * sizeof(float) : 0;
  const auto kernel = attend_on_tensor_cores<Number, D>;
  EDGEAD_LAUNCH(kernel, grid, dim3(kThreads), bytes, stream, arrays.q, arrays.k, arrays.v, arrays.out, plan);
  return edgead::launched();
}

template <int Lanes, class Number>
int on_cores(const Arrays<Number> &arrays, const Attention &problem, const Device &device, void *stream) {
  using Shape = Cores<Lanes>;
  Plan plan = plan_for(problem);
  divide(plan, problem, device, Shape::kQueries, Shape::kBatch);
  plan.wide = problem.dim % 4 == 0 && arrays.begin_at_multiples_of(4 * sizeof(Number));
  const int64_t blocks =
      problem.batch * problem.heads * edgead::blocks_for(plan.tokens, kWarps / plan.splits * Shape::kQueries);
  if (blocks > INT32_MAX) return edgead::kBadCount;
  const auto kernel = attend_on_cores<Number, Lanes>;
  EDGEAD_LAUNCH(kernel, dim3(unsigned(blocks)), dim3(kThreads), Shape::kBytes, stream, arrays.q, arrays.k, arrays.v, arrays.out,
                plan);
  return edgead::launched();
}

// Tensor cores read 8 channels at once, or none.
template <class Number>
int attend(const void *q, const void *k, const void *v, void *out, const Attention &problem, void *stream) {
  const Arrays<Number> arrays{static_cast<const Number *>(q), static_cast<const Number *>(k), static_cast<const Number *>(v),
                              static_cast<Number *>(out)};
  Device device;
  if (!ask(device)) return edgead::launched();
  if constexpr (sizeof(Number) == 2) {
    if (device.major >= 8 && problem.dim % 8 == 0 && arrays.begin_at_multiples_of(16)) {
      if (problem.dim <= 32) return on_tensor_cores<32>(arrays, problem, device, stream);
      if (problem.dim <= 64) return on_tensor_cores<64>(arrays, problem, device, stream);
      return on_tensor_cores<128>(arrays, problem, device, stream);
    }
  }
  if (problem.dim <= 32) return on_cores<2>(arrays, problem, device, stream);
  if (problem.dim <= 64) return on_cores<4>(arrays, problem, device, stream);
  return on_cores<8>(arrays, problem, device, stream);
}

}  // namespace

int edgead_cuda_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                          const Attention *problem, void *stream) {
  const edgead::Status status = edgead::checked(*problem);
  if (status != edgead::kOk) return status;
  if (type != edgead::kFloat32 && type != edgead::kFloat16 && type != edgead::kBFloat16) return edgead::kBadType;
  if (problem->batch == 0) return edgead::kOk;
  if (problem->batch > INT32_MAX) return edgead::kBadCount;
  if (type == edgead::kFloat32) return attend<float>(q, k, v, out, *problem, stream);
  if (type == edgead::kFloat16) return attend<Half>(q, k, v, out, *problem, stream);
  return attend<BFloat16>(q, k, v, out, *problem, stream);
}
