// The arrangements of preprocess, on the CPU and (EDGEAD_EMULATED) as the device has them, against the one-pixel definition, bit
// for bit.
//
// Prints a hash of the bits of some images: programs for other instruction sets have to print the same one.
#include "edgead/preprocess.h"

#include <cstdio>
#include <random>
#include <vector>

namespace {

using edgead::Area;
using edgead::Frame;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kUntouched = 0xa5;
constexpr const char *kNames[] = {"bgr", "rgb", "gray", "nv12", "yuyv"};

std::mt19937 source(1);

int up_to(int most) { return 1 + int(source() % unsigned(most)); }

void fill(Bytes &bytes) {
  for (auto &byte : bytes) byte = std::uint8_t(source());
}

// A frame whose buffers begin `shift` bytes after where they could and end with its last pixel, so that AddressSanitizer sees what
// is read beyond. Rows are `padding` bytes apart, or (-1) as few as make all of them begin at multiples of 4.
struct Camera {
  Bytes plane, chroma;
  Frame frame;

  Camera(int layout, int height, int width, int padding, int shift) : frame{nullptr, 0, nullptr, 0, layout, height, width} {
    const auto rows = [&](Bytes &bytes, std::int64_t length, int count) {
      const std::int64_t pitch = padding < 0 ? (length + 3) / 4 * 4 : length + padding;
      bytes.resize(std::size_t(shift + pitch * (count - 1) + length));
      fill(bytes);
      return pitch;
    };
    frame.pitch = rows(plane, width * edgead::pixel_bytes(layout), height);
    frame.plane = plane.data() + shift;
    if (layout != edgead::kNv12) return;
    frame.chroma_pitch = rows(chroma, width, height / 2);
    frame.chroma = chroma.data() + shift;
  }
};

struct Table {
  std::vector<std::int32_t> first, count;
  std::vector<std::int16_t> weight;
  std::int32_t stride;
  Table(std::int32_t in, std::int32_t out) : first(out), count(out), stride(edgead_resize_taps(in, out)) {
    weight.resize(std::size_t(out) * stride);
    edgead_resize_axis(in, out, first.data(), count.data(), weight.data());
  }
  edgead::ResizeAxis axis() const { return {first.data(), count.data(), weight.data(), stride}; }
};

Bytes defined(const Frame &frame, const Area &area, int out_height, int out_width) {
  const Table columns(area.height, out_height), rows(area.width, out_width);
  Bytes out;
  for (int y = 0; y < out_height; ++y)
    for (int x = 0; x < out_width; ++x) {
      const edgead::Rgb pixel = edgead::preprocess_pixel(frame, area, columns.axis(), rows.axis(), y, x);
      out.insert(out.end(), {pixel.red, pixel.green, pixel.blue});
    }
  return out;
}

#if defined(EDGEAD_EMULATED)
Bytes emulated(const Frame &frame, const Area &area, int out_height, int out_width) {
  Bytes out(std::size_t(out_height) * out_width * 3, kUntouched);
  const std::int64_t bytes = edgead_cuda_preprocess_bytes(area.height, area.width, out_height, out_width);
  std::vector<std::uint8_t> tables(std::size_t(bytes), 0xff);
  if (edgead_cuda_preprocess_tables(tables.data(), area.height, area.width, out_height, out_width, nullptr) ||
      edgead_cuda_preprocess(&frame, &area, tables.data(), out.data(), out_height, out_width, nullptr))
    out.clear();
  return out;
}
#endif

int compare(const Camera &camera, const Area &area, int out_height, int out_width, int threads, [[maybe_unused]] bool with_device) {
  const Bytes expected = defined(camera.frame, area, out_height, out_width);
  Bytes got(expected.size(), kUntouched);
  int failed = edgead_preprocess(&camera.frame, &area, got.data(), out_height, out_width, threads) != edgead::kOk;
  failed += got != expected;
#if defined(EDGEAD_EMULATED)
  if (with_device) failed += emulated(camera.frame, area, out_height, out_width) != expected;
#endif
  if (failed)
    std::printf("%s %dx%d, area %d %d %dx%d -> %dx%d, pitch %d, %d threads: %d\n", kNames[camera.frame.layout], camera.frame.height,
                camera.frame.width, area.top, area.left, area.height, area.width, out_height, out_width, int(camera.frame.pitch),
                threads, failed);
  return failed;
}

// A frame of a layout with sides up to `side`, and an area in it
int any(int layout, int side, int out_side, bool with_device) {
  int height = up_to(side), width = up_to(side);
  if (layout == edgead::kNv12) height += height % 2;
  if (layout == edgead::kNv12 || layout == edgead::kYuyv) width += width % 2;
  const bool words = source() % 2;
  const Camera camera(layout, height, width, words ? -1 : int(source() % 9), words ? 0 : int(source() % 5));
  Area area = {0, 0, height, width};
  if (source() % 4) {
    area.height = up_to(height), area.width = up_to(width);
    area.top = up_to(height - area.height + 1) - 1, area.left = up_to(width - area.width + 1) - 1;
  }
  return compare(camera, area, up_to(out_side), up_to(out_side), up_to(4), with_device);
}

// From far more pixels than the device's blocks and the CPU's converted rows have room for
int huge(int layout) {
  int failed = 0;
  const Camera camera(layout, 222, 3334, -1, 0);
  for (const auto &[height, width] : {std::pair{1, 1}, std::pair{3, 2}, std::pair{2, 130}, std::pair{300, 1}})
    failed += compare(camera, {1, 1, 220, 3333}, height, width, 2, height < 10);
  return failed;
}

int refused() {
  int failed = 0;
  const auto expect = [&](int wanted, Frame frame, Area area, int height, int width, int threads) {
    Bytes out(48, kUntouched);
    int wrong = edgead_preprocess(&frame, &area, out.data(), height, width, threads) != wanted;
#if defined(EDGEAD_EMULATED)
    std::int32_t tables[64];
    if (threads > 0) wrong += edgead_cuda_preprocess(&frame, &area, tables, out.data(), height, width, nullptr) != wanted;
#endif
    wrong += wanted != edgead::kOk && out != Bytes(48, kUntouched);
    if (wrong) std::printf("not refused: layout %d, %dx%d, status %d\n", frame.layout, frame.height, frame.width, wanted);
    failed += wrong;
  };
  Bytes bytes(64);
  const auto frame = [&](int layout, int height, int width, int pitch) {
    return Frame{bytes.data(), pitch, bytes.data(), pitch, layout, height, width};
  };
  const Area one = {0, 0, 1, 1};
  const int most = edgead::kMaxSide;
  for (const int side : {0, -1, most + 1, INT32_MIN}) {
    expect(edgead::kBadSize, frame(edgead::kGray, side, 4, 1 << 20), one, 1, 1, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, side, 1 << 20), one, 1, 1, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), one, side, 1, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), one, 1, side, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), {0, 0, side, 1}, 1, 1, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), {0, 0, 1, side}, 1, 1, 1);
  }
  for (const int place : {-1, 4, INT32_MAX, INT32_MIN}) {
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), {place, 0, 1, 1}, 1, 1, 1);
    expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), {0, place, 1, 1}, 1, 1, 1);
  }
  expect(edgead::kBadSize, frame(edgead::kGray, 4, 4, 4), {3, 0, 2, 1}, 1, 1, 1);
  for (const int layout : {-1, 5}) expect(edgead::kBadLayout, frame(layout, 2, 2, 16), one, 1, 1, 1);
  expect(edgead::kBadLayout, frame(edgead::kYuyv, 2, 3, 16), one, 1, 1, 1);
  expect(edgead::kBadLayout, frame(edgead::kNv12, 2, 3, 16), one, 1, 1, 1);
  expect(edgead::kBadLayout, frame(edgead::kNv12, 3, 2, 16), one, 1, 1, 1);
  for (const auto &[layout, pitch] : {std::pair{edgead::kBgr, 12}, std::pair{edgead::kRgb, 12}, std::pair{edgead::kGray, 4},
                                      std::pair{edgead::kNv12, 4}, std::pair{edgead::kYuyv, 8}})
    for (const int wrong : {pitch - 1, 0, -pitch}) expect(edgead::kBadLayout, frame(layout, 2, 4, wrong), one, 1, 1, 1);
  Frame missing = frame(edgead::kNv12, 2, 4, 4);
  missing.chroma_pitch = 3;
  expect(edgead::kBadLayout, missing, one, 1, 1, 1);
  missing.chroma_pitch = 4, missing.chroma = nullptr;
  expect(edgead::kBadLayout, missing, one, 1, 1, 1);
  missing.chroma = bytes.data(), missing.plane = nullptr;
  expect(edgead::kBadLayout, missing, one, 1, 1, 1);
  expect(edgead::kBadCount, frame(edgead::kGray, 4, 4, 4), one, 1, 1, 0);
