// Whether an array holds nothing but finite numbers: no NaN, no infinity. It stays on the device, so that this alone has to be known
// of it on the host.
#include <algorithm>

#include "edgead/finite.h"
#include "launch.cuh"

namespace {

using std::int32_t;
using std::int64_t;

constexpr int kThreads = 256;
constexpr int64_t kBlocks = 256;  // a thread goes on to further numbers

__global__ void assume_finite(int32_t *finite) { *finite = 1; }

__global__ void __launch_bounds__(kThreads) look_for_others(const float *__restrict__ values, int64_t count, int32_t *finite) {
  constexpr unsigned kExponent = 0x7f800000u;
  bool all = true;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads)
    all &= (__float_as_uint(values[i]) & kExponent) != kExponent;
  if (!all) *finite = 0;  // whoever writes, writes the same
}

}  // namespace

int edgead_cuda_finite(const float *values, int64_t count, int32_t *finite, void *stream) {
  if (count < 0) return edgead::kBadCount;
  EDGEAD_LAUNCH(assume_finite, dim3(1), dim3(1), 0, stream, finite);
  const int status = edgead::launched();
  if (status != edgead::kOk || count == 0) return status;
  const dim3 grid(unsigned(std::min(edgead::blocks_for(count, kThreads), kBlocks)));
  EDGEAD_LAUNCH(look_for_others, grid, dim3(kThreads), 0, stream, values, count, finite);
  return edgead::launched();
}
