// Regions and overlay on the CPU: the definition of postprocess.h, regions from the runs of one row and the one before it, the
// overlay row by row along vectors.
#include "edgead/postprocess.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "edgead/clones.h"
#include "parallel.h"
#include "planes.h"

namespace {

using std::int32_t;
using std::int64_t;

// ---- regions -------------------------------------------------------------------------------------------------------

// Columns begin .. end - 1 of a row, all above, neither neighbour is. `part` is their entry in Parts.
struct Run {
  int32_t begin, end, part;
};

EDGEAD_CLONES void compare(const float *row, int32_t width, float threshold, std::uint8_t *__restrict above) {
  for (int32_t x = 0; x < width; ++x) above[x] = row[x] >= threshold;
}

EDGEAD_CLONES int32_t highest(const float *row, int32_t begin, int32_t end) {
  int32_t peak = INT32_MIN;
  for (int32_t x = begin; x < end; ++x) peak = std::max(peak, edgead::ordered(row[x]));
  return peak;
}

// What is known of the regions: parts in the order of their first pixel, each of which has joined an earlier one or is a region.
class Parts {
 public:
  int32_t add() {
    parts_.push_back({int32_t(parts_.size()), INT32_MAX, INT32_MAX, 0, 0, 0, INT32_MIN});
    return int32_t(parts_.size() - 1);
  }

  int32_t first_of(int32_t part) {
    while (parts_[part].joined != part) {
      parts_[part].joined = parts_[parts_[part].joined].joined;
      part = parts_[part].joined;
    }
    return part;
  }

  // They are one; the earlier stands for both.
  int32_t join(int32_t one, int32_t other) {
    one = first_of(one), other = first_of(other);
    const int32_t first = std::min(one, other);
    parts_[std::max(one, other)].joined = first;
    return first;
  }

  void include(int32_t part, const Run &run, int32_t y, int32_t peak) {
    include(part, Part{part, run.begin, y, run.end, y + 1, run.end - run.begin, peak});
  }

  // The regions, as many as there is room for; returns how many there are.
  int32_t regions(edgead::Region *regions, int32_t capacity) {
    for (std::size_t part = parts_.size(); part-- > 0;)  // a part has joined an earlier one
      if (parts_[part].joined != int32_t(part)) include(parts_[part].joined, parts_[part]);
    int32_t count = 0;
    for (std::size_t index = 0; index < parts_.size(); ++index) {
      const Part &part = parts_[index];
      if (part.joined != int32_t(index)) continue;
      if (count < capacity)
        regions[count] = {part.left, part.top, part.right - part.left, part.bottom - part.top, part.area,
                          edgead::from_ordered(part.peak)};
      ++count;
    }
    return count;
  }

 private:
  struct Part {
    int32_t joined, left, top, right, bottom, area, peak;
  };

  void include(int32_t part, const Part &other) {
    Part &into = parts_[part];
    into.left = std::min(into.left, other.left), into.top = std::min(into.top, other.top);
    into.right = std::max(into.right, other.right), into.bottom = std::max(into.bottom, other.bottom);
    into.area += other.area;
    into.peak = std::max(into.peak, other.peak);
  }

