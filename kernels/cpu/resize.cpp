// Resize on the CPU: the definition of resize.h, arranged so that the column sums run along contiguous rows (SIMD).
#include "edgead/resize.h"

#include <new>
#include <vector>

#include "edgead/abi.h"
#include "edgead/clones.h"

namespace {

using edgead::ResizeAxis;

bool bad_side(std::int32_t side) { return side < 1 || side > edgead::kMaxSide; }

struct AxisTable {
  std::int32_t stride;
  std::vector<std::int32_t> first, count;
  std::vector<std::int16_t> weight;

  AxisTable(std::int32_t in, std::int32_t out)
      : stride(edgead::resize_taps(in, out)), first(out), count(out), weight(std::size_t(out) * stride) {
    for (std::int32_t i = 0; i < out; ++i)
      count[i] = edgead::resize_weights(in, out, i, &first[i], &weight[std::size_t(i) * stride]);
  }
};

// sums[k] = the rounded column sum at byte k of the row
EDGEAD_CLONES void column_sums(const std::uint8_t *source, std::int64_t row_bytes, std::int32_t bytes, const std::int16_t *weight,
                               std::int32_t taps, std::int32_t *sums) {
  const std::int32_t first = weight[0];
  for (std::int32_t k = 0; k < bytes; ++k) sums[k] = first * source[k];
  for (std::int32_t m = 1; m < taps; ++m) {
    const std::uint8_t *row = source + m * row_bytes;
    const std::int32_t w = weight[m];
    for (std::int32_t k = 0; k < bytes; ++k) sums[k] += w * row[k];
  }
  for (std::int32_t k = 0; k < bytes; ++k) sums[k] = edgead::round_column(sums[k]);
}

template <int channels>
void row_sums(const std::int32_t *sums, const AxisTable &rows, int swap, std::uint8_t *target, std::int32_t out_width) {
  for (std::int32_t x = 0; x < out_width; ++x, target += 3) {
    const std::int16_t *weight = &rows.weight[std::size_t(x) * rows.stride];
    const std::int32_t *p = sums + std::int64_t(rows.first[x]) * channels;
    std::int32_t value[channels] = {};
    for (std::int32_t k = 0; k < rows.count[x]; ++k)
      for (int c = 0; c < channels; ++c) value[c] += weight[k] * p[k * channels + c];
    for (int c = 0; c < 3; ++c) target[swap ? 2 - c : c] = edgead::round_row(value[channels == 3 ? c : 0]);
  }
}

}  // namespace

std::int32_t edgead_resize_taps(std::int32_t in, std::int32_t out) {
  return bad_side(in) || bad_side(out) ? 0 : edgead::resize_taps(in, out);
}

int edgead_resize_axis(std::int32_t in, std::int32_t out, std::int32_t *first, std::int32_t *count, std::int16_t *weight) {
  if (bad_side(in) || bad_side(out)) return edgead::kBadSize;
  const std::int32_t stride = edgead::resize_taps(in, out);
  for (std::int32_t i = 0; i < out; ++i)
    count[i] = edgead::resize_weights(in, out, i, &first[i], weight + std::int64_t(i) * stride);
  return edgead::kOk;
}

int edgead_resize_u8(const std::uint8_t *source, std::int64_t row_bytes, std::int32_t height, std::int32_t width,
                     std::int32_t channels, int swap, std::uint8_t *target, std::int32_t out_height, std::int32_t out_width) {
  if (bad_side(height) || bad_side(width) || bad_side(out_height) || bad_side(out_width)) return edgead::kBadSize;
  if (channels != 1 && channels != 3) return edgead::kBadChannels;
  try {
    const AxisTable columns(height, out_height), rows(width, out_width);
    std::vector<std::int32_t> sums(std::size_t(width) * channels);
    for (std::int32_t y = 0; y < out_height; ++y) {
      column_sums(source + columns.first[y] * row_bytes, row_bytes, width * channels,
                  &columns.weight[std::size_t(y) * columns.stride], columns.count[y], sums.data());
      std::uint8_t *row = target + std::int64_t(y) * out_width * 3;
      if (channels == 3)
        row_sums<3>(sums.data(), rows, swap, row, out_width);
      else
        row_sums<1>(sums.data(), rows, swap, row, out_width);
    }
  } catch (const std::bad_alloc &) {
    return edgead::kNoMemory;
  }
  return edgead::kOk;
}
