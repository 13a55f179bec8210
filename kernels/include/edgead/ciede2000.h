// CIEDE2000, the difference of two colours as an eye sees it: one definition for host and device.
//
// Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data, and
// Mathematical Observations", Color Research and Application 30(1), 2005; the numbers in the code are its equations, and the
// weights kL, kC and kH are 1.
//
// All in float32 and of + - * / and sqrt alone, which IEEE 754 rounds in one way: the result is the same bits on every
// compiler, instruction set and device, as long as no product and sum are fused into one operation (-ffp-contract=off, nvcc:
// -fmad=false) and subnormal numbers are not flushed. There is no branch, hence & and | instead of && and ||, so that compilers
// make vectors of it.
//
// The formula jumps where two hues are opposite: beyond 180 degrees their mean is on the other side (14). A difference of two
// rounded angles falls on either side of that edge by chance. So no angle is subtracted here: cross and dot product of the two
// colours say how far the hues are apart (11), and the mean hue is the direction between them (14).
//
// A component that is not a number or lies outside of -kLargest .. kLargest gives kNoNumber. The order of the two colours
// changes nothing, to the bit.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "edgead/abi.h"
#include "edgead/host_device.h"

namespace edgead {

constexpr float kLargest = 1e6f;                 // of an L*, a* or b*; powers of it stay finite
constexpr std::uint32_t kNoNumber = 0x7fc00000;  // the bits of the NaN that is given: those of processors differ

EDGEAD_HD std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

EDGEAD_HD float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

EDGEAD_HD bool is_color(float l, float a, float b) {
  return (fabsf(l) <= kLargest) & (fabsf(a) <= kLargest) & (fabsf(b) <= kLargest);
}

// x, or about the limit where x is beyond it. Of sums, because compilers make a branch of a comparison and go on with what it
// has ruled out as well: where that ends in subnormal numbers, processors are slow.
EDGEAD_HD float at_most(float x, float limit) { return x - 0.5f * ((x - limit) + fabsf(x - limit)); }
EDGEAD_HD float at_least(float x, float limit) { return x + 0.5f * ((limit - x) + fabsf(limit - x)); }

// exp(-x) for x >= 0: 2^n exp(r) with |r| <= ln(2) / 2 and the polynomial of Cephes' expf. At least about exp(-20), which is
// nothing beside 1 and whose powers are no subnormal numbers.
EDGEAD_HD float exp_minus(float x) {
  x = -at_most(x, 20.f);
  const float shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the last bits of the sum are n
  const float n = shifted - 12582912.f;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  return p * float_of((bits_of(shifted) + 127u) << 23);
}

// sin(x) for 0 <= x <= pi / 3: Taylor's series, whose first term left out is below 5e-8.
EDGEAD_HD float sin_small(float x) {
  const float z = x * x;
  return ((((2.75573192e-6f * z - 1.98412698e-4f) * z + 8.33333333e-3f) * z - 1.66666667e-1f) * z) * x + x;
}

// The angle of a unit vector, 0 <= angle <= 2 pi, with the arc tangent of Abramowitz and Stegun, 4.4.49 (2e-8).
EDGEAD_HD float angle_of(float cosine, float sine) {
  const float x = fabsf(cosine), y = fabsf(sine);
  const bool steep = y > x;
  const float t = (steep ? x : y) / (steep ? y : x), z = t * t;
  float p = 0.0028662257f;
  p = p * z - 0.0161657367f;
  p = p * z + 0.0429096138f;
  p = p * z - 0.0752896400f;
  p = p * z + 0.1065626393f;
  p = p * z - 0.1420889944f;
  p = p * z + 0.1999355085f;
  p = p * z - 0.3333314528f;
  float angle = p * z * t + t;
  angle = steep ? 1.57079633f - angle : angle;
  angle = cosine < 0.f ? 3.14159265f - angle : angle;
  return sine < 0.f ? 6.28318531f - angle : angle;
}

// sqrt(C^7 / (C^7 + 25^7)), from 0 to 1, of (4) and (17). At least that of C = 0.025, which is nothing beside 1.
EDGEAD_HD float saturation(float chroma) {
  const float ratio = at_least(chroma * 0.04f, 0.001f), square = ratio * ratio, power = square * square * square * ratio;
  return sqrtf(power / (power + 1.f));
}

// T (15) of the mean hue's cosine and sine. The cosines of its multiples follow from those two by the addition theorem.
EDGEAD_HD float hue_wave(float c1, float s1) {
  const float c2 = c1 * c1 - s1 * s1, s2 = 2.f * s1 * c1;
  const float c3 = c2 * c1 - s2 * s1, s3 = s2 * c1 + c2 * s1;
  const float c4 = c2 * c2 - s2 * s2, s4 = 2.f * s2 * c2;
  return 1.f - 0.17f * (0.866025404f * c1 + 0.5f * s1)         // cos(h - 30)
         + 0.24f * c2                                          // cos(2 h)
         + 0.32f * (0.994521895f * c3 - 0.104528463f * s3)     // cos(3 h + 6)
         - 0.20f * (0.453990500f * c4 + 0.891006524f * s4);    // cos(4 h - 63)
}

// The term of lightness in (22), squared (8, 18)
EDGEAD_HD float lightness_square(float l1, float l2) {
  const float from_gray = 0.5f * (l1 + l2) - 50.f, square = from_gray * from_gray;
  const float term = (l2 - l1) / (1.f + 0.015f * square / sqrtf(20.f + square));
  return term * term;
}

// The rest of (22): of chroma, of hue, and of both together
EDGEAD_HD float chroma_and_hue_square(float a1, float b1, float a2, float b2) {
  // Step 1: chroma and, as a vector, hue (2 to 7).
  const float stretch = 1.5f - 0.5f * saturation(0.5f * (sqrtf(a1 * a1 + b1 * b1) + sqrtf(a2 * a2 + b2 * b2)));  // 1 + G
  const float a1_ = stretch * a1, a2_ = stretch * a2;
  const float c1 = sqrtf(a1_ * a1_ + b1 * b1), c2 = sqrtf(a2_ * a2_ + b2 * b2);

  // Step 2: the difference of hues (10, 11). For h below 90 degrees, 2 sqrt(c1 c2) sin(h / 2) is cross / sqrt((c1 c2 + dot) / 2);
  // beyond, it is sqrt(2 (c1 c2 - dot)) with the sign of h. Of two opposite hues, the greater one is ahead (10).
  const float product = c1 * c2, dot = a1_ * a2_ + b1 * b2, left = a1 * b2, right = a2 * b1;
  const bool second_is_greater = (b1 > b2) | ((b1 == b2) & (a1 > a2));  // if they are opposite
  const float sign = ((left > right) | ((left == right) & second_is_greater)) ? 1.f : -1.f;
  const bool near = dot > 0.f;
  const float below = 0.5f * (product + dot), above = 2.f * (product - dot);
  const float root = sqrtf(near ? below : above);
  const float hue = (near ? stretch * (left - right) : sign * root) / ((near & (root > 0.f)) ? root : 1.f);

  // Step 3: the mean hue (14) is the direction of the sum of the two, made equally long, or, where that is short, across their
  // difference. For colours without hue it does not matter: `hue` is next to 0 then.
  const float x1 = c2 * a1_, y1 = c2 * b1, x2 = c1 * a2_, y2 = c1 * b2;
  const float x = near ? x1 + x2 : sign * (y2 - y1), y = near ? y1 + y2 : sign * (x1 - x2);
  const float square = x * x + y * y;
  const bool has_hue = square > 1e-30f;
  const float length = sqrtf(has_hue ? square : 1.f), reciprocal = 1.f / length;
  const float cosine = has_hue ? x * reciprocal : 1.f, sine = has_hue ? y * reciprocal : 0.f;

  const float chroma = 0.5f * (c1 + c2);                                                  // (13)
  const float from_blue = (angle_of(cosine, sine) - 4.79965544f) * 2.29183118f;           // (h - 275) / 25
  const float rotation = sin_small(1.04719755f * exp_minus(from_blue * from_blue));       // sin(2 dtheta) (16)
  const float chroma_term = (c2 - c1) / (1.f + 0.045f * chroma);                          // (9, 19)
  const float hue_term = hue / (1.f + 0.015f * chroma * hue_wave(cosine, sine));          // (20)
  return chroma_term * chroma_term + hue_term * hue_term -
         2.f * rotation * saturation(chroma) * (chroma_term * hue_term);                  // (17, 21)
}

EDGEAD_HD float root_of(float square, bool valid) {
  const float difference = sqrtf(square > 0.f ? square : 0.f);
  return valid ? difference : float_of(kNoNumber);
}

// The difference of two colours of CIELAB, L* from 0 to 100
EDGEAD_HD float ciede2000(float l1, float a1, float b1, float l2, float a2, float b2) {
  const bool valid1 = is_color(l1, a1, b1), valid2 = is_color(l2, a2, b2);
  return root_of(lightness_square(l1, l2) + chroma_and_hue_square(a1, b1, a2, b2), valid1 & valid2);
}

// ---- sRGB to CIELAB: IEC 61966-2-1 and CIE 15, D65, 2 degrees, with the constants of scikit-image ----------------------

// The linear value of every 8-bit sRGB value, 0..1.
struct SrgbTable {
  float linear[256];
};

// x^(1/5) for 0.001 < x <= 1: Newton's iteration, which falls from 1 to the root
constexpr double fifth_root(double x) {
  double root = 1.;
  for (int step = 0; step < 24; ++step) root = (4. * root + x / (root * root * root * root)) / 5.;
  return root;
}

// ((v + 0.055) / 1.055)^2.4 as v^2 (v^2)^(1/5). In float64 by the compiler, so that it depends on no library of mathematics.
constexpr SrgbTable srgb_table() {
  SrgbTable table{};
  for (int value = 0; value < 256; ++value) {
    const double v = value / 255., base = (v + 0.055) / 1.055, square = base * base;
    table.linear[value] = float(v > 0.04045 ? square * fifth_root(square) : v / 12.92);
  }
  return table;
}

// x^(1/3) for 0.001 < x < 2: the reciprocal root from a guess by the exponent, two steps of Newton, and one of the root itself
EDGEAD_HD float cube_root(float x) {
  float y = float_of(0x54a21d2au - bits_of(x) / 3u);  // within 4%
  y = y * (1.33333333f - 0.333333333f * x * (y * y * y));
  y = y * (1.33333333f - 0.333333333f * x * (y * y * y));
  const float square = y * y, root = x * square;
  return root - (root * root * root - x) * (0.333333333f * square);
}

EDGEAD_HD float lab_root(float t) {
  const float root = cube_root(t), line = 7.787f * t + float(16. / 116.);
  return t > 0.008856f ? root : line;
}

struct Lab {
  float l, a, b;
};

// Linear red, green and blue, 0..1
EDGEAD_HD Lab lab_of(float red, float green, float blue) {
  constexpr double white_x = 0.95047, white_z = 1.08883;
  constexpr float x_red = float(0.412453 / white_x), x_green = float(0.357580 / white_x), x_blue = float(0.180423 / white_x);
  constexpr float z_red = float(0.019334 / white_z), z_green = float(0.119193 / white_z), z_blue = float(0.950227 / white_z);
  const float x = lab_root(x_red * red + x_green * green + x_blue * blue);
  const float y = lab_root(0.212671f * red + 0.715160f * green + 0.072169f * blue);
  const float z = lab_root(z_red * red + z_green * green + z_blue * blue);
  return {116.f * y - 16.f, 500.f * (x - y), 200.f * (y - z)};
}

// The difference of a photograph's colour and another a*, b* of the same lightness: that of lightness is 0.
EDGEAD_HD float ciede2000_recolored(float red, float green, float blue, float a, float b) {
  const Lab lab = lab_of(red, green, blue);
  return root_of(chroma_and_hue_square(lab.a, lab.b, a, b), is_color(lab.l, a, b));
}

}  // namespace edgead

