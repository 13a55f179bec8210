// The C interface of the native libraries: what the functions that each operator's header declares have in common.
//
// edgead_<operator> is in the library for the CPU: at most `threads` threads work on a call, at least 1, and their number changes no
// bit; outputs share no memory with inputs.
//
// edgead_cuda_<operator> is in the one for CUDA, on device pointers. A call is queued on `stream`, a cudaStream_t or CUstream. It
// allocates nothing and waits for nothing, so that CUDA graphs can hold it; work space is the caller's.
//
// Every call returns kOk, for CUDA once it is queued, or says which argument it refuses. After kCudaFailed, edgead_cuda_error()
// says why.
#pragma once
#include <cstdint>

#define EDGEAD_API extern "C" __attribute__((visibility("default")))

namespace edgead {

enum Status : int {
  kOk = 0,
  kBadSize = 1,
  kNoMemory = 3,
  kBadCount = 4,
  kCudaFailed = 5,
  kBadLayout = 6,
  kBadHead = 7,
  kBadWindow = 8,
  kBadType = 9,
};

}  // namespace edgead

EDGEAD_API const char *edgead_cuda_error();

// kOk where there is a driver, and code for the device that is current.
EDGEAD_API int edgead_cuda_ready();