  std::vector<Part> parts_;
};

int32_t find_regions(const float *map, int32_t height, int32_t width, float threshold, edgead::Region *regions,
                     int32_t capacity) {
  Parts parts;
  std::vector<Run> before, runs;
  std::uint8_t above[edgead::kMapSide];
  for (int32_t y = 0; y < height; ++y, map += width) {
    compare(map, width, threshold, above);
    runs.clear();
    std::size_t touching = 0;  // the first run of the row before that can touch this one
    for (int32_t begin = 0, end; begin < width; begin = end + 1) {
      const void *const found = std::memchr(above + begin, 1, std::size_t(width - begin));
      if (!found) break;
      begin = int32_t(static_cast<const std::uint8_t *>(found) - above);
      const void *const over = std::memchr(above + begin, 0, std::size_t(width - begin));
      end = over ? int32_t(static_cast<const std::uint8_t *>(over) - above) : width;
      Run run{begin, end, -1};
      while (touching < before.size() && before[touching].end < begin) ++touching;
      for (std::size_t other = touching; other < before.size() && before[other].begin <= end; ++other)
        run.part = run.part < 0 ? parts.first_of(before[other].part) : parts.join(run.part, before[other].part);
      if (run.part < 0) run.part = parts.add();
      parts.include(run.part, run, y, highest(map, begin, end));
      runs.push_back(run);
    }
    before.swap(runs);
  }
  return parts.regions(regions, capacity);
}

// ---- overlay -------------------------------------------------------------------------------------------------------

constexpr int32_t kBlock = 512;        // pixels that are worked on in the first-level cache
constexpr int64_t kGrain = 1 << 15;    // pixels for which a thread is worth starting: about 0.1 ms

constexpr edgead::Turbo kTurbo = edgead::turbo();

struct Overlay {
  edgead::Frame frame;
  edgead::Heat heat;
  std::uint8_t *target;
  bool swap;
  int32_t reach;
  // of each column of the frame, where it lies in the map
  const int32_t *first;
  const float *share;
  // of each column from -reach to width + reach - 1, its column of the map plus 1; the first and the last are beyond the border
  const int32_t *cell;
};

EDGEAD_HD void write(std::uint8_t *__restrict target, int32_t count, const std::uint8_t *first, const std::uint8_t *second,
                     const std::uint8_t *third) {
  for (int32_t i = 0; i < count; ++i) target[3 * i] = first[i], target[3 * i + 1] = second[i], target[3 * i + 2] = third[i];
}

// The heat of row y of the frame at each column of the map, and the step to the next column.
EDGEAD_HD void heat_of_row(const edgead::Heat &heat, int32_t height, int32_t y, float *__restrict row, float *__restrict step) {
  const edgead::Between down = edgead::between(y, height, heat.height);
  const float *above = heat.map + int64_t(down.first) * heat.width;
  const float *below = above + (down.first + 1 < heat.height ? heat.width : 0);
  for (int32_t x = 0; x < heat.width; ++x)
    row[x] = edgead::mixed(edgead::heat_of(above[x], heat.low, heat.span), edgead::heat_of(below[x], heat.low, heat.span),
                           down.share);
  for (int32_t x = 0; x + 1 < heat.width; ++x) step[x] = row[x + 1] - row[x];
  step[heat.width - 1] = 0.f;
}

// The rows of the map in the window of a row of the frame, and how many these are, one more where it reaches beyond the border
struct Window {
  int32_t first, last, deep;
};

Window window_of(const Overlay &overlay, int32_t y) {
  const int32_t height = overlay.frame.height, rows = overlay.heat.height, top = y - overlay.reach, bottom = y + overlay.reach;
  const int32_t first = top < 0 ? 0 : edgead::cell_of(top, height, rows);
  const int32_t last = bottom < height ? edgead::cell_of(bottom, height, rows) : rows - 1;
  return {first, last, last - first + 1 + (top < 0 || bottom >= height)};
}

// How many pixels of the map are above in these rows: sums[x + 1] in columns -1 .. x - 1, of which -1 is beyond the border.
EDGEAD_HD void sum_columns(const edgead::Heat &heat, const Window &window, int32_t *__restrict sums) {
  std::memset(sums, 0, std::size_t(heat.width + 3) * sizeof *sums);
  for (int32_t row = window.first; row <= window.last; ++row)
    for (int32_t x = 0; x < heat.width; ++x) sums[x + 2] += heat.map[int64_t(row) * heat.width + x] >= heat.threshold;
  for (int32_t x = 2; x < heat.width + 3; ++x) sums[x] += sums[x - 1];
}

EDGEAD_CLONES void overlay_rows(const Overlay &overlay, int64_t begin, int64_t end) {
  const edgead::Frame &frame = overlay.frame;
  float row[edgead::kMapSide], step[edgead::kMapSide];
  int32_t sums[edgead::kMapSide + 3];
  std::uint8_t red[kBlock], green[kBlock], blue[kBlock];
  std::uint32_t colour[kBlock];
  float weight[kBlock];
  Window window{-1, -1, 0};
  sums[overlay.heat.width + 2] = 0;
  for (int32_t y = int32_t(begin); y < end; ++y) {
    heat_of_row(overlay.heat, frame.height, y, row, step);
    if (overlay.cell) {
      const Window next = window_of(overlay, y);
      if (next.first != window.first || next.last != window.last) sum_columns(overlay.heat, next, sums);
      window = next;
    }
    for (int32_t x = 0; x < frame.width; x += kBlock) {
      const int32_t count = std::min(kBlock, frame.width - x);
      const int32_t *const first = overlay.first + x;
      const float *const share = overlay.share + x;
      for (int32_t i = 0; i < count; ++i) {
        const float heat = row[first[i]] + step[first[i]] * share[i];
        colour[i] = kTurbo.rgb[edgead::colour_index(heat)];
        weight[i] = edgead::weight_of(heat);
      }
      if (sums[overlay.heat.width + 2] > 0) {
        const int32_t *const from = overlay.cell + x, *const to = from + 2 * overlay.reach;
        for (int32_t i = 0; i < count; ++i) {
          const int32_t above = sums[to[i] + 1] - sums[from[i]], all = window.deep * (to[i] - from[i] + 1);
          const bool line = (above > 0) & (above < all);
          colour[i] = line ? overlay.heat.line : colour[i];
          weight[i] = line ? 1.f : weight[i];
        }
      }
      edgead::to_planes(frame, y, x, count, red, green, blue);
      for (int32_t i = 0; i < count; ++i) {
        red[i] = edgead::blended(red[i], colour[i] >> 16, weight[i]);
        green[i] = edgead::blended(green[i], colour[i] >> 8 & 255u, weight[i]);
        blue[i] = edgead::blended(blue[i], colour[i] & 255u, weight[i]);
      }
      std::uint8_t *const target = overlay.target + (int64_t(y) * frame.width + x) * 3;
      write(target, count, overlay.swap ? blue : red, green, overlay.swap ? red : blue);
    }
  }
}

}  // namespace

