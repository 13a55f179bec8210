// From a camera's frame to the graph's input: one definition for host and device.
//
// Every pixel of an area of the frame becomes RGB as frame.h says, then the area is resized as resize.h says. The result is, bit by
// bit, that of a frame which was converted as a whole, cut out and resized: what lies beside the area changes nothing, but for the
// U and V that pixels on its border share with neighbours outside. All in integers: the same bits everywhere.
#pragma once
#include "edgead/abi.h"
#include "edgead/frame.h"
#include "edgead/resize.h"

namespace edgead {

inline bool is_side(std::int32_t side) { return side >= 1 && side <= kMaxSide; }

// Whether `area` of `frame` can become an image of such a size
inline int preprocess_status(const Frame &frame, const Area &area, std::int32_t out_height, std::int32_t out_width) {
  if (const int status = frame_status(frame)) return status;
  if (!is_side(out_height) || !is_side(out_width)) return kBadSize;
  if (!is_side(area.height) || !is_side(area.width) || area.top < 0 || area.left < 0) return kBadSize;
  return area.top > frame.height - area.height || area.left > frame.width - area.width ? kBadSize : kOk;
}

// One pixel of the result. The axes are those of the area's height and width.
EDGEAD_HD Rgb preprocess_pixel(const Frame &frame, const Area &area, const ResizeAxis &columns, const ResizeAxis &rows,
                               std::int32_t y, std::int32_t x) {
  const std::int16_t *wy = columns.weight + std::int64_t(y) * columns.stride;
  const std::int16_t *wx = rows.weight + std::int64_t(x) * rows.stride;
  std::int32_t red = 0, green = 0, blue = 0;
  for (std::int32_t k = 0; k < rows.count[x]; ++k) {
    std::int32_t column_red = 0, column_green = 0, column_blue = 0;
    for (std::int32_t m = 0; m < columns.count[y]; ++m) {
      const Rgb pixel = pixel_of(frame, area.top + columns.first[y] + m, area.left + rows.first[x] + k);
      column_red += wy[m] * pixel.red, column_green += wy[m] * pixel.green, column_blue += wy[m] * pixel.blue;
    }
    red += wx[k] * round_column(column_red);
    green += wx[k] * round_column(column_green);
    blue += wx[k] * round_column(column_blue);
  }
  return {round_row(red), round_row(green), round_row(blue)};
}

}  // namespace edgead

// ---- the C interface: abi.h says what all functions have in common ------------------------------------------------------------

// An area of a frame as RGB, resized to uint8 [out_height, out_width, 3], contiguous.
EDGEAD_API int edgead_preprocess(const edgead::Frame *frame, const edgead::Area *area, std::uint8_t *target,
                                 std::int32_t out_height, std::int32_t out_width, std::int32_t threads);

// The taps of one axis of the resize: first and count [out], weight [out, edgead_resize_taps(in, out)].
EDGEAD_API std::int32_t edgead_resize_taps(std::int32_t in, std::int32_t out);
EDGEAD_API int edgead_resize_axis(std::int32_t in, std::int32_t out, std::int32_t *first, std::int32_t *count,
                                  std::int16_t *weight);

// `frame` and `area` are host memory, the frame's planes are device memory. `tables`, at a multiple of 4, has as many bytes as
// edgead_cuda_preprocess_bytes says (-1: no such sizes) and is what edgead_cuda_preprocess_tables has made for an area and an output
// of these sizes, wherever the area lies: once is enough.
EDGEAD_API std::int64_t edgead_cuda_preprocess_bytes(std::int32_t height, std::int32_t width, std::int32_t out_height,
                                                     std::int32_t out_width);
EDGEAD_API int edgead_cuda_preprocess_tables(void *tables, std::int32_t height, std::int32_t width, std::int32_t out_height,
                                             std::int32_t out_width, void *stream);
EDGEAD_API int edgead_cuda_preprocess(const edgead::Frame *frame, const edgead::Area *area, const void *tables,
                                      std::uint8_t *target, std::int32_t out_height, std::int32_t out_width, void *stream);
