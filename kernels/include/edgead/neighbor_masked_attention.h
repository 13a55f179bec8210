// Attention over a grid of tokens that is blind to the neighbourhood of its query: one definition for host and device.
//
// You et al., "A Unified Model for Multi-class Anomaly Detection", NeurIPS 2022, section 3.2. Query, key and value are
// [batch, height * width, heads * dim], tokens row by row, and head h takes the channels from h * dim on. In each head
//     out = softmax(q k^T / sqrt(dim)) v
// over the keys that are not near the query. Those near it are the window of neighbor_height x neighbor_width tokens whose centre
// is the query's own token, as far as it lies on the grid. A window with a side of 0 hides nothing.
//
// What is hidden is found by arithmetic: no [tokens, tokens] matrix is stored. Sums are float32 in all types of half.h; they may be
// fused with products and taken in any order, so that the last bits of an answer are not promised. A hidden key weighs exactly 0. A
// number that is not finite makes NaN of what attends to it, and may of other queries of the same head and image.
#pragma once
#include <cstdint>

#include "edgead/abi.h"
#include "edgead/half.h"
#include "edgead/host_device.h"

namespace edgead {

constexpr std::int32_t kMinDim = 16, kMaxDim = 128;  // channels of a head
constexpr std::int32_t kMaxGrid = 64;                // tokens along a side
constexpr std::int32_t kMaxHeads = 1024;

struct Attention {
  std::int64_t batch;  // images
  std::int32_t heads, dim;
  std::int32_t height, width;
  std::int32_t neighbor_height, neighbor_width;
};

// Whether a key is hidden that lies dy rows and dx columns from the query.
EDGEAD_HD bool is_near(const Attention &problem, std::int32_t dy, std::int32_t dx) {
  const std::int32_t rows = dy < 0 ? -dy : dy, columns = dx < 0 ? -dx : dx;
  return (2 * rows < problem.neighbor_height) & (2 * columns < problem.neighbor_width);
}

EDGEAD_HD bool has_centre(std::int32_t side) { return side == 0 || (side > 0 && side % 2 == 1); }

// Whether some query is left without a key. The query nearest to the centre has height / 2 rows on its longer side, and no other
// query has fewer.
EDGEAD_HD bool hides_all(const Attention &problem) {
  return is_near(problem, problem.height / 2, problem.width / 2);
}

// What is wrong with a problem, kOk if nothing is. An empty batch is right.
EDGEAD_HD Status checked(const Attention &problem) {
  if (problem.batch < 0 || problem.heads < 1 || problem.heads > kMaxHeads) return kBadCount;
  if (problem.dim < kMinDim || problem.dim > kMaxDim) return kBadHead;
  if (problem.height < 1 || problem.height > kMaxGrid || problem.width < 1 || problem.width > kMaxGrid) return kBadSize;
  if (!has_centre(problem.neighbor_height) || !has_centre(problem.neighbor_width) || hides_all(problem)) return kBadWindow;
  return kOk;
}

}  // namespace edgead

// ---- the C interface: abi.h says what all functions have in common ------------------------------------------------------------

// q, k, v and out: [batch, height * width, heads * dim] of `type`, a NumberType, contiguous, each at a multiple of its numbers' size.
EDGEAD_API int edgead_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                                const edgead::Attention *problem, std::int32_t threads);

EDGEAD_API int edgead_cuda_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                                     const edgead::Attention *problem, void *stream);
