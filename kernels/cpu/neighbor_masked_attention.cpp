// Neighbour-masked attention on the CPU: block by block of queries against all keys of their head (attend.inc).
#include "edgead/neighbor_masked_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "parallel.h"

namespace {

using namespace edgead;

constexpr int kChunk = 256;     // keys: what they weigh for a block of queries stays in the cache
constexpr double kGrain = 8e6;  // products and sums for which a thread is worth starting: about 0.1 ms
constexpr int kPieces = 4;      // for each thread

// Floats at a multiple of 64 bytes; null where there are not so many.
struct Freed {
  static constexpr std::align_val_t kAlignment{64};
  void operator()(float *memory) const { ::operator delete(memory, kAlignment); }
};
using Memory = std::unique_ptr<float[], Freed>;

Memory allocated(std::int64_t count) {
  return Memory(static_cast<float *>(::operator new(std::size_t(count) * sizeof(float), Freed::kAlignment, std::nothrow)));
}

// Blocks of queries, image by image and head by head. A thread takes a piece of them at a time: one that starts late, or shares its
// core, takes fewer.
struct Blocks {
  bool take(std::int64_t &begin, std::int64_t &end) {
    begin = next.fetch_add(piece, std::memory_order_relaxed), end = std::min(begin + piece, total);
    return begin < total;
  }

  const std::int64_t total, piece;
  std::atomic<std::int64_t> next{0};
};

template <class Number>
struct Tensors {
  const Number *q, *k, *v;
  Number *out;
};

#if defined(__x86_64__)
namespace avx512 {
#define EDGEAD_TARGET __attribute__((target("avx512f")))
constexpr int kLanes = 16, kRows = 8, kVectors = 3;  // 24 sums in 32 registers
#include "attend.inc"
#undef EDGEAD_TARGET
}  // namespace avx512

namespace avx2 {
#define EDGEAD_TARGET __attribute__((target("avx2,fma")))
constexpr int kLanes = 8, kRows = 4, kVectors = 3;  // 12 in 16
#include "attend.inc"
#undef EDGEAD_TARGET
}  // namespace avx2
#endif

namespace plain {
#define EDGEAD_TARGET
#if defined(__aarch64__)
constexpr int kLanes = 4, kRows = 4, kVectors = 6;  // 24 in 32
#else
constexpr int kLanes = 4, kRows = 4, kVectors = 3;
#endif
#include "attend.inc"
#undef EDGEAD_TARGET
}  // namespace plain

enum class Instructions { kPlain, kAvx2, kAvx512 };

bool has(Instructions wanted) {
#if defined(__x86_64__)
  if (wanted == Instructions::kAvx512) return __builtin_cpu_supports("avx512f");
  if (wanted == Instructions::kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return wanted == Instructions::kPlain;
}

Instructions best() {
  for (const Instructions each : {Instructions::kAvx512, Instructions::kAvx2})
    if (has(each)) return each;
  return Instructions::kPlain;
}

template <class Number>
int run(Instructions instructions, const void *q, const void *k, const void *v, void *out, const Attention &problem,
        std::int32_t threads) {
  auto attend = plain::attend<Number>;
  std::int64_t queries = plain::kQueries, room = plain::room(problem);
#if defined(__x86_64__)
  if (instructions == Instructions::kAvx512) {
    attend = avx512::attend<Number>;
    queries = avx512::kQueries, room = avx512::room(problem);
  } else if (instructions == Instructions::kAvx2) {
    attend = avx2::attend<Number>;
    queries = avx2::kQueries, room = avx2::room(problem);
  }
#else
  (void)instructions;
#endif
  const std::int64_t tokens = problem.height * problem.width, in_head = (tokens + queries - 1) / queries;
  const std::int64_t total = problem.batch * problem.heads * in_head;
  const double work = 4. * double(total * queries) * double(tokens * problem.dim);
  const auto workers = std::int64_t(std::clamp(work / kGrain, 1., double(threads)));
  const Tensors<Number> tensors = {static_cast<const Number *>(q), static_cast<const Number *>(k),
                                   static_cast<const Number *>(v), static_cast<Number *>(out)};
  Blocks blocks{total, std::clamp<std::int64_t>(total / (kPieces * workers), 1, in_head)};
  const Memory memory = allocated(workers * room);
  if (!memory) return kNoMemory;
  in_parallel(workers, 1, threads, [&](std::int64_t worker, std::int64_t) {
    attend(tensors, problem, blocks, memory.get() + worker * room);
  });
  return kOk;
}

int run(Instructions instructions, const void *q, const void *k, const void *v, void *out, std::int32_t type,
        const Attention &problem, std::int32_t threads) {
  if (threads < 1) return kBadCount;
  if (const Status status = checked(problem)) return status;
  switch (type) {
    case kFloat32: return run<float>(instructions, q, k, v, out, problem, threads);
    case kFloat16: return run<Half>(instructions, q, k, v, out, problem, threads);
    case kBFloat16: return run<BFloat16>(instructions, q, k, v, out, problem, threads);
    default: return kBadType;
  }
}

}  // namespace

int edgead_neighbor_masked_attention(const void *q, const void *k, const void *v, void *out, std::int32_t type,
                                     const edgead::Attention *problem, std::int32_t threads) {
  return run(best(), q, k, v, out, type, *problem, threads);
}
