// A frame as a camera gives it, and the colour of one of its pixels: one definition for host and device, in integers.
//
// NV12 and YUYV hold Y, U and V of ITU-R BT.601 in their narrow range (Y 16..235, U and V 16..240, 128 is no colour); two or four
// pixels share U and V. With u and v less 128,
//     R = 1.164 (Y - 16)             + 1.596 v
//     G = 1.164 (Y - 16) - 0.391 u   - 0.813 v
//     B = 1.164 (Y - 16) + 2.018 u
// in 20 fractional bits, rounded once and cut to 0..255. These are the integers of OpenCV's cvtColor, so that a frame that is read
// here is, bit by bit, the photo that OpenCV would have made of it for training.
#pragma once
#include <cstdint>

#include "edgead/abi.h"
#include "edgead/host_device.h"

namespace edgead {

enum Layout : std::int32_t { kBgr = 0, kRgb = 1, kGray = 2, kNv12 = 3, kYuyv = 4 };

// `plane`: rows `pitch` bytes apart, of B G R, R G B, one gray value, Y (kNv12), or Y U Y V for two pixels (kYuyv, even width).
// `chroma`, of kNv12 alone (even width and height): U V for each square of four pixels, rows `chroma_pitch` bytes apart.
struct Frame {
  const std::uint8_t *plane;
  std::int64_t pitch;
  const std::uint8_t *chroma;
  std::int64_t chroma_pitch;
  std::int32_t layout, height, width;
};

constexpr std::int32_t kFrameSide = 1 << 15;  // the longest

// The bytes of a pixel in `plane`.
inline std::int64_t pixel_bytes(std::int32_t layout) { return layout <= kRgb ? 3 : layout == kYuyv ? 2 : 1; }

// kOk, or what is wrong: a side, or what the layout asks for.
inline int frame_status(const Frame &frame) {
  if (frame.height < 1 || frame.height > kFrameSide || frame.width < 1 || frame.width > kFrameSide) return kBadSize;
  if (frame.layout < kBgr || frame.layout > kYuyv) return kBadLayout;
  const bool planar = frame.layout == kNv12, pairs = planar || frame.layout == kYuyv;
  if ((pairs && frame.width % 2) || (planar && frame.height % 2)) return kBadLayout;
  if (!frame.plane || frame.pitch < frame.width * pixel_bytes(frame.layout)) return kBadLayout;
  return planar && (!frame.chroma || frame.chroma_pitch < frame.width) ? kBadLayout : kOk;
}

// A rectangle of pixels.
struct Area {
  std::int32_t top, left, height, width;
};

struct Rgb {
  std::uint8_t red, green, blue;
};

EDGEAD_HD std::uint8_t cut_to_byte(std::int32_t value) {
  return std::uint8_t(value < 0 ? 0 : value > 255 ? 255 : value);
}

EDGEAD_HD Rgb rgb_of_yuv(std::int32_t y, std::int32_t u, std::int32_t v) {
  constexpr int kBits = 20;
  constexpr std::int32_t kHalf = 1 << (kBits - 1);
  const std::int32_t light = (y > 16 ? y - 16 : 0) * 1220542;
  u -= 128, v -= 128;
  return {cut_to_byte((light + 1673527 * v + kHalf) >> kBits), cut_to_byte((light - 852492 * v - 409993 * u + kHalf) >> kBits),
          cut_to_byte((light + 2116026 * u + kHalf) >> kBits)};
}

EDGEAD_HD Rgb pixel_of(const Frame &frame, std::int32_t y, std::int32_t x) {
  const std::uint8_t *row = frame.plane + y * frame.pitch;
  if (frame.layout == kGray) return {row[x], row[x], row[x]};
  if (frame.layout == kNv12) {
    const std::uint8_t *uv = frame.chroma + (y / 2) * frame.chroma_pitch + (x & ~1);
    return rgb_of_yuv(row[x], uv[0], uv[1]);
  }
  if (frame.layout == kYuyv) {
    const std::uint8_t *pair = row + std::int64_t(x & ~1) * 2;
    return rgb_of_yuv(pair[2 * (x & 1)], pair[1], pair[3]);
  }
  const std::uint8_t *pixel = row + std::int64_t(x) * 3;
  return frame.layout == kBgr ? Rgb{pixel[2], pixel[1], pixel[0]} : Rgb{pixel[0], pixel[1], pixel[2]};
}

}  // namespace edgead
