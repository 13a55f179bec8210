// Threads for one call: they start with it and end with it. A process that has forked, and one that has other thread pools, may
// call as well, and no runtime of threads has to be installed.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace edgead {

// Linux can leave a new thread for milliseconds in the queue of the processor whose thread has started it, while others are idle. So
// threads are kept away from that one until it has done its own part.
class Elsewhere {
 public:
#if defined(__linux__)
  Elsewhere() {
    const int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof all_, &all_) != 0) return;
    others_ = all_;
    CPU_CLR(here, &others_);
    known_ = CPU_COUNT(&others_) > 0;
  }
  void send(std::thread &thread) const {
    if (known_) pthread_setaffinity_np(thread.native_handle(), sizeof others_, &others_);
  }
  void release(std::thread &thread) const {
    if (known_) pthread_setaffinity_np(thread.native_handle(), sizeof all_, &all_);
  }

 private:
  cpu_set_t all_, others_;
  bool known_ = false;
#else
  void send(std::thread &) const {}
  void release(std::thread &) const {}
#endif
};

// run(begin, end) for pieces that together are 0 .. total, by at most `threads` threads; no more than one for every `grain`.
template <class Run>
void in_parallel(std::int64_t total, std::int64_t grain, std::int32_t threads, const Run &run) {
  if (total <= 0) return;
  const std::int64_t parts = std::clamp<std::int64_t>(total / grain, 1, threads);
  if (parts == 1) return run(0, total);
  const Elsewhere elsewhere;
  std::vector<std::thread> others;
  std::int64_t begin = 0;
  try {
    others.reserve(std::size_t(parts - 1));
    for (std::int64_t index = 1; index < parts; ++index) {
      const std::int64_t end = total / parts * index;
      others.emplace_back(run, begin, end);
      elsewhere.send(others.back());
      begin = end;
    }
  } catch (const std::exception &) {  // no more threads to be had: the rest is done here
  }
  run(begin, total);
  for (std::thread &other : others) elsewhere.release(other);
  for (std::thread &other : others) other.join();
}

}  // namespace edgead
