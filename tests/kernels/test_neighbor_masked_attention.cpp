// Neighbour-masked attention on the CPU, with every set of instructions that this processor has, against the definition in float64
// with a double loop. Arrays are exactly as long as they have to be, so that AddressSanitizer sees what is touched beyond them.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "edgead/neighbor_masked_attention.h"

// Its instruction sets are reached by including the source; the library's own function is called as well.
#define edgead_neighbor_masked_attention included_neighbor_masked_attention
#include "../../kernels/cpu/neighbor_masked_attention.cpp"
#undef edgead_neighbor_masked_attention

namespace {

std::mt19937 source(1);

float uniform() { return float(source() >> 8) * 0x1p-23f - 1.f; }

// Relative to the largest value: what float32 loses on the way, and half a step of the answer's type.
template <class Number> constexpr double kTolerance = 2e-6;
template <> constexpr double kTolerance<Half> = 2e-6 + 0x1p-11;
template <> constexpr double kTolerance<BFloat16> = 2e-6 + 0x1p-8;

template <class Number> constexpr std::int32_t kType = kFloat32;
template <> constexpr std::int32_t kType<Half> = kFloat16;
template <> constexpr std::int32_t kType<BFloat16> = kBFloat16;

template <class Number>
std::vector<Number> numbers(std::size_t count, float scale) {
  std::vector<Number> made(count);
  for (Number &each : made) each = from_float<Number>(uniform() * scale);
  return made;
}

template <class Number>
std::vector<double> defined(const Attention &problem, const Number *q, const Number *k, const Number *v) {
  const int tokens = problem.height * problem.width, dim = problem.dim;
  const std::int64_t channels = std::int64_t(problem.heads) * dim;
  std::vector<double> out(std::size_t(problem.batch * tokens * channels)), weight(tokens);
  for (std::int64_t image = 0; image < problem.batch; ++image)
    for (int head = 0; head < problem.heads; ++head)
      for (int i = 0; i < tokens; ++i) {
        const std::int64_t base = image * tokens * channels + head * dim, query = base + i * channels;
        double largest = -INFINITY, total = 0.;
        for (int j = 0; j < tokens; ++j) {
          const int dy = std::abs(i / problem.width - j / problem.width), dx = std::abs(i % problem.width - j % problem.width);
          double score = 0.;
          for (int c = 0; c < dim; ++c) score += double(to_float(q[query + c])) * double(to_float(k[base + j * channels + c]));
          const bool hidden = 2 * dy < problem.neighbor_height && 2 * dx < problem.neighbor_width;
          weight[j] = hidden ? -INFINITY : score / std::sqrt(double(dim));
          largest = std::max(largest, weight[j]);
        }
        for (double &each : weight) total += each = std::exp(each - largest);
        for (int c = 0; c < dim; ++c) {
          double sum = 0.;
          for (int j = 0; j < tokens; ++j) sum += weight[j] * double(to_float(v[base + j * channels + c]));
          out[query + c] = sum / total;
        }
      }
  return out;
}

constexpr std::uint8_t kUntouched = 0xa5;

// How many of all ways to compute one problem are wrong. The arrays begin `shift` numbers behind an aligned address.
template <class Number>
int wrong(const Attention &problem, int shift) {
  const std::size_t count = std::size_t(problem.batch * problem.height * problem.width) * problem.heads * problem.dim;
  const auto q = numbers<Number>(shift + count, 2.f), k = numbers<Number>(shift + count, 2.f);
  const auto v = numbers<Number>(shift + count, 1.f);
  const std::vector<double> expected = defined(problem, q.data() + shift, k.data() + shift, v.data() + shift);
  int failed = 0;
  const auto compare = [&](const char *name, const auto &run) {
    std::vector<Number> first;
    for (const std::int32_t threads : {1, 2, 5}) {
      std::vector<Number> out(shift + count);
      if (!out.empty()) std::memset(out.data(), kUntouched, out.size() * sizeof(Number));
      bool right = run(out.data() + shift, threads) == kOk;
      for (std::size_t i = 0; i < count; ++i)
        right &= std::fabs(double(to_float(out[shift + i])) - expected[i]) <= kTolerance<Number>;
      for (std::size_t i = 0; i < shift * sizeof(Number); ++i)
        right &= reinterpret_cast<const std::uint8_t *>(out.data())[i] == kUntouched;
      if (threads == 1) first = out;
      right &= out.empty() || std::memcmp(out.data(), first.data(), out.size() * sizeof(Number)) == 0;
      failed += !right;
      if (!right)
        std::printf("%s, type %d, %d threads: %d images, %d heads of %d, %dx%d, window %dx%d, shift %d\n", name, kType<Number>,
                    threads, int(problem.batch), problem.heads, problem.dim, problem.height, problem.width,
                    problem.neighbor_height, problem.neighbor_width, shift);
    }
  };
  const Number *a = q.data() + shift, *b = k.data() + shift, *c = v.data() + shift;
  compare("library", [&](Number *out, std::int32_t threads) {
    return edgead_neighbor_masked_attention(a, b, c, out, kType<Number>, &problem, threads);
  });
  const char *const names[] = {"plain", "avx2", "avx512"};
  for (const Instructions each : {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512})
    if (has(each))
      compare(names[int(each)], [&](Number *out, std::int32_t threads) {
        return run(each, a, b, c, out, kType<Number>, problem, threads);
      });
  return failed;
}

int wrong(const Attention &problem, int shift) {
  return wrong<float>(problem, shift) + wrong<Half>(problem, shift) + wrong<BFloat16>(problem, shift);
}

int refusals() {
  const Attention right = {1, 1, 16, 1, 2, 1, 1};
  float tokens[32] = {}, out[32];
  std::memset(out, kUntouched, sizeof out);
  int failed = 0;
  const auto refuses = [&](Status expected, auto change, std::int32_t type = kFloat32, std::int32_t threads = 1) {
    Attention problem = right;
    change(problem);
    failed += edgead_neighbor_masked_attention(tokens, tokens, tokens, out, type, &problem, threads) != expected;
    failed += reinterpret_cast<const std::uint8_t *>(out)[0] != kUntouched;
  };
  const auto nothing = [](Attention &) {};
  refuses(kBadCount, [](Attention &p) { p.batch = -1; });
  refuses(kOk, [](Attention &p) { p.batch = 0; });
  refuses(kBadCount, [](Attention &p) { p.heads = 0; });
  refuses(kBadCount, [](Attention &p) { p.heads = kMaxHeads + 1; });
  refuses(kBadCount, nothing, kFloat32, 0);
  refuses(kBadHead, [](Attention &p) { p.dim = kMinDim - 1; });
  refuses(kBadHead, [](Attention &p) { p.dim = kMaxDim + 1; });
  refuses(kBadSize, [](Attention &p) { p.height = 0; });
  refuses(kBadSize, [](Attention &p) { p.width = kMaxGrid + 1; });
  refuses(kBadWindow, [](Attention &p) { p.neighbor_height = 2; });
  refuses(kBadWindow, [](Attention &p) { p.neighbor_width = -1; });
  refuses(kBadWindow, [](Attention &p) { p.neighbor_width = 3; });
  refuses(kBadType, nothing, 3);
  refuses(kBadType, nothing, -1);
  return failed;
}

}  // namespace

int main() {
  int failed = refusals();
  // Around the sizes of vectors (4, 8, 16), of a block of queries (12, 24, 48) and of a chunk of keys (256)
  for (const int width : {1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 17, 24, 25, 48, 49, 64})
    failed += wrong({1, 2, 16 + width, 1, width, 1, width > 1 ? 1 : 0}, width % 3) + wrong({1, 1, 16, width, 3, 0, 3}, 0);
  for (const int dim : {16, 17, 31, 32, 33, 40, 47, 48, 49, 64, 65, 96, 127, 128}) failed += wrong({2, 2, dim, 5, 6, 3, 5}, dim % 2);
  for (const int rows : {15, 16, 17, 33}) failed += wrong({1, 1, 16, rows, 16, 5, 31}, 0);  // 240 to 528 keys
  for (const std::int64_t batch : {0, 1, 3}) failed += wrong({batch, 3, 24, 14, 14, 7, 7}, 1);
  failed += wrong({1, 1, 16, 40, 40, 79, 1}, 0);
  failed += wrong({1, 1, 16, 64, 8, 63, 15}, 0);  // hides whole chunks of keys from some queries
  std::printf("%d failed\n", failed);
  return failed != 0;
}
