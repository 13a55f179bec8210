// The CPU's arrangement of the resize against its one-pixel definition, which is what the CUDA kernel runs.
#include <cstdio>
#include <random>
#include <vector>

#include "edgead/abi.h"
#include "edgead/resize.h"

namespace {

struct Table {
  std::vector<std::int32_t> first, count;
  std::vector<std::int16_t> weight;
  std::int32_t stride;
  Table(std::int32_t in, std::int32_t out) : first(out), count(out), stride(edgead_resize_taps(in, out)) {
    weight.resize(std::size_t(out) * stride);
    edgead_resize_axis(in, out, first.data(), count.data(), weight.data());
  }
  edgead::ResizeAxis axis() const { return {first.data(), count.data(), weight.data(), stride}; }
};

// Bytes that differ, or a status that is not kOk.
int compare(int height, int width, int channels, int swap, int out_height, int out_width, int padding, unsigned seed) {
  const std::int64_t row_bytes = std::int64_t(width) * channels + padding;
  std::vector<std::uint8_t> source(std::size_t(row_bytes) * height), target(std::size_t(out_height) * out_width * 3);
  std::mt19937 random(seed);
  for (auto &byte : source) byte = std::uint8_t(random());
  if (edgead_resize_u8(source.data(), row_bytes, height, width, channels, swap, target.data(), out_height, out_width)) return -1;
  const Table columns(height, out_height), rows(width, out_width);
  int different = 0;
  for (int y = 0; y < out_height; ++y)
    for (int x = 0; x < out_width; ++x)
      for (int c = 0; c < 3; ++c) {
        const int from = channels == 3 ? (swap ? 2 - c : c) : 0;
        const auto expected =
            edgead::resize_pixel(source.data() + from, row_bytes, channels, columns.axis(), rows.axis(), y, x);
        different += expected != target[(std::size_t(y) * out_width + x) * 3 + c];
      }
  return different;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  const auto side = [&random](int most) { return 1 + int(random() % most); };
  int failed = 0;
  for (unsigned round = 0; round < 300; ++round) {
    const int height = side(200), width = side(200), out_height = side(150), out_width = side(150);
    const int channels = round % 3 ? 3 : 1, swap = round % 2, padding = int(random() % 9);
    const int different = compare(height, width, channels, swap, out_height, out_width, padding, round);
    if (different) {
      std::printf("%dx%dx%d -> %dx%d: %d\n", height, width, channels, out_height, out_width, different);
      ++failed;
    }
  }
  std::uint8_t byte = 0, out[3];
  failed += edgead_resize_u8(&byte, 1, 0, 1, 1, 0, out, 1, 1) != edgead::kBadSize;
  failed += edgead_resize_u8(&byte, 1, 1, 1, 2, 0, out, 1, 1) != edgead::kBadChannels;
  std::printf("%d passed, %d failed\n", 302 - failed, failed);
  return failed != 0;
}
