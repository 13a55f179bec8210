// What a call of the C interface answers: kOk, or which argument it refuses.
#pragma once

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
