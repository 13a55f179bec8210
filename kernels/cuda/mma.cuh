// Products of small matrices of 16-bit numbers by a warp, on tensor cores: those of compute capability 8.0 and newer.
#pragma once
#include "launch.cuh"

#include "edgead/half.h"
#if defined(EDGEAD_EMULATED)
#include "emulated_mma.h"
#endif

namespace edgead {

#if defined(EDGEAD_EMULATED)

template <class Number>
std::uint32_t pair_of(float low, float high) {
  return from_float<Number>(low).bits | std::uint32_t(from_float<Number>(high).bits) << 16;
}

template <class Number>
void multiply_add(float &c0, float &c1, float &c2, float &c3, const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  float c[4] = {c0, c1, c2, c3};
  emulated::mma_m16n8k16<Number>(c, a, {b0, b1});
  c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
}

inline std::uint32_t lower_halves(std::uint32_t low, std::uint32_t high) { return (low & 0xffffu) | high << 16; }
inline std::uint32_t upper_halves(std::uint32_t low, std::uint32_t high) { return low >> 16 | (high & 0xffff0000u); }

#elif __CUDA_ARCH__ >= 800

// Two numbers of 16 bits in a word, `low` in its lower half.
template <class Number>
__device__ std::uint32_t pair_of(float low, float high);

template <>
__device__ __forceinline__ std::uint32_t pair_of<Half>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

template <>
__device__ __forceinline__ std::uint32_t pair_of<BFloat16>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ std::uint32_t lower_halves(std::uint32_t low, std::uint32_t high) {
  return __byte_perm(low, high, 0x5410);
}
__device__ __forceinline__ std::uint32_t upper_halves(std::uint32_t low, std::uint32_t high) {
  return __byte_perm(low, high, 0x7632);
}

// C [16, 8] += A [16, 16] B [16, 8], all of the warp's. With g = lane / 4 and t = lane % 4 a lane holds
//   a[0], a[1]: rows g and g + 8 of columns 2 t, 2 t + 1; a[2], a[3]: the same of columns 2 t + 8, 2 t + 9
//   b0, b1: of column g, rows 2 t, 2 t + 1 and rows 2 t + 8, 2 t + 9
//   c0, c1: row g of columns 2 t, 2 t + 1; c2, c3: row g + 8 of them
template <class Number>
__device__ void multiply_add(float &c0, float &c1, float &c2, float &c3, const std::uint32_t (&a)[4], std::uint32_t b0,
                             std::uint32_t b1);

#define EDGEAD_MULTIPLY_ADD(Number, name)                                                                                \
  template <>                                                                                                            \
  __device__ __forceinline__ void multiply_add<Number>(float &c0, float &c1, float &c2, float &c3,                       \
                                                       const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) { \
    asm volatile(                                                                                                        \
        "mma.sync.aligned.m16n8k16.row.col.f32." name "." name ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "      \
        "{%0, %1, %2, %3};"                                                                                              \
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)                                                                         \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                                 \
  }
EDGEAD_MULTIPLY_ADD(Half, "f16")
EDGEAD_MULTIPLY_ADD(BFloat16, "bf16")
#undef EDGEAD_MULTIPLY_ADD

#endif

}  // namespace edgead
