// Whether an array holds nothing but finite numbers. For CUDA alone.
#pragma once
#include "edgead/abi.h"

// 1 in `finite`, device memory, where no value is NaN or infinite, else 0.
EDGEAD_API int edgead_cuda_finite(const float *values, std::int64_t count, std::int32_t *finite, void *stream);
