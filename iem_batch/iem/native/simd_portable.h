// 16 floats and 8 doubles as plain arrays. A `bits` argument has one bit per lane.

struct F16 { float v[16]; };
struct D8 { double v[8]; };

#define IEM_LANES(Type, n, expression) \
    Type r;                            \
    for (int k = 0; k < n; ++k) r.v[k] = expression; \
    return r;

inline F16 load(const float* p) { IEM_LANES(F16, 16, p[k]) }
inline D8 load(const double* p) { IEM_LANES(D8, 8, p[k]) }
inline void store(float* p, const F16& a) { for (int k = 0; k < 16; ++k) p[k] = a.v[k]; }
inline void store(double* p, const D8& a) { for (int k = 0; k < 8; ++k) p[k] = a.v[k]; }
inline F16 fill(float a) { IEM_LANES(F16, 16, a) }
inline D8 fill(double a) { IEM_LANES(D8, 8, a) }

inline F16 operator+(const F16& a, const F16& b) { IEM_LANES(F16, 16, a.v[k] + b.v[k]) }
inline F16 operator-(const F16& a, const F16& b) { IEM_LANES(F16, 16, a.v[k] - b.v[k]) }
inline F16 operator*(const F16& a, const F16& b) { IEM_LANES(F16, 16, a.v[k] * b.v[k]) }
inline F16 operator/(const F16& a, const F16& b) { IEM_LANES(F16, 16, a.v[k] / b.v[k]) }
inline D8 operator+(const D8& a, const D8& b) { IEM_LANES(D8, 8, a.v[k] + b.v[k]) }
inline D8 operator-(const D8& a, const D8& b) { IEM_LANES(D8, 8, a.v[k] - b.v[k]) }
inline D8 operator*(const D8& a, const D8& b) { IEM_LANES(D8, 8, a.v[k] * b.v[k]) }
inline D8 operator/(const D8& a, const D8& b) { IEM_LANES(D8, 8, a.v[k] / b.v[k]) }
// Two roundings where the other files have one: floats are certified, and the doubles exact.
inline F16 fused(const F16& a, const F16& b, const F16& c) {
    IEM_LANES(F16, 16, a.v[k] * b.v[k] + c.v[k])
}
inline D8 exact_fused(const D8& a, const D8& b, const D8& c) {
    IEM_LANES(D8, 8, a.v[k] * b.v[k] + c.v[k])
}
inline D8 exact_minus(const D8& c, const D8& a, const D8& b) {
    IEM_LANES(D8, 8, c.v[k] - a.v[k] * b.v[k])
}

inline F16 less_product(const F16& c, const F16& a, const F16& b) {
    IEM_LANES(F16, 16, c.v[k] - a.v[k] * b.v[k])
}

inline F16 abs(const F16& a) { IEM_LANES(F16, 16, __builtin_fabsf(a.v[k])) }
inline D8 abs(const D8& a) { IEM_LANES(D8, 8, __builtin_fabs(a.v[k])) }
inline F16 select(unsigned bits, const F16& a, const F16& b) {
    IEM_LANES(F16, 16, (bits & 1u << k) ? a.v[k] : b.v[k])
}
inline D8 select(unsigned bits, const D8& a, const D8& b) {
    IEM_LANES(D8, 8, (bits & 1u << k) ? a.v[k] : b.v[k])
}
inline F16 keep(unsigned bits, const F16& a) { IEM_LANES(F16, 16, (bits & 1u << k) ? a.v[k] : 0) }
inline D8 keep(unsigned bits, const D8& a) { IEM_LANES(D8, 8, (bits & 1u << k) ? a.v[k] : 0) }
inline D8 negate(unsigned bits, const D8& a) {
    IEM_LANES(D8, 8, (bits & 1u << k) ? -a.v[k] : a.v[k])
}
inline float largest(const F16& a) {
    float most = a.v[0];
    for (int k = 1; k < 16; ++k) most = most > a.v[k] ? most : a.v[k];
    return most;
}
inline unsigned above(const F16& a, const F16& b) {
    unsigned bits = 0;
    for (int k = 0; k < 16; ++k) bits |= static_cast<unsigned>(a.v[k] > b.v[k]) << k;
    return bits;
}

// a with the sign of b times its own; 0 where b is 0.
inline F16 signed_by(const F16& a, const F16& b) {
    IEM_LANES(F16, 16, b.v[k] > 0 ? a.v[k] : b.v[k] < 0 ? -a.v[k] : 0)
}
inline D8 signed_by(const D8& a, const D8& b) {
    IEM_LANES(D8, 8, b.v[k] > 0 ? a.v[k] : b.v[k] < 0 ? -a.v[k] : 0)
}

inline D8 widen_low(const F16& a) { IEM_LANES(D8, 8, a.v[k]) }
inline D8 widen_high(const F16& a) { IEM_LANES(D8, 8, a.v[k + 8]) }
inline F16 narrow(const D8& low, const D8& high) {
    IEM_LANES(F16, 16, static_cast<float>(k < 8 ? low.v[k] : high.v[k - 8]))
}

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
inline float sum(F16 a) {
    for (int n = 8; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) a.v[k] += a.v[k + n];
    return a.v[0];
}
inline double sum(D8 a) {
    for (int n = 4; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) a.v[k] += a.v[k + n];
    return a.v[0];
}

#undef IEM_LANES
