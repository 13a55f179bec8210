// The fibers of emulated_cuda.h.
#include "emulated_cuda.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

dim3 gridDim, blockDim;
uint3 blockIdx, threadIdx;

namespace {

constexpr std::size_t kStack = 256 << 10;

struct Fiber {
  ucontext_t context;
  void *stack = nullptr;
  bool ended = false;
  const char *waits = nullptr;   // for whom
  long barriers = 0;             // of the block, passed so far
  unsigned mask = 0;             // of the exchange that it waits in
  const void *given = nullptr;   // what it gives to it
  long exchanges = 0;            // of its warp, entered so far
};

std::mutex one_launch;
std::vector<Fiber> fibers;
std::size_t running, alive;
ucontext_t scheduler;
const std::function<void()> *body;
std::vector<unsigned char> dynamic;
thread_local cudaError_t last = cudaSuccess;

[[noreturn]] void give_up(const char *what) {
  std::fprintf(stderr, "emulated CUDA: %s, block (%u, %u, %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z);
  std::abort();
}

void turn() { swapcontext(&fibers[running].context, &scheduler); }

void enter() {
  (*body)();
  fibers[running].ended = true;
  --alive;
  turn();
}

// Whether the fiber can go on: all that it waits for have come as far, or have ended.
bool ready(const Fiber &fiber) {
  if (!fiber.waits) return true;
  for (const Fiber &other : fibers)
    if (!other.ended && other.barriers < fiber.barriers) return false;
  return true;
}

void run_block(const std::vector<std::size_t> &order) {
  std::fill(dynamic.begin(), dynamic.end(), 0xff);
  alive = fibers.size();
  for (Fiber &fiber : fibers) {
    void *stack = fiber.stack;
    fiber = Fiber();
    fiber.stack = stack;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  while (alive) {
    bool moved = false;
    for (const std::size_t index : order) {
      Fiber &fiber = fibers[index];
      if (fiber.ended || !ready(fiber)) continue;
      running = index;
      const unsigned x = unsigned(index);
      threadIdx = {x % blockDim.x, x / blockDim.x % blockDim.y, x / blockDim.x / blockDim.y};
      const long exchanges = fiber.exchanges, barriers = fiber.barriers;
      const char *waits = fiber.waits;
      swapcontext(&scheduler, &fiber.context);
      moved = moved || fiber.ended || fiber.exchanges != exchanges || fiber.barriers != barriers || fiber.waits != waits;
    }
    if (!moved) give_up("threads wait for each other for ever");
  }
}

}  // namespace

cudaError_t cudaGetLastError() {
  const cudaError_t status = last;
  last = cudaSuccess;
  return status;
}

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  const bool major = attribute == cudaDevAttrComputeCapabilityMajor;
  const char *wanted = std::getenv(major ? "EDGEAD_MAJOR" : "EDGEAD_MULTIPROCESSORS");
  *value = wanted ? std::atoi(wanted) : major ? 9 : 132;
  return cudaSuccess;
}

unsigned char *emulated::shared() { return dynamic.data(); }

void emulated::wait_for_block() {
  Fiber &fiber = fibers[running];
  ++fiber.barriers;
  fiber.waits = "the block";
  turn();
  fiber.waits = nullptr;
}

void emulated::together(unsigned mask, const void *given, const std::function<void(const void *const *)> &read) {
  const std::size_t own = running, first = own / warpSize * warpSize, end = std::min(first + warpSize, fibers.size());
  Fiber &fiber = fibers[own];
  if (!(mask >> (own - first) & 1u)) give_up("a thread exchanges without being in the mask");
  fiber.mask = mask, fiber.given = given;
  const auto takes_part = [&](std::size_t other) { return (mask >> (other - first) & 1u) && !fibers[other].ended; };
  const auto come = [&](long count) {
    for (std::size_t other = first; other < end; ++other)
      if (takes_part(other) && fibers[other].exchanges < count) return false;
    return true;
  };
  ++fiber.exchanges;
  while (!come(fiber.exchanges)) turn();
  const void *all[warpSize] = {};
  for (std::size_t other = first; other < end; ++other)
    if (takes_part(other)) all[other - first] = fibers[other].given;
  read(all);
  ++fiber.exchanges;  // it has read; nobody gives the next value before all have
  while (!come(fiber.exchanges)) turn();
}

void emulated::launch(dim3 grid, dim3 block, std::size_t bytes, const std::function<void()> &thread) {
  const std::size_t threads = std::size_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 ||
      grid.z > 65535 || grid.x > 0x7fffffffu || bytes > 227u << 10) {
    last = cudaErrorInvalidConfiguration;
    return;
  }
  const std::lock_guard<std::mutex> lock(one_launch);
  while (fibers.size() > threads) {
    munmap(fibers.back().stack, kStack);
    fibers.pop_back();
  }
  while (fibers.size() < threads) {
    fibers.emplace_back();
    fibers.back().stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fibers.back().stack == MAP_FAILED) give_up("no memory for a stack");
  }
  dynamic.resize(bytes);
  gridDim = grid, blockDim = block;
  body = &thread;
  std::vector<std::size_t> order(threads);
  std::iota(order.begin(), order.end(), std::size_t(0));
  const char *wanted = std::getenv("EDGEAD_ORDER");
  const std::string_view name = wanted ? wanted : "forward";
  if (name == "backward") std::reverse(order.begin(), order.end());
  if (name != "backward" && name != "forward") std::shuffle(order.begin(), order.end(), std::mt19937(std::atoi(wanted)));
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        run_block(order);
      }
}
