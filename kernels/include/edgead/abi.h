// The C interface of the native library. Every call returns kOk or says which argument it refuses.
#pragma once
#include <cstdint>

#include "edgead/frame.h"
#include "edgead/half.h"
#include "edgead/neighbor_masked_attention.h"
#include "edgead/region.h"
#include "edgead/status.h"

#define EDGEAD_API extern "C" __attribute__((visibility("default")))

// An area of a frame as RGB, resized to uint8 [out_height, out_width, 3], contiguous, which shares no memory with the frame: the
// definition is in preprocess.h. At most `threads` threads work on it, at least 1; their number changes no bit.
EDGEAD_API int edgead_preprocess(const edgead::Frame *frame, const edgead::Area *area, std::uint8_t *target,
                                 std::int32_t out_height, std::int32_t out_width, std::int32_t threads);

// The taps of one axis of the resize: first and count [out], weight [out, edgead_resize_taps(in, out)].
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

// Neighbour-masked attention as neighbor_masked_attention.h defines it. q, k, v and out: [batch, height * width, heads * dim] of
// `type`, a NumberType, contiguous, each at a multiple of its numbers' size; `out` shares no memory with the others. At most
// `threads` threads work on it, at least 1; their number changes no bit.
EDGEAD_API int edgead_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                                const edgead::Attention *problem, std::int32_t threads);

// The regions of an anomaly map, float32 [height, width], as postprocess.h defines them: the first `capacity` of them in `regions`,
// how many there are in `count`. There are never more than (height + 1) / 2 * ((width + 1) / 2).
EDGEAD_API int edgead_regions(const float *map, std::int32_t height, std::int32_t width, float threshold, edgead::Region *regions,
                              std::int32_t capacity, std::int32_t *count);

// The frame under its anomaly map, float32 [map_height, map_width], as postprocess.h defines it: uint8 [height, width, 3] of the
// frame's size, contiguous, RGB, or with swap != 0 BGR. threshold: what is outlined, in the colour `line`, 0xRRGGBB; NaN: nothing.
// `target` shares no memory with the others. At most `threads` threads work on it, at least 1; their number changes no bit.
EDGEAD_API int edgead_overlay(const edgead::Frame *frame, const float *map, std::int32_t map_height, std::int32_t map_width,
                              float low, float high, float threshold, std::uint32_t line, std::uint8_t *target, std::int32_t swap,
                              std::int32_t threads);
