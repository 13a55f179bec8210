// Threads for one call: they start with it and end with it. A process that has forked, and one that has other thread pools, may
// call as well, and no runtime of threads has to be installed.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace edgead {

// run(begin, end) for pieces that together are 0 .. total, by at most `threads` threads; no more than one for every `grain`.
template <class Run>
void in_parallel(std::int64_t total, std::int64_t grain, std::int32_t threads, const Run &run) {
  if (total <= 0) return;
  const std::int64_t parts = std::clamp<std::int64_t>(total / grain, 1, threads);
  std::vector<std::thread> others;
  std::int64_t begin = 0;
  try {
    others.reserve(std::size_t(parts - 1));
    for (std::int64_t index = 1; index < parts; ++index) {
      const std::int64_t end = total / parts * index;
      others.emplace_back(run, begin, end);
      begin = end;
    }
  } catch (const std::exception &) {  // no more threads to be had: the rest is done here
  }
  run(begin, total);
  for (std::thread &other : others) other.join();
}

}  // namespace edgead
