// The arrangements of CIEDE2000, on the CPU and (EDGEAD_EMULATED) as the device has them, against the one-pixel definition, bit
// for bit.
//
// Prints a hash of the bits of two million differences: programs for other instruction sets have to print the same one.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "edgead/ciede2000.h"

namespace {

using Floats = std::vector<float>;
using Bytes = std::vector<std::uint8_t>;

std::mt19937 source(1);

float uniform(float low, float high) { return low + (high - low) * (float(source() >> 8) * 0x1p-24f); }

// Component c of a colour: most of them ordinary, some next to gray, on an axis, subnormal, far away or no number
float component(int c) {
  const float value = c == 0 ? uniform(0.f, 100.f) : uniform(-128.f, 127.f);
  switch (source() % 32) {
    case 0: return value * 1e-6f;
    case 1: return value * 1e-41f;
    case 2: return 0.f;
    case 3: return float(int(value) / 32 * 32);
    case 4: return value * 5000.f;
    case 5: return source() % 8 ? value : float(NAN);
    case 6: return source() % 8 ? value : -float(INFINITY);
    default: return value;
  }
}

// Colours as three planes; every eighth of the second ones is close to the first, every other eighth exactly opposite.
void colors(std::int64_t count, Floats &first, Floats &second) {
  first.resize(3 * count), second.resize(3 * count);
  for (int c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = component(c), other = component(c);
      first[c * count + i] = value;
      second[c * count + i] = i % 8 == 0 ? value + other * 1e-4f : i % 8 == 1 && c > 0 ? -0.5f * value : other;
    }
}

bool same(const Floats &one, const Floats &other) {
  return one.size() == other.size() && (one.empty() || std::memcmp(one.data(), other.data(), one.size() * sizeof(float)) == 0);
}

#define DEFINITION(name, target)                                                                                      \
  target void name(const float *p, const float *q, std::int64_t n, float *out) {                                       \
    for (std::int64_t i = 0; i < n; ++i)                                                                              \
      out[i] = edgead::ciede2000(p[i], p[n + i], p[2 * n + i], q[i], q[n + i], q[2 * n + i]);                         \
  }
DEFINITION(defined, )
#if defined(__x86_64__)
DEFINITION(defined_sse2, __attribute__((target("sse2"))))
DEFINITION(defined_avx2, __attribute__((target("avx2"))))
DEFINITION(defined_fma, __attribute__((target("avx2,fma"))))
DEFINITION(defined_avx512, __attribute__((target("avx512f"))))
#endif

constexpr float kUntouched = -7.f;

// Every arrangement of `images` pictures of `pixels` pixels, `gap` elements apart, from address `shift` on. The arrays end where
// the last picture does, so that AddressSanitizer sees what is read or written beyond.
int arrangements(std::int64_t images, std::int64_t pixels, int gap, int shift, std::int32_t threads) {
  const std::int64_t pitch3 = 3 * pixels + gap, pitch2 = 2 * pixels + gap;
  const auto room = [=](std::int64_t pitch) { return std::size_t(shift + std::max<std::int64_t>(0, images * pitch - gap)); };
  Floats planes1(room(pitch3)), planes2(room(pitch3)), mixed1(room(pitch3)), mixed2(room(pitch3)), ab(room(pitch2));
  Bytes rgb(room(pitch3));
  Floats expected(std::size_t(shift) + images * pixels, kUntouched), expected_recolored = expected;
  const edgead::SrgbTable table = edgead::srgb_table();
  for (std::int64_t image = 0; image < images; ++image) {
    Floats first, second;
    colors(pixels, first, second);
    float *out = expected.data() + shift + image * pixels, *out_recolored = expected_recolored.data() + shift + image * pixels;
    defined(first.data(), second.data(), pixels, out);
    for (std::int64_t i = 0; i < pixels; ++i) {
      std::uint8_t *pixel = rgb.data() + shift + image * pitch3 + 3 * i;
      for (int c = 0; c < 3; ++c) {
        planes1[shift + image * pitch3 + c * pixels + i] = mixed1[shift + image * pitch3 + 3 * i + c] = first[c * pixels + i];
        planes2[shift + image * pitch3 + c * pixels + i] = mixed2[shift + image * pitch3 + 3 * i + c] = second[c * pixels + i];
        if (c > 0) ab[shift + image * pitch2 + (c - 1) * pixels + i] = second[c * pixels + i];
        pixel[c] = std::uint8_t(source());
      }
      out_recolored[i] = edgead::ciede2000_recolored(table.linear[pixel[0]], table.linear[pixel[1]], table.linear[pixel[2]],
                                                     second[pixels + i], second[2 * pixels + i]);
    }
  }
  int different = 0;
  const auto compare = [&](const Floats &wanted, const auto &run) {
    Floats got(wanted.size(), kUntouched);
    run(got.data() + shift);
    different += !same(got, wanted);
  };
  const float *p1 = planes1.data() + shift, *p2 = planes2.data() + shift, *c = ab.data() + shift;
  const float *m1 = mixed1.data() + shift, *m2 = mixed2.data() + shift;
  const std::uint8_t *photo = rgb.data() + shift;
  compare(expected, [&](float *o) { edgead_ciede2000_planar(p1, pitch3, p2, pitch3, images, pixels, o, threads); });
  compare(expected, [&](float *o) { edgead_ciede2000_interleaved(m1, pitch3, m2, pitch3, images, pixels, o, threads); });
  compare(expected_recolored,
          [&](float *o) { edgead_ciede2000_recolored(photo, pitch3, c, pitch2, images, pixels, o, threads); });
#if defined(EDGEAD_EMULATED)
  compare(expected, [&](float *o) { edgead_cuda_ciede2000_planar(p1, pitch3, p2, pitch3, images, pixels, o, nullptr); });
  compare(expected, [&](float *o) { edgead_cuda_ciede2000_interleaved(m1, pitch3, m2, pitch3, images, pixels, o, nullptr); });
  compare(expected_recolored,
          [&](float *o) { edgead_cuda_ciede2000_recolored(photo, pitch3, c, pitch2, images, pixels, o, nullptr); });
#endif
  if (different)
    std::printf("%d x %d, gap %d, shift %d, %d threads: %d\n", int(images), int(pixels), gap, shift, threads, different);
  return different;
}

std::uint64_t hash(std::uint64_t so_far, const Floats &values) {  // FNV-1a
  for (const float value : values) so_far = (so_far ^ edgead::bits_of(value)) * 0x100000001b3u;
  return so_far;
}

int million() {
  const std::int64_t count = 1000000;
  Floats first, second, expected(count), got(count);
  colors(count, first, second);
  defined(first.data(), second.data(), count, expected.data());
  int failed = 0;
  for (const std::int32_t threads : {1, 2, 5}) {
    edgead_ciede2000_planar(first.data(), 0, second.data(), 0, 1, count, got.data(), threads);
    failed += !same(got, expected);
  }
#if defined(__x86_64__)
  const auto check = [&](const char *name, bool supported, decltype(&defined) definition) {
    if (!supported) {
      std::printf("%s: not on this processor\n", name);
      return;
    }
    definition(first.data(), second.data(), count, got.data());
    failed += !same(got, expected);
  };
  check("sse2", true, defined_sse2);
  check("avx2", __builtin_cpu_supports("avx2"), defined_avx2);
  check("fma", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), defined_fma);
  check("avx512", __builtin_cpu_supports("avx512f"), defined_avx512);
#endif
  Bytes rgb(3 * count);
  for (auto &byte : rgb) byte = std::uint8_t(source());
  edgead_ciede2000_recolored(rgb.data(), 0, second.data() + count, 0, 1, count, got.data(), 2);
  std::printf("bits %016llx\n", static_cast<unsigned long long>(hash(hash(0xcbf29ce484222325u, expected), got)));
  return failed;
}

}  // namespace

int main() {
  int failed = million();
  for (const std::int64_t pixels : {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 64, 65, 255, 256, 257, 511, 512, 513, 1024, 1500})
    for (const std::int64_t images : {0, 1, 2, 5})
      for (const int gap : {0, 1, 4})
        for (const int shift : {0, 1, 4}) failed += arrangements(images, pixels, gap, shift, 1);
  failed += arrangements(3, 40001, 0, 0, 4) + arrangements(1, 100000, 0, 1, 3) + arrangements(70, 1000, 8, 0, 2);
  float out = kUntouched;
  failed += edgead_ciede2000_planar(&out, 0, &out, 0, -1, 1, &out, 1) != edgead::kBadCount;
  failed += edgead_ciede2000_interleaved(&out, 0, &out, 0, 1, -1, &out, 1) != edgead::kBadCount;
  failed += edgead_ciede2000_recolored(nullptr, 0, &out, 0, 1, 1, &out, 0) != edgead::kBadCount || out != kUntouched;
  std::printf("%d failed\n", failed);
  return failed != 0;
}
