// Constants and helper arithmetic of the forward pass; NUMERICS.md says what they guarantee.
// No standard headers: this file also compiles under NVRTC.
#pragma once

#if defined(__CUDACC__)
#define IEM_FN __host__ __device__ inline
#else
#define IEM_FN static inline
#endif

namespace iem {

// Blurred fields are integers of this many units per 1, held in float64. Colours are at most 255
// and a row of blur weights sums to 1, so every partial sum stays below 2^53 and is exact.
constexpr double kGrid = 35184372088832.0;  // 2^45

// Weight of a side's sum in every blurred pixel of it; far from the side it predicts the mean.
constexpr double kMeanWeight = 1e-8;
constexpr double kGridMeanWeight = kMeanWeight * kGrid;

// Adding and subtracting 1.5 * 2^52 rounds to an integer, ties to even, where |v| < 2^51.
constexpr double kRounder = 6755399441055744.0;

IEM_FN double on_grid(double v) { return (v + kRounder) - kRounder; }

// Blurred colours reach 255 * 2^45, near 2^53. Adding 2^52 of their own sign makes them integers: a
// rounder of one sign would leave halves in those of the other, whose sums are not exact.
constexpr double kFieldRounder = 4503599627370496.0;  // 2^52

IEM_FN double field_on_grid(double v) {
    const double rounder = v < 0 ? -kFieldRounder : kFieldRounder;
    return (v + rounder) - rounder;
}

// splitmix64's finaliser; a mask's hash is the xor over the pixels on which it
// differs from the first mask.
IEM_FN unsigned long long pixel_hash(unsigned long long pixel) {
    unsigned long long z = (pixel + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

}  // namespace iem
