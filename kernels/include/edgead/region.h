// A connected region of an anomaly map, in pixels of the map.
#pragma once
#include <cstdint>

namespace edgead {

// The box of its pixels, their number, and the highest value among them.
struct Region {
  std::int32_t left, top, width, height, area;
  float peak;
};

}  // namespace edgead
