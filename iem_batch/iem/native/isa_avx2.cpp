// The kernels for AVX2 and FMA.
#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,lzcnt")
#endif
#define IEM_ISA avx2
#define IEM_SIMD "simd_avx2.h"
#include "kernels.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
