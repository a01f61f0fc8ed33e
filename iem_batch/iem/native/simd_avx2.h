// Vectors in AVX2 registers.
#include <immintrin.h>

typedef float F __attribute__((vector_size(32)));
typedef double D __attribute__((vector_size(32)));

inline F fused_part(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline D fused_part(D a, D b, D c) { return _mm256_fmadd_pd(a, b, c); }
template <typename Mask>
inline unsigned sign_bits(Mask a) { return static_cast<unsigned>(_mm256_movemask_ps((__m256)a)); }
inline D widen_half(F a, int half) {
    return _mm256_cvtps_pd(half ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
}
inline F narrow_part(D low, D high) {
    return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
}
inline float largest_in_part(F a) {
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}
inline float sum_part(F a) {
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline double sum_part(D a) {
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}

#include "simd_parts.h"
