// Resize on the GPU: one thread an output pixel, the definition of resize.h, no intermediate image.
#include "edgead/resize.h"

// source: uint8, 1 or 3 channels, rows row_bytes apart. target: uint8 [out_height, out_width, 3]. The axis tables come from
// edgead_resize_axis. Grid: ceil(out_width / blockDim.x) x ceil(out_height / blockDim.y).
extern "C" __global__ void edgead_resize_u8(const std::uint8_t *source, std::int64_t row_bytes, std::int32_t channels,
                                            std::int32_t swap, edgead::ResizeAxis columns, edgead::ResizeAxis rows,
                                            std::uint8_t *target, std::int32_t out_height, std::int32_t out_width) {
  const std::int32_t x = blockIdx.x * blockDim.x + threadIdx.x;
  const std::int32_t y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= out_width || y >= out_height) return;
  std::uint8_t *pixel = target + (std::int64_t(y) * out_width + x) * 3;
  for (std::int32_t c = 0; c < 3; ++c) {
    const std::int32_t from = channels == 3 ? c : 0;
    pixel[swap ? 2 - c : c] = edgead::resize_pixel(source + from, row_bytes, channels, columns, rows, y, x);
  }
}