int edgead_regions(const float *map, int32_t height, int32_t width, float threshold, edgead::Region *regions, int32_t capacity,
                   int32_t *count) {
  if (!edgead::is_map(height, width)) return edgead::kBadSize;
  if (capacity < 0) return edgead::kBadCount;
  try {
    *count = find_regions(map, height, width, threshold, regions, capacity);
  } catch (const std::bad_alloc &) {
    return edgead::kNoMemory;
  }
  return edgead::kOk;
}

int edgead_overlay(const edgead::Frame *frame, const float *map, int32_t map_height, int32_t map_width, float low, float high,
                   float threshold, std::uint32_t line, std::uint8_t *target, int32_t swap, int32_t threads) {
  if (!edgead::is_map(map_height, map_width)) return edgead::kBadSize;
  if (const int status = edgead::frame_status(*frame)) return status;
  if (threads < 1) return edgead::kBadCount;
  const int32_t width = frame->width, reach = edgead::reach_of(frame->height, width);
  std::vector<int32_t> first, cell;
  std::vector<float> share;
  try {
    first.resize(std::size_t(width)), share.resize(std::size_t(width));
    if (threshold == threshold) cell.resize(std::size_t(width) + 2 * std::size_t(reach));
  } catch (const std::bad_alloc &) {
    return edgead::kNoMemory;
  }
  for (int32_t x = 0; x < width; ++x) {
    const edgead::Between across = edgead::between(x, width, map_width);
    first[x] = across.first, share[x] = across.share;
  }
  for (int32_t i = 0; i < int32_t(cell.size()); ++i) {
    const int32_t x = i - reach;
    cell[i] = x < 0 ? 0 : x >= width ? map_width + 1 : edgead::cell_of(x, width, map_width) + 1;
  }
  const edgead::Heat heat{map, map_height, map_width, low, edgead::span_of(low, high), threshold, line};
  const Overlay overlay{*frame,       heat,         target, swap != 0, reach, first.data(),
                        share.data(), cell.empty() ? nullptr : cell.data()};
  edgead::in_parallel(frame->height, std::max<int64_t>(1, kGrain / width), threads,
                      [&overlay](int64_t begin, int64_t end) { overlay_rows(overlay, begin, end); });
  return edgead::kOk;
}
