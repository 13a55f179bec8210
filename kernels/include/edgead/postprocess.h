// What is made of an anomaly map, float32 [map height, map width]: its regions, and the picture of it: one definition for host and
// device.
//
// Regions. A pixel of the map is above where its value is >= the threshold; NaN is not. Pixels above that touch, at a side or at a
// corner, are one region. Regions are in the order of their first pixel, row by row. The highest of equal zeros is +0.
//
// Overlay. The heat of a pixel of the map is its value from `low` (0) to `high` (1), cut to that range; NaN is 1. It is stretched
// to the frame, bilinearly at half-pixel centres, gives the colour of the Turbo map (Mikhailov, "Turbo, An Improved Rainbow Colormap
// for Visualization", Google, 2019), and hides
//     weight = kStrongest min(1, 1.5 heat)
// of the frame's pixel: faint heat is let through less than its share, so that a good part looks like its photo.
//
// Outline. The window of a pixel of the frame is what the map has within `reach` of it, a 270th of the frame's shorter side, along
// rows and columns: from the pixel of the map in which the centre of x - reach lies to that of x + reach, and something that is not
// above where that is beyond the border. The pixel is on the outline where something in its window is above and something is not. So
// the line runs along the edges of the map's pixels, is 2 reach pixels wide, half of them inside, and closed at the border.
//
// Positions are quotients of integers, the rest is float32 of + - * / alone: the same bits everywhere (ciede2000.h says how).
#pragma once
#include <cstdint>
#include <cstring>

#include "edgead/abi.h"
#include "edgead/frame.h"
#include "edgead/host_device.h"

