// 16 floats and 8 doubles in AVX-512 registers. A `bits` argument has one bit per lane.
#include <immintrin.h>

struct F16 { __m512 v; };
struct D8 { __m512d v; };

inline F16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline D8 load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline void store(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
inline void store(double* p, D8 a) { _mm512_storeu_pd(p, a.v); }
inline F16 fill(float a) { return {_mm512_set1_ps(a)}; }
inline D8 fill(double a) { return {_mm512_set1_pd(a)}; }

inline F16 operator+(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F16 operator-(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F16 operator*(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F16 operator/(F16 a, F16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline D8 operator+(D8 a, D8 b) { return {_mm512_add_pd(a.v, b.v)}; }
inline D8 operator-(D8 a, D8 b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline D8 operator*(D8 a, D8 b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline D8 operator/(D8 a, D8 b) { return {_mm512_div_pd(a.v, b.v)}; }
// a * b + c, fused: for floats that are certified, and doubles where all three steps are exact.
inline F16 fused(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline D8 exact_fused(D8 a, D8 b, D8 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline D8 exact_minus(D8 c, D8 a, D8 b) { return {_mm512_fnmadd_pd(a.v, b.v, c.v)}; }

inline F16 less_product(F16 c, F16 a, F16 b) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }

inline F16 abs(F16 a) { return {_mm512_abs_ps(a.v)}; }
inline D8 abs(D8 a) { return {_mm512_abs_pd(a.v)}; }
inline F16 select(unsigned bits, F16 a, F16 b) {
    return {_mm512_mask_blend_ps(static_cast<__mmask16>(bits), b.v, a.v)};
}
inline D8 select(unsigned bits, D8 a, D8 b) {
    return {_mm512_mask_blend_pd(static_cast<__mmask8>(bits), b.v, a.v)};
}
inline F16 keep(unsigned bits, F16 a) {
    return {_mm512_maskz_mov_ps(static_cast<__mmask16>(bits), a.v)};
}
inline D8 keep(unsigned bits, D8 a) {
    return {_mm512_maskz_mov_pd(static_cast<__mmask8>(bits), a.v)};
}
inline D8 negate(unsigned bits, D8 a) {
    return {_mm512_mask_sub_pd(a.v, static_cast<__mmask8>(bits), _mm512_setzero_pd(), a.v)};
}
inline float largest(F16 a) { return _mm512_reduce_max_ps(a.v); }
inline unsigned above(F16 a, F16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }

// a with the sign of b times its own; 0 where b is 0.
inline F16 signed_by(F16 a, F16 b) {
    const __mmask16 some = _mm512_cmp_ps_mask(b.v, _mm512_setzero_ps(), _CMP_NEQ_OQ);
    const __m512 sign = _mm512_and_ps(b.v, _mm512_set1_ps(-0.0f));
    return {_mm512_maskz_xor_ps(some, a.v, sign)};
}
inline D8 signed_by(D8 a, D8 b) {
    const __mmask8 some = _mm512_cmp_pd_mask(b.v, _mm512_setzero_pd(), _CMP_NEQ_OQ);
    const __m512d sign = _mm512_and_pd(b.v, _mm512_set1_pd(-0.0));
    return {_mm512_maskz_xor_pd(some, a.v, sign)};
}

inline D8 widen_low(F16 a) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
inline D8 widen_high(F16 a) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }
inline F16 narrow(D8 low, D8 high) {
    const __m512 a = _mm512_castps256_ps512(_mm512_cvtpd_ps(low.v));
    return {_mm512_insertf32x8(a, _mm512_cvtpd_ps(high.v), 1)};
}

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
inline float sum(F16 a) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline double sum(D8 a) {
    const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
