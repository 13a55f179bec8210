// The conversions of half.h, for test_half.py.
#include <cstdint>

#include "edgead/half.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <class Number>
void widen(const std::uint16_t *bits, float *out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = edgead::to_float(Number{bits[i]});
}

template <class Number>
void narrow(const float *values, std::uint16_t *out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = edgead::from_float<Number>(values[i]).bits;
}

}  // namespace

EXPORT void widen_float16(const std::uint16_t *bits, float *out, std::int64_t count) { widen<edgead::Half>(bits, out, count); }
EXPORT void widen_bfloat16(const std::uint16_t *bits, float *out, std::int64_t count) {
  widen<edgead::BFloat16>(bits, out, count);
}
EXPORT void narrow_float16(const float *values, std::uint16_t *out, std::int64_t count) {
  narrow<edgead::Half>(values, out, count);
}
EXPORT void narrow_bfloat16(const float *values, std::uint16_t *out, std::int64_t count) {
  narrow<edgead::BFloat16>(values, out, count);
}
