// Frames to images on the CPU: the definition of preprocess.h, arranged so that the column sums run along contiguous rows (SIMD).
// Rows of NV12 and YUYV become planes of red, green and blue first, once for all outputs that need them.
#include "edgead/preprocess.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "edgead/clones.h"
#include "parallel.h"
#include "planes.h"

namespace {

using edgead::Area;
using edgead::Frame;
using std::int16_t;
using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint8_t;

constexpr int32_t kTogether = 4;       // rows that are added at once: their low halves fit 16 bits
constexpr int32_t kLanes = 16;         // taps that are summed at once
constexpr int32_t kKept = 32;          // converted rows that are kept at most
constexpr int64_t kGrain = 1 << 20;    // bytes times taps for which a thread is worth starting: about 0.1 ms
constexpr int kLowBits = edgead::kColumnShift;

struct AxisTable {
  int32_t stride;
  std::vector<int32_t> first, count;
  std::vector<int16_t> weight;

  // The weights of each output are followed by zeros, to a multiple of `lanes`.
  AxisTable(int32_t in, int32_t out, int32_t lanes)
      : stride((edgead::resize_taps(in, out) + lanes - 1) / lanes * lanes), first(out), count(out),
        weight(std::size_t(out) * stride) {
    for (int32_t i = 0; i < out; ++i)
      count[i] = edgead::resize_weights(in, out, i, &first[i], &weight[std::size_t(i) * stride]);
  }
};

EDGEAD_CLONES void convert(const Frame &frame, int32_t y, int32_t x, int32_t count, uint8_t *red, uint8_t *green, uint8_t *blue) {
  edgead::to_planes(frame, y, x, count, red, green, blue);
}

// ---- column sums: in 16 bits -------------------------------------------------------------------------------------------
// With weight = 64 high + low, a rounded column sum is (sum(weight p) + 32) >> 6 = sum(high p) + ((sum(low p) + 32) >> 6). The
// first fits 16 bits, because weights sum to 2^14; of the second, what is carried goes to the first after every four rows.

template <int rows>
EDGEAD_HD void add(const uint8_t *const *row, const int16_t *weight, int64_t bytes, uint16_t *__restrict high,
                   uint16_t *__restrict low) {
  const uint8_t *p[kTogether];
  uint16_t above[kTogether], below[kTogether];
  for (int m = 0; m < rows; ++m) {
    p[m] = row[m];
    above[m] = uint16_t(weight[m] >> kLowBits);
    below[m] = uint16_t(weight[m] & ((1 << kLowBits) - 1));
  }
  for (int64_t k = 0; k < bytes; ++k) {
    uint16_t h = high[k], l = low[k];
    for (int m = 0; m < rows; ++m) {
      h = uint16_t(h + above[m] * p[m][k]);
      l = uint16_t(l + below[m] * p[m][k]);
    }
    high[k] = uint16_t(h + (l >> kLowBits));
    low[k] = l & ((1 << kLowBits) - 1);
  }
}

// Adds at most kTogether rows.
EDGEAD_CLONES void add_rows(const uint8_t *const *row, const int16_t *weight, int32_t rows, int64_t bytes,
                            uint16_t *__restrict high, uint16_t *__restrict low) {
  switch (rows) {
    case 1: return add<1>(row, weight, bytes, high, low);
    case 2: return add<2>(row, weight, bytes, high, low);
    case 3: return add<3>(row, weight, bytes, high, low);
    default: return add<kTogether>(row, weight, bytes, high, low);
  }
}

// ---- row sums: of signed numbers, less kMiddle, because processors have a sum of products of those -----------------------

constexpr int32_t kMiddle = 1 << 15;
constexpr int32_t kMiddleSum = kMiddle << edgead::kWeightBits;

EDGEAD_CLONES void shift_plane(const uint16_t *sums, int64_t count, int16_t *__restrict plane) {
  for (int64_t x = 0; x < count; ++x) plane[x] = int16_t(sums[x] - kMiddle);
}

EDGEAD_CLONES void shift_pixels(const uint16_t *sums, int64_t count, int16_t *__restrict first, int16_t *__restrict second,
                                int16_t *__restrict third) {
  for (int64_t x = 0; x < count; ++x) {
    first[x] = int16_t(sums[3 * x] - kMiddle);
    second[x] = int16_t(sums[3 * x + 1] - kMiddle);
    third[x] = int16_t(sums[3 * x + 2] - kMiddle);
  }
}

EDGEAD_HD uint8_t row_sum(const int16_t *plane, const int16_t *weight, int32_t taps) {
  int32_t sum = 0;
  for (int32_t k = 0; k < taps; k += kLanes)
    for (int32_t i = 0; i < kLanes; ++i) sum += weight[k + i] * plane[k + i];
  return edgead::round_row(sum + kMiddleSum);
}

EDGEAD_CLONES void row_sums(const int16_t *red, const int16_t *green, const int16_t *blue, const int32_t *first,
                            const int16_t *weight, int32_t taps, int32_t out_width, uint8_t *__restrict target) {
  for (int32_t x = 0; x < out_width; ++x, weight += taps, target += 3) {
    target[0] = row_sum(red + first[x], weight, taps);
    target[1] = row_sum(green + first[x], weight, taps);
    target[2] = row_sum(blue + first[x], weight, taps);
  }
}

// ---- what one thread does ------------------------------------------------------------------------------------------------

class Strip {
 public:
  Strip(const Frame &frame, const Area &area, const AxisTable &columns, const AxisTable &rows)
      : frame_(frame), area_(area), columns_(columns), rows_(rows),
        shares_(frame.layout == edgead::kNv12 || frame.layout == edgead::kYuyv), shift_(shares_ ? area.left % 2 : 0),
        wide_(shares_ ? (shift_ + area.width + 1) / 2 * 2 : area.width), bytes_(length(frame, wide_)),
        kept_(shares_ ? std::clamp(columns.stride, kTogether, kKept) : 0), plane_(wide_ + rows.stride), high_(std::size_t(bytes_)),
        low_(std::size_t(bytes_)), planes_(std::size_t(3 * plane_)), converted_(std::size_t(bytes_ * kept_)),
        holds_(std::size_t(kept_), -1) {}

