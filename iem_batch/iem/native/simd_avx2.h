// 16 floats and 8 doubles in pairs of AVX2 registers. A `bits` argument has one bit per lane.
#include <immintrin.h>

struct Floats { __m256 a, b; };
struct Doubles { __m256d a, b; };

inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Doubles load(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline void store(float* p, Floats x) { _mm256_storeu_ps(p, x.a), _mm256_storeu_ps(p + 8, x.b); }
inline void store(double* p, Doubles x) { _mm256_storeu_pd(p, x.a), _mm256_storeu_pd(p + 4, x.b); }
// Rounded to single precision.
inline void store_single(float* p, Doubles x) {
    _mm_storeu_ps(p, _mm256_cvtpd_ps(x.a)), _mm_storeu_ps(p + 4, _mm256_cvtpd_ps(x.b));
}
inline Floats fill(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Doubles fill(double x) { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }

inline Floats operator+(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats operator-(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats operator*(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats operator/(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Doubles operator+(Doubles x, Doubles y) { return {_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b)}; }
inline Doubles operator-(Doubles x, Doubles y) { return {_mm256_sub_pd(x.a, y.a), _mm256_sub_pd(x.b, y.b)}; }
inline Doubles operator*(Doubles x, Doubles y) { return {_mm256_mul_pd(x.a, y.a), _mm256_mul_pd(x.b, y.b)}; }
inline Doubles operator/(Doubles x, Doubles y) { return {_mm256_div_pd(x.a, y.a), _mm256_div_pd(x.b, y.b)}; }
// a * b + c, fused: for floats that are certified, and doubles where all three steps are exact.
inline Floats fused(Floats x, Floats y, Floats z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Doubles exact_fused(Doubles x, Doubles y, Doubles z) {
    return {_mm256_fmadd_pd(x.a, y.a, z.a), _mm256_fmadd_pd(x.b, y.b, z.b)};
}
inline Doubles exact_minus(Doubles z, Doubles x, Doubles y) {
    return {_mm256_fnmadd_pd(x.a, y.a, z.a), _mm256_fnmadd_pd(x.b, y.b, z.b)};
}

inline Floats less_product(Floats z, Floats x, Floats y) {
    return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}

inline __m256 lanes_f(unsigned bits) {
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i all = _mm256_set1_epi32(static_cast<int>(bits));
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(all, each), each));
}
inline __m256d lanes_d(unsigned bits) {
    const __m256i each = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i all = _mm256_set1_epi64x(bits);
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(all, each), each));
}

inline Floats abs(Floats x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline Doubles abs(Doubles x) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    return {_mm256_andnot_pd(sign, x.a), _mm256_andnot_pd(sign, x.b)};
}
inline Floats select(unsigned bits, Floats x, Floats y) {
    return {_mm256_blendv_ps(y.a, x.a, lanes_f(bits)), _mm256_blendv_ps(y.b, x.b, lanes_f(bits >> 8))};
}
inline Doubles select(unsigned bits, Doubles x, Doubles y) {
    return {_mm256_blendv_pd(y.a, x.a, lanes_d(bits)), _mm256_blendv_pd(y.b, x.b, lanes_d(bits >> 4))};
}
inline Floats keep(unsigned bits, Floats x) {
    return {_mm256_and_ps(x.a, lanes_f(bits)), _mm256_and_ps(x.b, lanes_f(bits >> 8))};
}
inline Doubles keep(unsigned bits, Doubles x) {
    return {_mm256_and_pd(x.a, lanes_d(bits)), _mm256_and_pd(x.b, lanes_d(bits >> 4))};
}
inline Doubles negate(unsigned bits, Doubles x) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    return {_mm256_xor_pd(x.a, _mm256_and_pd(sign, lanes_d(bits))),
            _mm256_xor_pd(x.b, _mm256_and_pd(sign, lanes_d(bits >> 4)))};
}
inline Floats larger(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline float largest(Floats x) {
    const __m256 h = _mm256_max_ps(x.a, x.b);
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}
inline unsigned above(Floats x, Floats y) {
    const int a = _mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ));
    const int b = _mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ));
    return static_cast<unsigned>(a | b << 8);
}

// x with the sign of y times its own; 0 where y is 0.
inline __m256 signed_by(__m256 x, __m256 y) {
    const __m256 some = _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_NEQ_OQ);
    const __m256 sign = _mm256_and_ps(y, _mm256_set1_ps(-0.0f));
    return _mm256_and_ps(some, _mm256_xor_ps(x, sign));
}
inline __m256d signed_by(__m256d x, __m256d y) {
    const __m256d some = _mm256_cmp_pd(y, _mm256_setzero_pd(), _CMP_NEQ_OQ);
    const __m256d sign = _mm256_and_pd(y, _mm256_set1_pd(-0.0));
    return _mm256_and_pd(some, _mm256_xor_pd(x, sign));
}
inline Floats signed_by(Floats x, Floats y) { return {signed_by(x.a, y.a), signed_by(x.b, y.b)}; }
inline Doubles signed_by(Doubles x, Doubles y) { return {signed_by(x.a, y.a), signed_by(x.b, y.b)}; }

inline Doubles widen(__m256 x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}
inline Doubles widen_low(Floats x) { return widen(x.a); }
inline Doubles widen_high(Floats x) { return widen(x.b); }
inline Floats narrow(Doubles low, Doubles high) {
    return {_mm256_set_m128(_mm256_cvtpd_ps(low.b), _mm256_cvtpd_ps(low.a)),
            _mm256_set_m128(_mm256_cvtpd_ps(high.b), _mm256_cvtpd_ps(high.a))};
}

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
inline float sum(Floats x) {
    const __m256 h = _mm256_add_ps(x.a, x.b);
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline double sum(Doubles x) {
    const __m256d h = _mm256_add_pd(x.a, x.b);
    const __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
