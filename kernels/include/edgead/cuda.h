// The C interface of the CUDA library: the operators of abi.h on device pointers. Every call is queued on `stream`, a
// cudaStream_t or CUstream, allocates nothing and waits for nothing, so that CUDA graphs can hold it; work space is the caller's.
// kOk says that it is queued; after kCudaFailed, edgead_cuda_error() says why.
#pragma once
#include "edgead/abi.h"

EDGEAD_API const char *edgead_cuda_error();

// kOk where there is a driver, and code for the device that is current.
EDGEAD_API int edgead_cuda_ready();

// `frame` and `area` are host memory, the frame's planes are device memory. `tables`, at a multiple of 4, has as many bytes as
// edgead_cuda_preprocess_bytes says (-1: no such sizes) and is what edgead_cuda_preprocess_tables has made for an area and an output
// of these sizes, wherever the area lies: once is enough.
EDGEAD_API std::int64_t edgead_cuda_preprocess_bytes(std::int32_t height, std::int32_t width, std::int32_t out_height,
                                                     std::int32_t out_width);
EDGEAD_API int edgead_cuda_preprocess_tables(void *tables, std::int32_t height, std::int32_t width, std::int32_t out_height,
                                             std::int32_t out_width, void *stream);
EDGEAD_API int edgead_cuda_preprocess(const edgead::Frame *frame, const edgead::Area *area, const void *tables,
                                      std::uint8_t *target, std::int32_t out_height, std::int32_t out_width, void *stream);

// As their namesakes in abi.h.
EDGEAD_API int edgead_cuda_ciede2000_planar(const float *lab1, std::int64_t pitch1, const float *lab2, std::int64_t pitch2,
                                            std::int64_t images, std::int64_t pixels, float *out, void *stream);
EDGEAD_API int edgead_cuda_ciede2000_interleaved(const float *lab1, std::int64_t pitch1, const float *lab2,
                                                 std::int64_t pitch2, std::int64_t rows, std::int64_t pixels, float *out,
                                                 void *stream);
EDGEAD_API int edgead_cuda_ciede2000_recolored(const std::uint8_t *rgb, std::int64_t pitch1, const float *ab,
                                               std::int64_t pitch2, std::int64_t images, std::int64_t pixels, float *out,
                                               void *stream);
EDGEAD_API int edgead_cuda_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                                     const edgead::Attention *problem, void *stream);

// `regions` and `count` are device memory as well, and so is `workspace`, of as many bytes as edgead_cuda_regions_bytes says, at a
// multiple of 4.
EDGEAD_API std::int64_t edgead_cuda_regions_bytes(std::int32_t height, std::int32_t width);
EDGEAD_API int edgead_cuda_regions(const float *map, std::int32_t height, std::int32_t width, float threshold,
                                   edgead::Region *regions, std::int32_t capacity, std::int32_t *count, void *workspace,
                                   void *stream);
// `frame` is host memory, its planes are device memory.
EDGEAD_API int edgead_cuda_overlay(const edgead::Frame *frame, const float *map, std::int32_t map_height, std::int32_t map_width,
                                   float low, float high, float threshold, std::uint32_t line, std::uint8_t *target,
                                   std::int32_t swap, void *stream);

// 1 in `finite`, device memory, where no value is NaN or infinite, else 0.
EDGEAD_API int edgead_cuda_finite(const float *values, std::int64_t count, std::int32_t *finite, void *stream);
