// Regions and overlay, on the CPU and (EDGEAD_EMULATED) as the device has them, against the definition: regions by flooding, the
// overlay pixel by pixel, bit for bit.
//
// Prints a hash of all of it: programs for other instruction sets have to print the same one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "edgead/postprocess.h"

namespace {

using edgead::Region;
using std::int32_t;
using std::int64_t;
using Bytes = std::vector<std::uint8_t>;

std::mt19937 source(1);
std::uint64_t bits = 0xcbf29ce484222325u;  // FNV-1a

void hash(const void *data, std::size_t size) {
  const auto *byte = static_cast<const std::uint8_t *>(data);
  for (std::size_t i = 0; i < size; ++i) bits = (bits ^ byte[i]) * 0x100000001b3u;
}

// Mostly from -1 to 1, in steps, so that many are equal; some are no numbers.
float value() {
  switch (source() % 64) {
    case 0: return float(NAN);
    case 1: return float(INFINITY);
    case 2: return -float(INFINITY);
    case 3: return -0.f;
    case 4: return float(source()) * 1e-45f;
    default: return float(int(source() % 33) - 16) / 16.f;
  }
}

// An array of exactly this size on the heap, so that AddressSanitizer sees what is read or written beyond.
template <class T>
std::unique_ptr<T[]> exactly(std::size_t size) {
  return std::unique_ptr<T[]>(new T[size]());
}

// ---- regions: from each first pixel the neighbours are flooded -------------------------------------------------------

std::vector<Region> flooded(const float *map, int32_t height, int32_t width, float threshold) {
  std::vector<Region> regions;
  std::vector<char> seen(std::size_t(height) * width);
  for (int32_t first = 0; first < height * width; ++first) {
    if (seen[first] || !(map[first] >= threshold)) continue;
    int32_t left = width, right = -1, top = height, bottom = -1, area = 0, peak = INT32_MIN;
    std::vector<int32_t> waiting{first};
    seen[first] = 1;
    while (!waiting.empty()) {
      const int32_t pixel = waiting.back(), y = pixel / width, x = pixel % width;
      waiting.pop_back();
      left = std::min(left, x), right = std::max(right, x), top = std::min(top, y), bottom = std::max(bottom, y);
      ++area;
      peak = std::max(peak, edgead::ordered(map[pixel]));
      for (int32_t v = std::max(0, y - 1); v <= std::min(height - 1, y + 1); ++v)
        for (int32_t u = std::max(0, x - 1); u <= std::min(width - 1, x + 1); ++u)
          if (!seen[v * width + u] && map[v * width + u] >= threshold) {
            seen[v * width + u] = 1;
            waiting.push_back(v * width + u);
          }
    }
    regions.push_back({left, top, right - left + 1, bottom - top + 1, area, edgead::from_ordered(peak)});
  }
  return regions;
}

int regions(int32_t height, int32_t width, float threshold) {
  const auto map = exactly<float>(std::size_t(height) * width);
  for (int32_t i = 0; i < height * width; ++i) map[i] = value();
  const std::vector<Region> expected = flooded(map.get(), height, width, threshold);
  int failed = 0;
  for (const std::size_t capacity : {expected.size() + 3, expected.size(), expected.size() / 2, std::size_t(0)}) {
    const auto found = exactly<Region>(capacity);
    int32_t count = -1;
    failed += edgead_regions(map.get(), height, width, threshold, found.get(), int32_t(capacity), &count) != edgead::kOk;
    const std::size_t written = std::min(capacity, expected.size());
    failed += count != int32_t(expected.size());
    failed += written && std::memcmp(found.get(), expected.data(), written * sizeof(Region));
  }
#if defined(EDGEAD_EMULATED)
  if (threshold == 0.25f) {
    const std::size_t capacity = (expected.size() + height % 2) / (1 + height % 2);  // all or half of them
    const auto found = exactly<Region>(capacity);
    const auto count = exactly<int32_t>(1);
    const auto workspace = exactly<int32_t>(std::size_t(edgead_cuda_regions_bytes(height, width)) / sizeof(int32_t));
    failed += edgead_cuda_regions(map.get(), height, width, threshold, found.get(), int32_t(capacity), count.get(), workspace.get(),
                                  nullptr) != edgead::kOk;
    failed += count[0] != int32_t(expected.size());
    failed += capacity && std::memcmp(found.get(), expected.data(), capacity * sizeof(Region));
  }
#endif
  hash(expected.data(), expected.size() * sizeof(Region));
  if (failed) std::printf("regions of %d x %d at %g: %d\n", height, width, double(threshold), failed);
  return failed;
}

// ---- overlay ---------------------------------------------------------------------------------------------------------

int overlay(int32_t layout, int32_t height, int32_t width, int32_t map_height, int32_t map_width, float threshold, bool swap,
            int32_t threads, int32_t gap) {
  const int32_t bytes = layout == edgead::kYuyv ? 2 : layout == edgead::kBgr || layout == edgead::kRgb ? 3 : 1;
  const int64_t pitch = int64_t(width) * bytes + gap, chroma_pitch = width + gap;
  const auto plane = exactly<std::uint8_t>(std::size_t(pitch * (height - 1) + width * bytes));
  const bool chromatic = layout == edgead::kNv12;
  const std::size_t chroma_bytes = chromatic ? std::size_t(chroma_pitch * (height / 2 - 1) + width) : 0;
  const auto chroma = exactly<std::uint8_t>(chroma_bytes);
  for (int64_t i = 0; i < pitch * (height - 1) + width * bytes; ++i) plane[i] = std::uint8_t(source());
  for (std::size_t i = 0; i < chroma_bytes; ++i) chroma[i] = std::uint8_t(source());
  const auto map = exactly<float>(std::size_t(map_height) * map_width);
  for (int32_t i = 0; i < map_height * map_width; ++i) map[i] = value();
  const edgead::Frame frame{plane.get(), pitch, chromatic ? chroma.get() : nullptr, chroma_pitch, layout, height, width};
  const float low = -0.5f, high = 0.75f;
  const std::uint32_t line = 0xff8c01;
  const edgead::Heat heat{map.get(), map_height, map_width, low, edgead::span_of(low, high), threshold, line};
  Bytes expected;
  for (int32_t y = 0; y < height; ++y)
    for (int32_t x = 0; x < width; ++x) {
      const edgead::Rgb pixel = edgead::overlaid(frame, heat, edgead::turbo(), edgead::reach_of(height, width), y, x);
      expected.insert(expected.end(), {swap ? pixel.blue : pixel.red, pixel.green, swap ? pixel.red : pixel.blue});
    }
  const auto target = exactly<std::uint8_t>(expected.size());
  int status =
      edgead_overlay(&frame, map.get(), map_height, map_width, low, high, threshold, line, target.get(), swap, threads);
  hash(expected.data(), expected.size());
  bool same = std::memcmp(target.get(), expected.data(), expected.size()) == 0;
#if defined(EDGEAD_EMULATED)
  std::fill_n(target.get(), expected.size(), std::uint8_t(1));
  status += edgead_cuda_overlay(&frame, map.get(), map_height, map_width, low, high, threshold, line, target.get(), swap, nullptr);
  same &= std::memcmp(target.get(), expected.data(), expected.size()) == 0;
#endif
  if (status == edgead::kOk && same) return 0;
  std::printf("overlay of %d x %d, layout %d, map %d x %d, at %g, %d threads, gap %d: status %d\n", height, width, layout,
              map_height, map_width, double(threshold), threads, gap, status);
  return 1;
}

int refused() {
  int failed = 0;
  const float map[4] = {};
  const std::uint8_t plane[12] = {};
  std::uint8_t target[12] = {};
  int32_t count = 0;
  const auto over = [&](edgead::Frame frame, int32_t height = 2, int32_t threads = 1) {
    return edgead_overlay(&frame, map, height, 2, 0.f, 1.f, 0.f, 0, target, 0, threads);
  };
  const edgead::Frame frame{plane, 6, nullptr, 0, edgead::kRgb, 2, 2};
  failed += over(frame) != edgead::kOk;
  failed += over(frame, 0) != edgead::kBadSize || over(frame, edgead::kMapSide + 1) != edgead::kBadSize;
  failed += over(frame, 2, 0) != edgead::kBadCount;
  failed += over({plane, 6, nullptr, 0, edgead::kRgb, 0, 2}) != edgead::kBadSize;
  failed += over({plane, 5, nullptr, 0, edgead::kRgb, 2, 2}) != edgead::kBadLayout;
  failed += over({nullptr, 6, nullptr, 0, edgead::kRgb, 2, 2}) != edgead::kBadLayout;
  for (const int32_t layout : {-1, 5}) failed += over({plane, 6, nullptr, 0, layout, 2, 2}) != edgead::kBadLayout;
  failed += over({plane, 6, nullptr, 0, edgead::kNv12, 2, 2}) != edgead::kBadLayout;
  failed += over({plane, 6, plane, 2, edgead::kNv12, 1, 2}) != edgead::kBadLayout;
  failed += over({plane, 6, nullptr, 0, edgead::kYuyv, 2, 1}) != edgead::kBadLayout;
  failed += edgead_regions(map, 0, 2, 0.f, nullptr, 0, &count) != edgead::kBadSize;
  failed += edgead_regions(map, 2, 2, 0.f, nullptr, -1, &count) != edgead::kBadCount;
  if (failed) std::printf("refused: %d\n", failed);
  return failed;
}

}  // namespace

