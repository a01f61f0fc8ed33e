// 16 floats and 8 doubles as plain arrays. A `bits` argument has one bit per lane.

struct Floats { float v[16]; };
struct Doubles { double v[8]; };

#define IEM_LANES(Type, n, expression) \
    Type r;                            \
    for (int k = 0; k < n; ++k) r.v[k] = expression; \
    return r;

inline Floats load(const float* p) { IEM_LANES(Floats, 16, p[k]) }
inline Doubles load(const double* p) { IEM_LANES(Doubles, 8, p[k]) }
inline void store(float* p, const Floats& a) { for (int k = 0; k < 16; ++k) p[k] = a.v[k]; }
inline void store(double* p, const Doubles& a) { for (int k = 0; k < 8; ++k) p[k] = a.v[k]; }
// Rounded to single precision.
inline void store_single(float* p, const Doubles& a) {
    for (int k = 0; k < 8; ++k) p[k] = static_cast<float>(a.v[k]);
}
inline Floats fill(float a) { IEM_LANES(Floats, 16, a) }
inline Doubles fill(double a) { IEM_LANES(Doubles, 8, a) }

inline Floats operator+(const Floats& a, const Floats& b) { IEM_LANES(Floats, 16, a.v[k] + b.v[k]) }
inline Floats operator-(const Floats& a, const Floats& b) { IEM_LANES(Floats, 16, a.v[k] - b.v[k]) }
inline Floats operator*(const Floats& a, const Floats& b) { IEM_LANES(Floats, 16, a.v[k] * b.v[k]) }
inline Floats operator/(const Floats& a, const Floats& b) { IEM_LANES(Floats, 16, a.v[k] / b.v[k]) }
inline Doubles operator+(const Doubles& a, const Doubles& b) { IEM_LANES(Doubles, 8, a.v[k] + b.v[k]) }
inline Doubles operator-(const Doubles& a, const Doubles& b) { IEM_LANES(Doubles, 8, a.v[k] - b.v[k]) }
inline Doubles operator*(const Doubles& a, const Doubles& b) { IEM_LANES(Doubles, 8, a.v[k] * b.v[k]) }
inline Doubles operator/(const Doubles& a, const Doubles& b) { IEM_LANES(Doubles, 8, a.v[k] / b.v[k]) }
// Two roundings where the other files have one: floats are certified, and the doubles exact.
inline Floats fused(const Floats& a, const Floats& b, const Floats& c) {
    IEM_LANES(Floats, 16, a.v[k] * b.v[k] + c.v[k])
}
inline Doubles exact_fused(const Doubles& a, const Doubles& b, const Doubles& c) {
    IEM_LANES(Doubles, 8, a.v[k] * b.v[k] + c.v[k])
}
inline Doubles exact_minus(const Doubles& c, const Doubles& a, const Doubles& b) {
    IEM_LANES(Doubles, 8, c.v[k] - a.v[k] * b.v[k])
}

inline Floats less_product(const Floats& c, const Floats& a, const Floats& b) {
    IEM_LANES(Floats, 16, c.v[k] - a.v[k] * b.v[k])
}

inline Floats abs(const Floats& a) { IEM_LANES(Floats, 16, __builtin_fabsf(a.v[k])) }
inline Doubles abs(const Doubles& a) { IEM_LANES(Doubles, 8, __builtin_fabs(a.v[k])) }
inline Floats select(unsigned bits, const Floats& a, const Floats& b) {
    IEM_LANES(Floats, 16, (bits & 1u << k) ? a.v[k] : b.v[k])
}
inline Doubles select(unsigned bits, const Doubles& a, const Doubles& b) {
    IEM_LANES(Doubles, 8, (bits & 1u << k) ? a.v[k] : b.v[k])
}
inline Floats keep(unsigned bits, const Floats& a) { IEM_LANES(Floats, 16, (bits & 1u << k) ? a.v[k] : 0) }
inline Doubles keep(unsigned bits, const Doubles& a) { IEM_LANES(Doubles, 8, (bits & 1u << k) ? a.v[k] : 0) }
inline Doubles negate(unsigned bits, const Doubles& a) {
    IEM_LANES(Doubles, 8, (bits & 1u << k) ? -a.v[k] : a.v[k])
}
inline Floats larger(const Floats& a, const Floats& b) {
    IEM_LANES(Floats, 16, a.v[k] > b.v[k] ? a.v[k] : b.v[k])
}
inline float largest(const Floats& a) {
    float most = a.v[0];
    for (int k = 1; k < 16; ++k) most = most > a.v[k] ? most : a.v[k];
    return most;
}
inline unsigned above(const Floats& a, const Floats& b) {
    unsigned bits = 0;
    for (int k = 0; k < 16; ++k) bits |= static_cast<unsigned>(a.v[k] > b.v[k]) << k;
    return bits;
}

// a with the sign of b times its own; 0 where b is 0.
inline Floats signed_by(const Floats& a, const Floats& b) {
    IEM_LANES(Floats, 16, b.v[k] > 0 ? a.v[k] : b.v[k] < 0 ? -a.v[k] : 0)
}
inline Doubles signed_by(const Doubles& a, const Doubles& b) {
    IEM_LANES(Doubles, 8, b.v[k] > 0 ? a.v[k] : b.v[k] < 0 ? -a.v[k] : 0)
}

inline Doubles widen_low(const Floats& a) { IEM_LANES(Doubles, 8, a.v[k]) }
inline Doubles widen_high(const Floats& a) { IEM_LANES(Doubles, 8, a.v[k + 8]) }
inline Floats narrow(const Doubles& low, const Doubles& high) {
    IEM_LANES(Floats, 16, static_cast<float>(k < 8 ? low.v[k] : high.v[k - 8]))
}

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
inline float sum(Floats a) {
    for (int n = 8; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) a.v[k] += a.v[k + n];
    return a.v[0];
}
inline double sum(Doubles a) {
    for (int n = 4; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) a.v[k] += a.v[k + n];
    return a.v[0];
}

#undef IEM_LANES
