// One product of a warp, whose fragments are given lane by lane, to try the emulated tensor cores.
#include "mma.cuh"

namespace {

template <class Number>
__global__ void product(const std::uint32_t *a, const std::uint32_t *b, float *c) {
  const int lane = int(threadIdx.x);
  const std::uint32_t first[4] = {a[4 * lane], a[4 * lane + 1], a[4 * lane + 2], a[4 * lane + 3]};
  float *const own = c + 4 * lane;
  edgead::multiply_add<Number>(own[0], own[1], own[2], own[3], first, b[2 * lane], b[2 * lane + 1]);
}

}  // namespace

// a: [32, 4]; b: [32, 2]; c: [32, 4]
EDGEAD_API int probe_product(const std::uint32_t *a, const std::uint32_t *b, float *c, std::int32_t type) {
  const auto kernel = type == edgead::kFloat16 ? product<edgead::Half> : product<edgead::BFloat16>;
  EDGEAD_LAUNCH(kernel, dim3(1), dim3(32), 0, nullptr, a, b, c);
  return edgead::launched();
}
