// Whether the device takes the kernels, and what went wrong last in this thread.
#include "launch.cuh"

static thread_local cudaError_t last = cudaSuccess;

static int kept(cudaError_t status) {
  if (status == cudaSuccess) return edgead::kOk;
  last = status;
  return edgead::kCudaFailed;
}

int edgead::launched() { return kept(cudaGetLastError()); }

__global__ void edgead_present() {}

int edgead_cuda_ready() {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void *>(edgead_present));
  cudaGetLastError();  // told once
  return kept(status);
}

const char *edgead_cuda_error() { return cudaGetErrorString(last); }
