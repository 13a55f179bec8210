// EDGEAD_HD in front of a function compiles it for host and device, always inlined.
#pragma once

#if defined(__CUDACC__)
#define EDGEAD_HD __host__ __device__ __forceinline__
#else
#define EDGEAD_HD inline __attribute__((always_inline))
#endif