int main() {
  int failed = refused();
  for (int32_t height : {1, 2, 3, 5, 8, 17, 40})
    for (int32_t width : {1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 100})
      for (const float threshold : {-0.9f, 0.f, 0.25f, 0.7f, 1.f, float(INFINITY), float(NAN)})
        failed += regions(height, width, threshold);
  failed += regions(300, 301, 0.5f) + regions(1, 4096, 0.5f) + regions(4096, 1, 0.5f);
  for (int32_t layout = edgead::kBgr; layout <= edgead::kYuyv; ++layout)
    for (const float threshold : {float(NAN), 0.5f, -2.f, 1.f})
      for (const int32_t gap : {0, 1, 13}) {
        const bool swap = gap == 1;
        for (const int32_t width : {2, 4, 6, 14, 16, 18, 62, 130})
          failed += overlay(layout, 2, width, 3, 5, threshold, swap, 1, gap) +
                    overlay(layout, 14, width, 1, 1, threshold, swap, 1, gap);
        failed += overlay(layout, 40, 514, 7, 90, threshold, swap, 1, gap) +
                  overlay(layout, 36, 1030, 50, 9, threshold, swap, 3, gap);
      }
  for (const int32_t layout : {edgead::kBgr, edgead::kRgb, edgead::kGray})
    for (const int32_t side : {1, 3, 5, 33, 511, 513}) failed += overlay(layout, side, 7, 6, 6, 0.5f, false, 2, 0);
  failed += overlay(edgead::kRgb, 500, 700, 20, 30, 0.5f, true, 2, 0);
  failed += overlay(edgead::kRgb, 20, 30, 100, 4096, 0.9f, false, 2, 0);
  std::printf("bits %016llx\n%d failed\n", static_cast<unsigned long long>(bits), failed);
  return failed != 0;
}
