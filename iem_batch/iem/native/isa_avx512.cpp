// The kernels for AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt,lzcnt")
#endif
#define IEM_ISA avx512
#define IEM_SIMD "simd_avx512.h"
#include "kernels.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
