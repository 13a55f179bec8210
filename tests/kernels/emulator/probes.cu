// Kernels whose answers are known, right ones and wrong ones, to try the emulator itself.
#include "launch.cuh"

namespace {

// Each thread reads what its right neighbour has written. Without the barrier it does not have to have.
template <bool barrier>
__global__ void neighbour(const int *in, int *out) {
  __shared__ int row[96];
  row[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  if (barrier) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = row[(threadIdx.x + 1) % blockDim.x];
  if (barrier) __syncthreads();
  row[threadIdx.x] = -1;
}

__global__ void warps(int *out) {
  int sum = int(threadIdx.x);
  for (int with = 16; with; with /= 2) sum += __shfl_xor_sync(~0u, sum, with);
  const unsigned odd = __ballot_sync(~0u, threadIdx.x % 2);
  const int first = __shfl_sync(~0u, int(threadIdx.x), 0), next = __shfl_down_sync(~0u, int(threadIdx.x), 1);
  atomicAdd(&out[0], int(threadIdx.x));
  if (threadIdx.x % 32 == 31) out[1 + threadIdx.x / 32] = sum + first + next + __popc(odd);
}

__global__ void fresh(float *out) {
  EDGEAD_SHARED(float, row);
  out[threadIdx.x] = row[threadIdx.x];
  row[threadIdx.x] = 1.f;
}

__global__ void apart() {
  if (threadIdx.x == 0)
    __syncwarp(3u);
  else if (threadIdx.x == 1)
    __syncthreads();
}

}  // namespace

EDGEAD_API int probe_neighbour(const int *in, int *out, int barrier) {
  if (barrier)
    EDGEAD_LAUNCH(neighbour<true>, dim3(2), dim3(96), 0, nullptr, in, out);
  else
    EDGEAD_LAUNCH(neighbour<false>, dim3(2), dim3(96), 0, nullptr, in, out);
  return edgead::launched();
}

EDGEAD_API int probe_warps(int *out) {
  EDGEAD_LAUNCH(warps, dim3(1), dim3(64), 0, nullptr, out);
  return edgead::launched();
}

EDGEAD_API int probe_fresh(float *out) {
  EDGEAD_LAUNCH(fresh, dim3(2), dim3(32), 128, nullptr, out);
  return edgead::launched();
}

EDGEAD_API int probe_apart() {
  EDGEAD_LAUNCH(apart, dim3(1), dim3(2), 0, nullptr);
  return edgead::launched();
}

EDGEAD_API int probe_limits(float *out, int threads, int bytes) {
  EDGEAD_LAUNCH(fresh, dim3(1), dim3(unsigned(threads)), std::size_t(bytes), nullptr, out);
  return edgead::launched();
}
