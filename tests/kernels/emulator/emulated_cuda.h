// CUDA on the host, as much of it as the kernels use, to run their sources where there is no GPU. The threads of a block are
// fibers that take turns wherever they wait for each other, blocks run one after another, and a launch is over when it returns.
//
// EDGEAD_ORDER in the environment says which fiber goes on first, "forward", "backward" or a seed for any other order: a barrier that
// is missing makes a difference. Threads that wait for different things at the end, and reads of shared memory that nobody has
// written (it is full of NaN), come out as well.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define EDGEAD_HOST_CUDA 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static

struct uint3 {
  unsigned x, y, z;
};
struct dim3 : uint3 {
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : uint3{x, y, z} {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

extern dim3 gridDim, blockDim;
extern uint3 blockIdx, threadIdx;
constexpr int warpSize = 32;

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrComputeCapabilityMajor = 75 };
using cudaStream_t = void *;
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDevice(int *device);
// EDGEAD_MULTIPROCESSORS and EDGEAD_MAJOR of the environment, or those of an H100.
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
struct cudaFuncAttributes {};
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *, const void *) { return cudaSuccess; }

namespace emulated {

void launch(dim3 grid, dim3 block, std::size_t bytes, const std::function<void()> &thread);
unsigned char *shared();
void wait_for_block();
// Waits for the threads of the warp that `mask` names, lets each `read` what the 32 lanes have given to this call (nullptr: nothing),
// and waits until all have read.
void together(unsigned mask, const void *given, const std::function<void(const void *const *)> &read);

// What `lane` has given; bits that are all set where it has given nothing.
template <class T>
T from_lane(unsigned mask, T value, int lane) {
  T answer;
  std::memset(&answer, 0xff, sizeof answer);
  together(mask, &value, [&](const void *const *all) {
    if (lane >= 0 && lane < warpSize && all[lane]) std::memcpy(&answer, all[lane], sizeof answer);
  });
  return answer;
}

inline int lane() { return int((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x) % warpSize; }

}  // namespace emulated

#define EDGEAD_LAUNCH(kernel, grid, block, bytes, stream, ...) \
  ((void)(stream), emulated::launch(grid, block, bytes, [=] { kernel(__VA_ARGS__); }))
#define EDGEAD_SHARED(type, name) type *const name = reinterpret_cast<type *>(emulated::shared())

inline void __syncthreads() { emulated::wait_for_block(); }
inline void __syncwarp(unsigned mask = ~0u) { emulated::together(mask, nullptr, [](const void *const *) {}); }

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize) {
  const int own = emulated::lane();
  return emulated::from_lane(mask, value, own / width * width + lane % width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int = warpSize) {
  return emulated::from_lane(mask, value, emulated::lane() ^ with);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize) {
  const int own = emulated::lane(), from = own + int(by);
  return emulated::from_lane(mask, value, from / width == own / width ? from : own);
}
inline unsigned __ballot_sync(unsigned mask, bool vote) {
  unsigned votes = 0;
  emulated::together(mask, &vote, [&](const void *const *all) {
    for (int lane = 0; lane < warpSize; ++lane)
      if (all[lane] && *static_cast<const bool *>(all[lane])) votes |= 1u << lane;
  });
  return votes;
}
inline bool __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline bool __all_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) == mask; }

template <class T>
T atomicAdd(T *address, T value) {
  const T before = *address;
  *address = T(before + value);
  return before;
}
template <class T>
T atomicMin(T *address, T value) {
  const T before = *address;
  *address = std::min(before, value);
  return before;
}
template <class T>
T atomicMax(T *address, T value) {
  const T before = *address;
  *address = std::max(before, value);
  return before;
}
template <class T>
T atomicOr(T *address, T value) {
  const T before = *address;
  *address = before | value;
  return before;
}
template <class T>
T atomicCAS(T *address, T expected, T value) {
  const T before = *address;
  if (before == expected) *address = value;
  return before;
}
inline void __threadfence() {}

template <class T>
T __ldg(const T *address) {
  return *address;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(unsigned(bits)) : 32; }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __float_as_int(float x) {
  int bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline unsigned __float_as_uint(float x) { return unsigned(__float_as_int(x)); }
inline float __uint_as_float(unsigned bits) { return __int_as_float(int(bits)); }
using std::max;
using std::min;
