// Antialiased bilinear resize of 8-bit images, half-pixel centres: one definition for host and device.
//
// Along one axis of `in` samples, output i sits at (i + 1/2) * in / out - 1/2 and takes the triangle filter whose half width is
// max(1, in / out) samples; taps outside the image are dropped and the rest renormalised. With everything multiplied by
// 2 * max(in, out) the triangle is an integer,
//     t(i, j) = max(0, 2 max(in, out) - |(2j + 1) out - (2i + 1) in|),
// so the weights are exact quotients of integers. Their running sum is rounded to kWeightBits, not each weight, so that they
// sum to exactly 1 and a constant image stays constant.
//
// Columns first, kept with kColumnBits fractional bits, then rows, rounded once to 8 bits. All in integers: the result is the
// same bits on every compiler, instruction set and device, in any order of summation.
#pragma once
#include <cstdint>

#include "edgead/host_device.h"

namespace edgead {

constexpr int kWeightBits = 14;  // a weight fits int16
constexpr int kColumnBits = 8;   // a column sum fits uint16, and times a weight int32
constexpr int kColumnShift = kWeightBits - kColumnBits;
constexpr int kRowShift = kWeightBits + kColumnBits;
constexpr std::int32_t kMaxSide = 1 << 15;

// The taps of every output along one axis: first[i] .. first[i] + count[i] - 1, weights at weight[i * stride ..].
struct ResizeAxis {
  const std::int32_t *first;
  const std::int32_t *count;
  const std::int16_t *weight;
  std::int32_t stride;
};

EDGEAD_HD std::int64_t triangle(std::int64_t in, std::int64_t out, std::int64_t i, std::int64_t j) {
  const std::int64_t reach = 2 * (in > out ? in : out);
  std::int64_t distance = (2 * j + 1) * out - (2 * i + 1) * in;
  distance = distance < 0 ? -distance : distance;
  return distance < reach ? reach - distance : 0;
}

// The most taps that one output can have: the support is 2 max(1, in / out) wide, and its two ends do not count.
EDGEAD_HD std::int32_t resize_taps(std::int32_t in, std::int32_t out) {
  const std::int32_t wide = in > out ? (2 * in + out - 1) / out : 2;
  return wide < in ? wide : in;
}

// Taps and weights of output i; returns their count. `weight` has room for resize_taps(in, out).
EDGEAD_HD std::int32_t resize_weights(std::int32_t in, std::int32_t out, std::int32_t i, std::int32_t *first,
                                      std::int16_t *weight) {
  const std::int64_t half = in > out ? (std::int64_t(in) + out - 1) / out : 1;
  std::int64_t begin = (2 * std::int64_t(i) + 1) * in / (2 * std::int64_t(out)) - half - 1;
  begin = begin < 0 ? 0 : begin;
  while (triangle(in, out, i, begin) == 0) ++begin;
  std::int64_t total = 0;
  std::int32_t count = 0;
  for (std::int64_t j = begin; j < in; ++j, ++count) {
    const std::int64_t t = triangle(in, out, i, j);
    if (t == 0) break;
    total += t;
  }
  std::int64_t sum = 0;
  std::int32_t given = 0;
  for (std::int32_t k = 0; k < count; ++k) {
    sum += triangle(in, out, i, begin + k);
    const std::int32_t until = std::int32_t(((sum << kWeightBits) + total / 2) / total);
    weight[k] = std::int16_t(until - given);
    given = until;
  }
  *first = std::int32_t(begin);
  return count;
}

EDGEAD_HD std::int32_t round_column(std::int32_t sum) { return (sum + (1 << (kColumnShift - 1))) >> kColumnShift; }
EDGEAD_HD std::uint8_t round_row(std::int32_t sum) { return std::uint8_t((sum + (1 << (kRowShift - 1))) >> kRowShift); }

}  // namespace edgead
