// How kernels are launched. A test compiles the same sources for the host with a few definitions of its own in place of CUDA.
#pragma once
#if defined(EDGEAD_EMULATED)
#include "emulated_cuda.h"
#else
#include <cuda_runtime.h>
// `kernel` is a name without commas: give a template's instance one first. bytes: of dynamic shared memory.
#define EDGEAD_LAUNCH(kernel, grid, block, bytes, stream, ...) \
  kernel<<<grid, block, bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
// `name` points at the block's dynamic shared memory.
#define EDGEAD_SHARED(type, name)                              \
  extern __shared__ __align__(16) unsigned char edgead_shared[]; \
  type *const name = reinterpret_cast<type *>(edgead_shared)
#endif

#include "edgead/abi.h"

namespace edgead {

constexpr std::int64_t kGridLimit = 65535;  // of y and z

// What a launcher returns: whether its kernels are queued.
int launched();

inline std::int64_t blocks_for(std::int64_t items, std::int64_t block) { return (items + block - 1) / block; }

}  // namespace edgead
