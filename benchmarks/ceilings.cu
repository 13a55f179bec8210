// How many products and sums of float32 a second the device does where none are fused, as the exact kernels have them.
//   nvcc -shared -O3 -fmad=false -arch=native -Xcompiler -fPIC benchmarks/ceilings.cu -o ceilings.so
#include <cuda_runtime.h>

constexpr int kChains = 8, kSteps = 4096;

__global__ void chains(float *out, float factor, float step) {
  float x[kChains];
  for (int c = 0; c < kChains; ++c) x[c] = float(threadIdx.x + c);
  for (int i = 0; i < kSteps; ++i)
#pragma unroll
    for (int c = 0; c < kChains; ++c) x[c] = x[c] * factor + step;
  float sum = 0.f;
  for (int c = 0; c < kChains; ++c) sum += x[c];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Queues it and returns how many operations it is. `out` holds blocks * 256 numbers.
extern "C" double run_chains(float *out, int blocks, void *stream) {
  chains<<<blocks, 256, 0, static_cast<cudaStream_t>(stream)>>>(out, 0.999f, 0.5f);
  return cudaGetLastError() == cudaSuccess ? 2. * kChains * kSteps * 256 * blocks : -1.;
}