// ---- the C interface: abi.h says what all functions have in common ------------------------------------------------------------

// The CIEDE2000 difference of colours, float32; pitches are in elements. `out` is contiguous, [images, pixels] or [rows, pixels].
//
// planar: both [images, 3, pixels] of CIELAB; the planes are contiguous, the images pitch1 and pitch2 apart.
// interleaved: both [rows, pixels, 3] of CIELAB; the pixels are contiguous, the rows pitch1 and pitch2 apart.
// recolored: sRGB uint8 [images, pixels, 3], and a*, b* [images, 2, pixels] of the same lightness; images apart as above.
EDGEAD_API int edgead_ciede2000_planar(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                       std::int64_t images, std::int64_t pixels, float *out, std::int32_t threads);
EDGEAD_API int edgead_ciede2000_interleaved(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                            std::int64_t rows, std::int64_t pixels, float *out, std::int32_t threads);
EDGEAD_API int edgead_ciede2000_recolored(const std::uint8_t *rgb, std::int64_t pitch1, const float *ab, std::int64_t pitch2,
                                           std::int64_t images, std::int64_t pixels, float *out, std::int32_t threads);

EDGEAD_API int edgead_cuda_ciede2000_planar(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                            std::int64_t images, std::int64_t pixels, float *out, void *stream);
EDGEAD_API int edgead_cuda_ciede2000_interleaved(const float *lab1, std::int64_t pitch1, const float *lab2,
                                                 std::int64_t pitch2, std::int64_t rows, std::int64_t pixels, float *out,
                                                 void *stream);
EDGEAD_API int edgead_cuda_ciede2000_recolored(const std::uint8_t *rgb, std::int64_t pitch1, const float *ab,
                                               std::int64_t pitch2, std::int64_t images, std::int64_t pixels, float *out,
                                               void *stream);
