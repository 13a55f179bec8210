// Pixels of a frame as planes of red, green and blue, along which compilers make vectors. Inlined, so that it is compiled for the
// instruction set of its caller.
#pragma once
#include <cstdint>
#include <cstring>

#include "edgead/frame.h"

namespace edgead {

namespace planes {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pairs of pixels are read and written as one number");

EDGEAD_HD void put(std::uint8_t *__restrict plane, std::int32_t pair, std::uint8_t even, std::uint8_t odd) {
  const std::uint16_t both = std::uint16_t(even | odd << 8);
  std::memcpy(plane + 2 * pair, &both, sizeof both);
}

// Two pixels that share U and V
EDGEAD_HD void put(std::int32_t pair, std::int32_t even, std::int32_t odd, std::int32_t u, std::int32_t v,
                   std::uint8_t *__restrict red, std::uint8_t *__restrict green, std::uint8_t *__restrict blue) {
  const Rgb one = rgb_of_yuv(even, u, v), other = rgb_of_yuv(odd, u, v);
  put(red, pair, one.red, other.red);
  put(green, pair, one.green, other.green);
  put(blue, pair, one.blue, other.blue);
}

EDGEAD_HD void of_nv12(const std::uint8_t *light, const std::uint8_t *chroma, std::int32_t pairs, std::uint8_t *__restrict red,
                       std::uint8_t *__restrict green, std::uint8_t *__restrict blue) {
  for (std::int32_t pair = 0; pair < pairs; ++pair) {
    std::uint16_t y, uv;
    std::memcpy(&y, light + 2 * pair, sizeof y);
    std::memcpy(&uv, chroma + 2 * pair, sizeof uv);
    put(pair, y & 255, y >> 8, uv & 255, uv >> 8, red, green, blue);
  }
}

EDGEAD_HD void of_yuyv(const std::uint8_t *source, std::int32_t pairs, std::uint8_t *__restrict red,
                       std::uint8_t *__restrict green, std::uint8_t *__restrict blue) {
  for (std::int32_t pair = 0; pair < pairs; ++pair) {
    std::uint32_t yuyv;
    std::memcpy(&yuyv, source + 4 * pair, sizeof yuyv);
    const std::int32_t even = yuyv & 255, u = yuyv >> 8 & 255, odd = yuyv >> 16 & 255, v = yuyv >> 24;
    put(pair, even, odd, u, v, red, green, blue);
  }
}

EDGEAD_HD void of_three(const std::uint8_t *source, std::int32_t count, std::uint8_t *__restrict first,
                        std::uint8_t *__restrict second, std::uint8_t *__restrict third) {
  for (std::int32_t i = 0; i < count; ++i)
    first[i] = source[3 * i], second[i] = source[3 * i + 1], third[i] = source[3 * i + 2];
}

}  // namespace planes

// Pixels x .. x + count - 1 of row y; of kNv12 and kYuyv whole pairs.
EDGEAD_HD void to_planes(const Frame &frame, std::int32_t y, std::int32_t x, std::int32_t count, std::uint8_t *__restrict red,
                         std::uint8_t *__restrict green, std::uint8_t *__restrict blue) {
  const std::uint8_t *const row = frame.plane + y * frame.pitch;
  switch (frame.layout) {
    case kBgr: planes::of_three(row + std::int64_t(x) * 3, count, blue, green, red); break;
    case kRgb: planes::of_three(row + std::int64_t(x) * 3, count, red, green, blue); break;
    case kGray:
      for (std::uint8_t *const plane : {red, green, blue}) std::memcpy(plane, row + x, std::size_t(count));
      break;
    case kNv12:
      planes::of_nv12(row + x, frame.chroma + (y / 2) * frame.chroma_pitch + x, count / 2, red, green, blue);
      break;
    default: planes::of_yuyv(row + std::int64_t(x) * 2, count / 2, red, green, blue);
  }
}

}  // namespace edgead