#if defined(EDGEAD_EMULATED)
  failed += edgead_cuda_preprocess_bytes(0, 1, 1, 1) != -1 || edgead_cuda_preprocess_bytes(1, 1, 1, most + 1) != -1;
  failed += edgead_cuda_preprocess_tables(nullptr, 1, most + 1, 1, 1, nullptr) != edgead::kBadSize;
#endif
  return failed;
}

// Of images of each layout, one of them larger than its frame
std::uint64_t hash() {
  std::uint64_t bits = 0xcbf29ce484222325u;  // FNV-1a
  for (int layout = edgead::kBgr; layout <= edgead::kYuyv; ++layout) {
    const Camera camera(layout, 720, 1270, 5, 1);
    for (const auto &[area, side] : {std::pair{Area{0, 0, 720, 1270}, 256}, std::pair{Area{101, 333, 99, 77}, 128}}) {
      Bytes out(std::size_t(side) * side * 3);
      edgead_preprocess(&camera.frame, &area, out.data(), side, side, 2);
      for (const std::uint8_t byte : out) bits = (bits ^ byte) * 0x100000001b3u;
    }
  }
  return bits;
}

}  // namespace

int main() {
  std::printf("bits %016llx\n", static_cast<unsigned long long>(hash()));
  int failed = refused();
  for (int layout = edgead::kBgr; layout <= edgead::kYuyv; ++layout) {
    for (int round = 0; round < 60; ++round) failed += any(layout, 150, 120, false);
    for (int round = 0; round < 100; ++round) failed += any(layout, 8, 12, round % 4 == 0);
    for (int round = 0; round < 20; ++round) failed += any(layout, 100, 30, true);
    failed += huge(layout);
  }
  std::printf("%d failed\n", failed);
  return failed != 0;
}
