// EDGEAD_CLONES in front of a function compiles it for several instruction sets and picks one when the library loads.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define EDGEAD_CLONES __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#else
#define EDGEAD_CLONES
#endif
