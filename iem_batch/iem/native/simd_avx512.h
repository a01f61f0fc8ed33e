// 16 floats and 8 doubles in AVX-512 registers. A `bits` argument has one bit per lane.
#include <immintrin.h>

struct Floats { __m512 v; };
struct Doubles { __m512d v; };

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Doubles load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline void store(double* p, Doubles a) { _mm512_storeu_pd(p, a.v); }
// Rounded to single precision.
inline void store_single(float* p, Doubles a) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.v)); }
inline Floats fill(float a) { return {_mm512_set1_ps(a)}; }
inline Doubles fill(double a) { return {_mm512_set1_pd(a)}; }

inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Doubles operator+(Doubles a, Doubles b) { return {_mm512_add_pd(a.v, b.v)}; }
inline Doubles operator-(Doubles a, Doubles b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline Doubles operator*(Doubles a, Doubles b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline Doubles operator/(Doubles a, Doubles b) { return {_mm512_div_pd(a.v, b.v)}; }
// a * b + c, fused: for floats that are certified, and doubles where all three steps are exact.
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Doubles exact_fused(Doubles a, Doubles b, Doubles c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline Doubles exact_minus(Doubles c, Doubles a, Doubles b) { return {_mm512_fnmadd_pd(a.v, b.v, c.v)}; }

inline Floats less_product(Floats c, Floats a, Floats b) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }

inline Floats abs(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline Doubles abs(Doubles a) { return {_mm512_abs_pd(a.v)}; }
inline Floats select(unsigned bits, Floats a, Floats b) {
    return {_mm512_mask_blend_ps(static_cast<__mmask16>(bits), b.v, a.v)};
}
inline Doubles select(unsigned bits, Doubles a, Doubles b) {
    return {_mm512_mask_blend_pd(static_cast<__mmask8>(bits), b.v, a.v)};
}
inline Floats keep(unsigned bits, Floats a) {
    return {_mm512_maskz_mov_ps(static_cast<__mmask16>(bits), a.v)};
}
inline Doubles keep(unsigned bits, Doubles a) {
    return {_mm512_maskz_mov_pd(static_cast<__mmask8>(bits), a.v)};
}
inline Doubles negate(unsigned bits, Doubles a) {
    return {_mm512_mask_sub_pd(a.v, static_cast<__mmask8>(bits), _mm512_setzero_pd(), a.v)};
}
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }
inline unsigned above(Floats a, Floats b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }

constexpr int kXorOfAnd = 0x78;  // a ^ (b & c)

// a with the sign of b times its own; 0 where b is 0.
inline Floats signed_by(Floats a, Floats b) {
    const __mmask16 some = _mm512_cmp_ps_mask(b.v, _mm512_setzero_ps(), _CMP_NEQ_OQ);
    return {_mm512_castsi512_ps(_mm512_maskz_ternarylogic_epi32(
        some, _mm512_castps_si512(a.v), _mm512_castps_si512(b.v),
        _mm512_set1_epi32(static_cast<int>(0x80000000)), kXorOfAnd))};
}
inline Doubles signed_by(Doubles a, Doubles b) {
    const __mmask8 some = _mm512_cmp_pd_mask(b.v, _mm512_setzero_pd(), _CMP_NEQ_OQ);
    const __m512d sign = _mm512_and_pd(b.v, _mm512_set1_pd(-0.0));
    return {_mm512_maskz_xor_pd(some, a.v, sign)};
}

inline Doubles widen_low(Floats a) { return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))}; }
inline Doubles widen_high(Floats a) { return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))}; }
inline Floats narrow(Doubles low, Doubles high) {
    const __m512 a = _mm512_castps256_ps512(_mm512_cvtpd_ps(low.v));
    return {_mm512_insertf32x8(a, _mm512_cvtpd_ps(high.v), 1)};
}

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
inline float sum(Floats a) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline double sum(Doubles a) {
    const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1));
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