  // The bytes of a row of so many pixels, as the column sums see it
  static int64_t length(const Frame &frame, int32_t width) { return int64_t(width) * (frame.layout == edgead::kGray ? 1 : 3); }

  // Output row y
  void make(int32_t y, int32_t out_width, uint8_t *target) {
    sum_columns(y);
    int16_t *red = planes_.data(), *green = red + plane_, *blue = green + plane_;
    const uint16_t *sums = high_.data();
    if (frame_.layout == edgead::kGray) {
      shift_plane(sums, wide_, red);
      green = blue = red;
    } else if (frame_.layout == edgead::kRgb) {
      shift_pixels(sums, wide_, red, green, blue);
    } else if (frame_.layout == edgead::kBgr) {
      shift_pixels(sums, wide_, blue, green, red);
    } else {
      shift_plane(sums, wide_, red);
      shift_plane(sums + wide_, wide_, green);
      shift_plane(sums + 2 * int64_t(wide_), wide_, blue);
    }
    row_sums(red + shift_, green + shift_, blue + shift_, rows_.first.data(), rows_.weight.data(), rows_.stride, out_width, target);
  }

 private:
  void sum_columns(int32_t y) {
    std::fill(high_.begin(), high_.end(), uint16_t(0));
    std::fill(low_.begin(), low_.end(), uint16_t(1 << (kLowBits - 1)));
    const int16_t *weight = &columns_.weight[std::size_t(y) * columns_.stride];
    const int32_t first = columns_.first[y], count = columns_.count[y];
    for (int32_t m = 0; m < count; m += kTogether) {
      const int32_t rows = std::min(kTogether, count - m);
      const uint8_t *row[kTogether];
      for (int32_t i = 0; i < rows; ++i) row[i] = shares_ ? converted(first + m + i) : in_place(first + m + i);
      add_rows(row, weight + m, rows, bytes_, high_.data(), low_.data());
    }
  }

  const uint8_t *in_place(int32_t y) const { return frame_.plane + (area_.top + y) * frame_.pitch + length(frame_, area_.left); }

  // Row y of the area as planes, from the pair on in which it begins. It stays until row y + kept_ is asked for.
  const uint8_t *converted(int32_t y) {
    uint8_t *const red = &converted_[std::size_t(y % kept_ * bytes_)], *const green = red + wide_, *const blue = green + wide_;
    int32_t &holds = holds_[std::size_t(y % kept_)];
    if (holds == y) return red;
    holds = y;
    convert(frame_, area_.top + y, area_.left - shift_, wide_, red, green, blue);
    return red;
  }

  const Frame &frame_;
  const Area &area_;
  const AxisTable &columns_, &rows_;
  const bool shares_;                // U and V, by two pixels
  const int32_t shift_;              // pixels that are read to the left of the area
  const int32_t wide_;               // pixels that are read
  const int64_t bytes_;              // of a row
  const int32_t kept_;               // converted rows
  const int64_t plane_;              // numbers of a plane, with those behind it whose weight is 0
  std::vector<uint16_t> high_, low_;
  std::vector<int16_t> planes_;
  std::vector<uint8_t> converted_;
  std::vector<int32_t> holds_;       // which row of the area
};

}  // namespace

std::int32_t edgead_resize_taps(std::int32_t in, std::int32_t out) {
  return edgead::is_side(in) && edgead::is_side(out) ? edgead::resize_taps(in, out) : 0;
}

int edgead_resize_axis(std::int32_t in, std::int32_t out, std::int32_t *first, std::int32_t *count, std::int16_t *weight) {
  if (!edgead::is_side(in) || !edgead::is_side(out)) return edgead::kBadSize;
  const std::int32_t stride = edgead::resize_taps(in, out);
  for (std::int32_t i = 0; i < out; ++i)
    count[i] = edgead::resize_weights(in, out, i, &first[i], weight + std::int64_t(i) * stride);
  return edgead::kOk;
}

int edgead_preprocess(const Frame *frame, const Area *area, std::uint8_t *target, std::int32_t out_height,
                      std::int32_t out_width, std::int32_t threads) {
  if (threads < 1) return edgead::kBadCount;
  const int status = edgead::preprocess_status(*frame, *area, out_height, out_width);
  if (status != edgead::kOk) return status;
  try {
    const AxisTable columns(area->height, out_height, 1), rows(area->width, out_width, kLanes);
    const int64_t cost = Strip::length(*frame, area->width) * columns.stride + int64_t(out_width) * 3 * rows.stride;
    std::atomic<bool> no_memory{false};
    edgead::in_parallel(out_height, std::max<int64_t>(1, kGrain / cost), threads, [&](int64_t begin, int64_t end) {
      try {
        Strip strip(*frame, *area, columns, rows);
        for (int64_t y = begin; y < end; ++y) strip.make(int32_t(y), out_width, target + y * out_width * 3);
      } catch (const std::bad_alloc &) {
        no_memory = true;
      }
    });
    return no_memory ? edgead::kNoMemory : edgead::kOk;
  } catch (const std::bad_alloc &) {
    return edgead::kNoMemory;
  }
}
