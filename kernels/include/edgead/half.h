// Numbers of 16 bits as their bits: IEEE 754 binary16 and bfloat16, for host and device, without a library. To 16 bits is to the
// nearest, ties to even; what is too large becomes infinity, and a NaN stays one.
#pragma once
#include <cstdint>
#include <cstring>

#include "edgead/host_device.h"

#if defined(__CUDA_ARCH__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace edgead {

enum NumberType : std::int32_t { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2 };

struct Half {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

EDGEAD_HD float to_float(float x) { return x; }

EDGEAD_HD float to_float(BFloat16 x) {
  const std::uint32_t bits = std::uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The exponent is moved by a multiplication, which makes subnormal numbers of binary16 normal ones as well.
EDGEAD_HD float to_float(Half x) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(x.bits));
#else
  const std::uint32_t magnitude = (x.bits & 0x7fffu) << 13, sign = (x.bits & 0x8000u) << 16;
  const std::uint32_t moved = (x.bits & 0x7c00u) == 0x7c00u ? magnitude | 0x7f800000u : magnitude;
  float value;
  std::memcpy(&value, &moved, sizeof value);
  value = (x.bits & 0x7c00u) == 0x7c00u ? value : value * 0x1p112f;
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits |= sign;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

template <class Number>
EDGEAD_HD Number from_float(float x);

template <>
EDGEAD_HD float from_float<float>(float x) {
  return x;
}

template <>
EDGEAD_HD BFloat16 from_float<BFloat16>(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {std::uint16_t(is_nan ? (bits >> 16 | 0x40u) : rounded)};
}

template <>
EDGEAD_HD Half from_float<Half>(float x) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(x))};
#else
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  // Below 2^-14 a sum with 1/2 leaves the 24 bits that binary16 has there; above, the exponent's bias is taken off.
  float small;
  std::memcpy(&small, &magnitude, sizeof small);
  small += 0.5f;
  std::uint32_t small_bits;
  std::memcpy(&small_bits, &small, sizeof small_bits);
  const std::uint32_t subnormal = small_bits - 0x3f000000u;
  const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  std::uint32_t value = magnitude < 0x38800000u ? subnormal : normal;
  value = magnitude >= 0x477ff000u ? 0x7c00u : value;
  value = magnitude > 0x7f800000u ? 0x7e00u : value;
  return {std::uint16_t(sign | value)};
#endif
}

}  // namespace edgead
