// EDGEAD_CLONES in front of a function compiles it for several instruction sets and picks one when the library loads. The
// widest is named by what it needs: "arch=..." would be taken on processors of that name alone, not on their successors.
#pragma once

#if !defined(EDGEAD_CLONES)  // a test compiles for one instruction set at a time
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define EDGEAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EDGEAD_CLONES
#endif
#endif
