// The C interface of the native library. Every call returns kOk or says which argument it refuses.
#pragma once
#include <cstdint>

#define EDGEAD_API extern "C" __attribute__((visibility("default")))

namespace edgead {
enum Status : int { kOk = 0, kBadSize = 1, kBadChannels = 2, kNoMemory = 3 };
}

// Resize uint8 [height, width, channels] (1 or 3; pixels contiguous, rows row_bytes apart) to uint8 [out_height, out_width, 3],
// contiguous. Gray becomes three equal channels; swap != 0 exchanges the first and the third.
EDGEAD_API int edgead_resize_u8(const std::uint8_t *source, std::int64_t row_bytes, std::int32_t height, std::int32_t width,
                                std::int32_t channels, int swap, std::uint8_t *target, std::int32_t out_height,
                                std::int32_t out_width);

// The taps of one axis, as the CUDA kernel takes them: first and count [out], weight [out, edgead_resize_taps(in, out)].
EDGEAD_API std::int32_t edgead_resize_taps(std::int32_t in, std::int32_t out);
EDGEAD_API int edgead_resize_axis(std::int32_t in, std::int32_t out, std::int32_t *first, std::int32_t *count,
                                  std::int16_t *weight);