namespace edgead {

// The box of its pixels, their number, and the highest value among them.
struct Region {
  std::int32_t left, top, width, height, area;
  float peak;
};

constexpr std::int32_t kMapSide = 1 << 12;  // the longest of a map
constexpr float kStrongest = 0.65f;          // how much of the frame the hottest spots hide

// 0xRRGGBB for heat 0, 1/255, .. 1.
struct Turbo {
  std::uint32_t rgb[256];
};

constexpr Turbo turbo() {
  return {{
    0x30123b, 0x321543, 0x33184a, 0x341b51, 0x351e58, 0x36215f, 0x372466, 0x38276d, 0x392a73, 0x3a2d79, 0x3b2f80, 0x3c3286,
    0x3d358b, 0x3e3891, 0x3f3b97, 0x3f3e9c, 0x4040a2, 0x4143a7, 0x4146ac, 0x4249b1, 0x424bb5, 0x434eba, 0x4451bf, 0x4454c3,
    0x4456c7, 0x4559cb, 0x455ccf, 0x455ed3, 0x4661d6, 0x4664da, 0x4666dd, 0x4669e0, 0x466be3, 0x476ee6, 0x4771e9, 0x4773eb,
    0x4776ee, 0x4778f0, 0x477bf2, 0x467df4, 0x4680f6, 0x4682f8, 0x4685fa, 0x4687fb, 0x458afc, 0x458cfd, 0x448ffe, 0x4391fe,
    0x4294ff, 0x4196ff, 0x4099ff, 0x3e9bfe, 0x3d9efe, 0x3ba0fd, 0x3aa3fc, 0x38a5fb, 0x37a8fa, 0x35abf8, 0x33adf7, 0x31aff5,
    0x2fb2f4, 0x2eb4f2, 0x2cb7f0, 0x2ab9ee, 0x28bceb, 0x27bee9, 0x25c0e7, 0x23c3e4, 0x22c5e2, 0x20c7df, 0x1fc9dd, 0x1ecbda,
    0x1ccdd8, 0x1bd0d5, 0x1ad2d2, 0x1ad4d0, 0x19d5cd, 0x18d7ca, 0x18d9c8, 0x18dbc5, 0x18ddc2, 0x18dec0, 0x18e0bd, 0x19e2bb,
    0x19e3b9, 0x1ae4b6, 0x1ce6b4, 0x1de7b2, 0x1fe9af, 0x20eaac, 0x22ebaa, 0x25eca7, 0x27eea4, 0x2aefa1, 0x2cf09e, 0x2ff19b,
    0x32f298, 0x35f394, 0x38f491, 0x3cf58e, 0x3ff68a, 0x43f787, 0x46f884, 0x4af880, 0x4ef97d, 0x52fa7a, 0x55fa76, 0x59fb73,
    0x5dfc6f, 0x61fc6c, 0x65fd69, 0x69fd66, 0x6dfe62, 0x71fe5f, 0x75fe5c, 0x79fe59, 0x7dff56, 0x80ff53, 0x84ff51, 0x88ff4e,
    0x8bff4b, 0x8fff49, 0x92ff47, 0x96fe44, 0x99fe42, 0x9cfe40, 0x9ffd3f, 0xa1fd3d, 0xa4fc3c, 0xa7fc3a, 0xa9fb39, 0xacfb38,
    0xaffa37, 0xb1f936, 0xb4f836, 0xb7f735, 0xb9f635, 0xbcf534, 0xbef434, 0xc1f334, 0xc3f134, 0xc6f034, 0xc8ef34, 0xcbed34,
    0xcdec34, 0xd0ea34, 0xd2e935, 0xd4e735, 0xd7e535, 0xd9e436, 0xdbe236, 0xdde037, 0xdfdf37, 0xe1dd37, 0xe3db38, 0xe5d938,
    0xe7d739, 0xe9d539, 0xebd339, 0xecd13a, 0xeecf3a, 0xefcd3a, 0xf1cb3a, 0xf2c93a, 0xf4c73a, 0xf5c53a, 0xf6c33a, 0xf7c13a,
    0xf8be39, 0xf9bc39, 0xfaba39, 0xfbb838, 0xfbb637, 0xfcb336, 0xfcb136, 0xfdae35, 0xfdac34, 0xfea933, 0xfea732, 0xfea431,
    0xfea130, 0xfe9e2f, 0xfe9b2d, 0xfe992c, 0xfe962b, 0xfe932a, 0xfe9029, 0xfd8d27, 0xfd8a26, 0xfc8725, 0xfc8423, 0xfb8122,
    0xfb7e21, 0xfa7b1f, 0xf9781e, 0xf9751d, 0xf8721c, 0xf76f1a, 0xf66c19, 0xf56918, 0xf46617, 0xf36315, 0xf26014, 0xf15d13,
    0xf05b12, 0xef5811, 0xed5510, 0xec530f, 0xeb500e, 0xea4e0d, 0xe84b0c, 0xe7490c, 0xe5470b, 0xe4450a, 0xe2430a, 0xe14109,
    0xdf3f08, 0xdd3d08, 0xdc3b07, 0xda3907, 0xd83706, 0xd63506, 0xd43305, 0xd23105, 0xd02f05, 0xce2d04, 0xcc2b04, 0xca2a04,
    0xc82803, 0xc52603, 0xc32503, 0xc12302, 0xbe2102, 0xbc2002, 0xb91e02, 0xb71d02, 0xb41b01, 0xb21a01, 0xaf1801, 0xac1701,
    0xa91601, 0xa71401, 0xa41301, 0xa11201, 0x9e1001, 0x9b0f01, 0x980e01, 0x950d01, 0x920b01, 0x8e0a01, 0x8b0902, 0x880802,
    0x850702, 0x810602, 0x7e0502, 0x7a0403
  }};
}

EDGEAD_HD bool is_map(std::int32_t height, std::int32_t width) {
  return height >= 1 && height <= kMapSide && width >= 1 && width <= kMapSide;
}

// ---- regions -------------------------------------------------------------------------------------------------------

// Integers in the order of the numbers, NaN aside: -0 comes before +0.
EDGEAD_HD std::int32_t ordered(float value) {
  std::int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

EDGEAD_HD float from_ordered(std::int32_t bits) {
  bits ^= (bits >> 31) & 0x7fffffff;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// ---- overlay -------------------------------------------------------------------------------------------------------

// What is wanted of an overlay, apart from the frame.
struct Heat {
  const float *map;
  std::int32_t height, width;
  float low, span;     // span = span_of(low, high)
  float threshold;     // NaN: no outline
  std::uint32_t line;  // its colour, 0xRRGGBB
};

EDGEAD_HD float span_of(float low, float high) {
  constexpr float kSmallest = 1.17549435e-38f;  // the smallest normal number
  const float span = high - low;
  return span > kSmallest ? span : kSmallest;
}

EDGEAD_HD float heat_of(float value, float low, float span) {
  const float heat = (value - low) / span;
  return heat < 1.f ? (heat > 0.f ? heat : 0.f) : 1.f;
}

// Where position `at` of `size` lies between pixels `first` and, by `share` of the way, first + 1 (where there is one) of `cells`.
struct Between {
  std::int32_t first;
  float share;
};

EDGEAD_HD Between between(std::int32_t at, std::int32_t size, std::int32_t cells) {
  const std::int32_t numerator = (2 * at + 1) * cells - size, first = numerator / (2 * size);
  if (numerator <= 0) return {0, 0.f};
  if (first >= cells - 1) return {cells - 1, 0.f};
  return {first, float(numerator - first * 2 * size) / float(2 * size)};
}

EDGEAD_HD float mixed(float first, float second, float share) { return first + (second - first) * share; }

EDGEAD_HD std::int32_t colour_index(float heat) { return std::int32_t(heat * 255.f + 0.5f); }

EDGEAD_HD float weight_of(float heat) {
  const float weight = 1.5f * heat;
  return kStrongest * (weight < 1.f ? weight : 1.f);
}

EDGEAD_HD std::uint8_t blended(std::uint8_t pixel, std::uint32_t colour, float weight) {
  return std::uint8_t(std::int32_t(float(pixel) * (1.f - weight) + float(std::int32_t(colour)) * weight + 0.5f));
}

EDGEAD_HD std::int32_t reach_of(std::int32_t height, std::int32_t width) {
  const std::int32_t reach = ((height < width ? height : width) + 135) / 270;
  return reach < 1 ? 1 : reach;
}

// The pixel of the map, of `cells`, in which the centre of position `at` of `size` lies.
EDGEAD_HD std::int32_t cell_of(std::int32_t at, std::int32_t size, std::int32_t cells) {
  return (2 * at + 1) * cells / (2 * size);
}

EDGEAD_HD bool on_outline(const Heat &heat, std::int32_t height, std::int32_t width, std::int32_t reach, std::int32_t y,
                          std::int32_t x) {
  if (heat.threshold != heat.threshold) return false;
  const std::int32_t top = y - reach, bottom = y + reach, left = x - reach, right = x + reach;
  bool some = false, all = top >= 0 && bottom < height && left >= 0 && right < width;
  const std::int32_t first_row = top < 0 ? 0 : cell_of(top, height, heat.height);
  const std::int32_t last_row = bottom < height ? cell_of(bottom, height, heat.height) : heat.height - 1;
  const std::int32_t first_column = left < 0 ? 0 : cell_of(left, width, heat.width);
  const std::int32_t last_column = right < width ? cell_of(right, width, heat.width) : heat.width - 1;
  for (std::int32_t row = first_row; row <= last_row; ++row)
    for (std::int32_t column = first_column; column <= last_column; ++column) {
      const bool above = heat.map[std::int64_t(row) * heat.width + column] >= heat.threshold;
      some |= above, all &= above;
    }
  return some && !all;
}

EDGEAD_HD float stretched_heat(const Heat &heat, std::int32_t height, std::int32_t width, std::int32_t y, std::int32_t x) {
  const Between down = between(y, height, heat.height), across = between(x, width, heat.width);
  const float *above = heat.map + std::int64_t(down.first) * heat.width + across.first;
  const float *below = above + (down.first + 1 < heat.height ? heat.width : 0);
  const std::int32_t next = across.first + 1 < heat.width ? 1 : 0;
  const float left = mixed(heat_of(above[0], heat.low, heat.span), heat_of(below[0], heat.low, heat.span), down.share);
  const float right = mixed(heat_of(above[next], heat.low, heat.span), heat_of(below[next], heat.low, heat.span), down.share);
  return mixed(left, right, across.share);
}

// The pixel of the frame under `weight` of a colour, 0xRRGGBB.
EDGEAD_HD Rgb under(const Rgb &pixel, std::uint32_t colour, float weight) {
  return {blended(pixel.red, colour >> 16, weight), blended(pixel.green, colour >> 8 & 255u, weight),
          blended(pixel.blue, colour & 255u, weight)};
}

EDGEAD_HD Rgb overlaid(const Frame &frame, const Heat &heat, const Turbo &colours, std::int32_t reach, std::int32_t y,
                       std::int32_t x) {
  const Rgb pixel = pixel_of(frame, y, x);
  if (on_outline(heat, frame.height, frame.width, reach, y, x)) return under(pixel, heat.line, 1.f);
  const float here = stretched_heat(heat, frame.height, frame.width, y, x);
  return under(pixel, colours.rgb[colour_index(here)], weight_of(here));
}

}  // namespace edgead

// ---- the C interface: abi.h says what all functions have in common ------------------------------------------------------------

// The regions of an anomaly map, float32 [height, width]: the first `capacity` of them in `regions`, how many there are in `count`.
// There are never more than (height + 1) / 2 * ((width + 1) / 2).
EDGEAD_API int edgead_regions(const float *map, std::int32_t height, std::int32_t width, float threshold, edgead::Region *regions,
                              std::int32_t capacity, std::int32_t *count);

// The frame under its anomaly map, float32 [map_height, map_width]: uint8 [height, width, 3] of the frame's size, contiguous, RGB,
// or with swap != 0 BGR. threshold: what is outlined, in the colour `line`, 0xRRGGBB; NaN: nothing.
EDGEAD_API int edgead_overlay(const edgead::Frame *frame, const float *map, std::int32_t map_height, std::int32_t map_width,
                              float low, float high, float threshold, std::uint32_t line, std::uint8_t *target, std::int32_t swap,
                              std::int32_t threads);

// `regions` and `count` are device memory as well, and so is `workspace`, of as many bytes as edgead_cuda_regions_bytes says, at a
// multiple of 4.
EDGEAD_API std::int64_t edgead_cuda_regions_bytes(std::int32_t height, std::int32_t width);
EDGEAD_API int edgead_cuda_regions(const float *map, std::int32_t height, std::int32_t width, float threshold,
                                   edgead::Region *regions, std::int32_t capacity, std::int32_t *count, void *workspace,
                                   void *stream);
// `frame` is host memory, its planes are device memory.
EDGEAD_API int edgead_cuda_overlay(const edgead::Frame *frame, const float *map, std::int32_t map_height, std::int32_t map_width,
                                   float low, float high, float threshold, std::uint32_t line, std::uint8_t *target,
                                   std::int32_t swap, void *stream);
