// Vectors of 16 bytes, which the processors of a kind all have: SSE2, NEON. Without a fused
// multiply-add: floats are certified, and doubles exact.

typedef float F __attribute__((vector_size(16)));
typedef double D __attribute__((vector_size(16)));

inline F fused_part(F a, F b, F c) { return a * b + c; }
inline D fused_part(D a, D b, D c) { return a * b + c; }
template <typename Mask>
inline unsigned sign_bits(Mask a) {
    return static_cast<unsigned>((a[0] & 1) | (a[1] & 2) | (a[2] & 4) | (a[3] & 8));
}
inline D widen_half(F a, int half) { return half ? D{a[2], a[3]} : D{a[0], a[1]}; }
inline F narrow_part(D low, D high) {
    return F{static_cast<float>(low[0]), static_cast<float>(low[1]),
             static_cast<float>(high[0]), static_cast<float>(high[1])};
}
inline float larger(float a, float b) { return a > b ? a : b; }
inline float largest_in_part(F a) { return larger(larger(a[0], a[1]), larger(a[2], a[3])); }
inline float sum_part(F a) { return (a[0] + a[2]) + (a[1] + a[3]); }
inline double sum_part(D a) { return a[0] + a[1]; }

#include "simd_parts.h"
