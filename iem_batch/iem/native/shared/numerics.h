// Constants and helper arithmetic of both engines; NUMERICS.md says what they guarantee.
//
// This folder is the arithmetic of the native engine and of the CUDA kernel, in one source. A file
// *.inc is included in the namespace of an engine, after its lanes: `Floats` and `Doubles` are 16
// and 8 pixels in vectors there, one pixel of a thread here, and `Bits` has a bit for each. No
// standard headers: NVRTC has none.
#pragma once

#if defined(__CUDACC__)
#define IEM_INLINE __device__ __forceinline__
#else
#define IEM_INLINE static inline
#endif

namespace iem {

constexpr int kColours = 3;
constexpr int kChannels = 4;  // the colours, then the mask

// What the sides of the mask hold: 0 is the background, 1 the foreground.
struct Sides {
    double count[2];            // pixels
    double total[kColours][2];  // sums of u
};

constexpr float kUnit = 5.9604645e-8f;  // 2^-24, half a unit in the last place of a float

// Blurred fields are integers of this many units per 1, held in float64. Colours are at most 255
// and a row of blur weights sums to 1, so every partial sum stays below 2^53 and is exact.
constexpr double kGrid = 35184372088832.0;  // 2^45

// Weight of a side's sum in every blurred pixel of it; far from the side it predicts the mean.
constexpr double kMeanWeight = 1e-8;
constexpr double kGridMeanWeight = kMeanWeight * kGrid;

// Adding and subtracting 1.5 * 2^52 rounds to an integer, ties to even, where |v| < 2^51.
constexpr double kRounder = 6755399441055744.0;

IEM_INLINE double on_grid(double v) { return (v + kRounder) - kRounder; }

// Blurred colours reach 255 * 2^45, near 2^53. Adding 2^52 of their own sign makes them integers: a
// rounder of one sign would leave halves in those of the other, whose sums are not exact.
constexpr double kFieldRounder = 4503599627370496.0;  // 2^52

IEM_INLINE double field_on_grid(double v) {
    const double rounder = v < 0 ? -kFieldRounder : kFieldRounder;
    return (v + rounder) - rounder;
}

#if defined(__CUDACC__)
IEM_INLINE double absolute(double a) { return fabs(a); }
IEM_INLINE float round_down(float a) { return floorf(a); }
IEM_INLINE float next_float(float a, float towards) { return nextafterf(a, towards); }
#else
IEM_INLINE double absolute(double a) { return __builtin_fabs(a); }
IEM_INLINE float round_down(float a) { return __builtin_floorf(a); }
IEM_INLINE float next_float(float a, float towards) { return __builtin_nextafterf(a, towards); }
#endif

// splitmix64's finaliser; a mask's hash is the xor over the pixels on which it
// differs from the first mask.
IEM_INLINE unsigned long long pixel_hash(unsigned long long pixel) {
    unsigned long long z = (pixel + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

}  // namespace iem
