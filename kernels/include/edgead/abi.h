// The C interface of the native library. Every call returns kOk or says which argument it refuses.
#pragma once
#include <cstdint>

#define EDGEAD_API extern "C" __attribute__((visibility("default")))

namespace edgead {
enum Status : int { kOk = 0, kBadSize = 1, kBadChannels = 2, kNoMemory = 3, kBadCount = 4 };
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

// The CIEDE2000 difference of colours, float32, as ciede2000.h defines it; pitches are in elements. `out` is contiguous,
// [images, pixels] or [rows, pixels], and shares no memory with the others. At most `threads` threads work on it, at least 1;
// their number changes no bit.
//
// planar: both [images, 3, pixels] of CIELAB; the planes are contiguous, the images pitch1 and pitch2 apart.
// interleaved: both [rows, pixels, 3] of CIELAB; the pixels are contiguous, the rows pitch1 and pitch2 apart.
// recolored: sRGB uint8 [images, pixels, 3], and a*, b* [images, 2, pixels] of the same lightness; images apart as above.
EDGEAD_API int edgead_ciede2000_planar(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                       std::int64_t images, std::int64_t pixels, float *out, std::int32_t threads);
EDGEAD_API int edgead_ciede2000_interleaved(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                            std::int64_t rows, std::int64_t pixels, float *out, std::int32_t threads);
EDGEAD_API int edgead_ciede2000_recolored(const std::uint8_t *rgb, std::int64_t pitch1, const float *ab, std::int64_t pitch2,
                                           std::int64_t images, std::int64_t pixels, float *out, std::int32_t threads);
