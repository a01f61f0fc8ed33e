// What the kernel needs of its surroundings: a block of threads, barriers and atomics, on a GPU; and
// the same on a host, where tests run the whole kernel without one.
//
// A block does one thing after another. Everything that threads do at once is a `phase`: a body for
// each thread, then a barrier. Within a phase no thread reads what another one writes, save through
// the atomics below, all of which give the same result in any order. What runs between phases is
// done by every thread alike and may read shared memory through `agreed` only.
#pragma once

#include "shared/numerics.h"

#if defined(__CUDACC__)
#define IEM_CODE static __device__
#else
#define IEM_CODE static inline
#endif

namespace iem {

#if defined(__CUDACC__)

IEM_INLINE void barrier() { __syncthreads(); }
template <typename Body>
IEM_INLINE void on_each_thread(int, Body body) {
    body(static_cast<int>(threadIdx.x));
}

IEM_INLINE int add_to(int* at, int value) { return atomicAdd(at, value); }
IEM_INLINE void add_to(unsigned long long* at, unsigned long long value) { atomicAdd(at, value); }
IEM_INLINE void lower_to(int* at, int value) { atomicMin(at, value); }
IEM_INLINE void set_bits(unsigned* at, unsigned bits) { atomicOr(at, bits); }
IEM_INLINE void clear_bits(unsigned* at, unsigned bits) { atomicAnd(at, ~bits); }

IEM_INLINE int count_bits(unsigned bits) { return __popc(bits); }
IEM_INLINE int lowest_bit(unsigned bits) { return __ffs(static_cast<int>(bits)) - 1; }
IEM_INLINE int highest_bit(unsigned bits) { return 31 - __clz(static_cast<int>(bits)); }
IEM_INLINE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
IEM_INLINE double exact_fused(double a, double b, double c) { return __fma_rn(a, b, c); }

#else

// The surroundings of the tests, tests/iem/emulator.cpp, define these two.
void barrier();
template <typename Body>
void on_each_thread(int threads, const Body& body);

inline int add_to(int* at, int value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline void add_to(unsigned long long* at, unsigned long long value) {
    __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
inline void lower_to(int* at, int value) {
    for (int now = __atomic_load_n(at, __ATOMIC_RELAXED); value < now;)
        if (__atomic_compare_exchange_n(at, &now, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            break;
}
inline void set_bits(unsigned* at, unsigned bits) { __atomic_fetch_or(at, bits, __ATOMIC_RELAXED); }
inline void clear_bits(unsigned* at, unsigned bits) {
    __atomic_fetch_and(at, ~bits, __ATOMIC_RELAXED);
}

inline int count_bits(unsigned bits) { return __builtin_popcount(bits); }
inline int lowest_bit(unsigned bits) { return __builtin_ctz(bits); }
inline int highest_bit(unsigned bits) { return 31 - __builtin_clz(bits); }
// The float32 results are certified, so one rounding or two make no difference to the masks.
#if defined(IEM_FUSED)
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
inline float fused(float a, float b, float c) { return a * b + c; }
#endif
inline double exact_fused(double a, double b, double c) { return a * b + c; }

#endif

// The lanes of the shared arithmetic: one pixel. `~` of a bit sets others too, so only the lowest counts.
using Floats = float;
using Doubles = double;
using Bits = unsigned;

IEM_INLINE float fill(float a) { return a; }
IEM_INLINE double fill(double a) { return a; }
template <typename T>
IEM_INLINE T select(Bits bits, T a, T b) { return bits & 1 ? a : b; }
template <typename T>
IEM_INLINE T keep(Bits bits, T a) { return bits & 1 ? a : 0; }
template <typename T>
IEM_INLINE T pick(Bits bits, const T (&value)[2]) { return value[bits & 1]; }
template <typename T>
IEM_INLINE T abs(T a) { return a < 0 ? -a : a; }
IEM_INLINE Bits above(float a, float b) { return a > b; }
// a with the sign of b times its own; 0 where b is 0.
template <typename T>
IEM_INLINE T signed_by(T a, T b) { return b > 0 ? a : b < 0 ? -a : 0; }
IEM_INLINE float less_product(float c, float a, float b) { return fused(-a, b, c); }
// c - a * b where the product is exact, so that both ways round once.
IEM_INLINE double exact_minus(double c, double a, double b) { return exact_fused(-a, b, c); }

#include "shared/predict.inc"
#include "shared/exact.inc"
#include "shared/decide.inc"
#include "shared/bits.inc"

// Run body(thread) on all threads of the block, and wait for all of them.
template <typename Body>
IEM_INLINE void phase(int threads, const Body& body) {
    on_each_thread(threads, body);
    barrier();
}

// A value of shared memory on which control flow depends. The barrier keeps a fast thread's next
// phase from changing it before a slow thread has read it.
template <typename T>
IEM_INLINE T agreed(const T* at) {
    const T value = *at;
    barrier();
    return value;
}

}  // namespace iem
