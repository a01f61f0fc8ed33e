// 16 floats and 8 doubles in parts: vectors of the compiler, F and D, of which the including file says
// the size and what the compiler has no operators for. A `bits` argument has one bit per lane.

constexpr int kParts = 64 / sizeof(F);
constexpr int kFloatsInPart = 16 / kParts, kDoublesInPart = 8 / kParts;

typedef int FloatBits __attribute__((vector_size(sizeof(F))));
typedef long long DoubleBits __attribute__((vector_size(sizeof(D))));
typedef F LooseFloats __attribute__((aligned(4), may_alias));
typedef D LooseDoubles __attribute__((aligned(8), may_alias));

template <typename V>
struct Parts {
    V part[kParts];
};
using Floats = Parts<F>;
using Doubles = Parts<D>;

#define IEM_PARTS(V, expression) \
    Parts<V> r;                  \
    for (int k = 0; k < kParts; ++k) r.part[k] = expression; \
    return r;

inline Floats load(const float* p) { IEM_PARTS(F, reinterpret_cast<const LooseFloats*>(p)[k]) }
inline Doubles load(const double* p) { IEM_PARTS(D, reinterpret_cast<const LooseDoubles*>(p)[k]) }
inline void store(float* p, const Floats& a) {
    for (int k = 0; k < kParts; ++k) reinterpret_cast<LooseFloats*>(p)[k] = a.part[k];
}
inline void store(double* p, const Doubles& a) {
    for (int k = 0; k < kParts; ++k) reinterpret_cast<LooseDoubles*>(p)[k] = a.part[k];
}
inline Floats fill(float a) { IEM_PARTS(F, a - F{}) }
inline Doubles fill(double a) { IEM_PARTS(D, a - D{}) }

template <typename V>
inline Parts<V> operator+(const Parts<V>& a, const Parts<V>& b) { IEM_PARTS(V, a.part[k] + b.part[k]) }
template <typename V>
inline Parts<V> operator-(const Parts<V>& a, const Parts<V>& b) { IEM_PARTS(V, a.part[k] - b.part[k]) }
template <typename V>
inline Parts<V> operator*(const Parts<V>& a, const Parts<V>& b) { IEM_PARTS(V, a.part[k] * b.part[k]) }
template <typename V>
inline Parts<V> operator/(const Parts<V>& a, const Parts<V>& b) { IEM_PARTS(V, a.part[k] / b.part[k]) }
// a * b + c: for floats that are certified, and doubles where all three steps are exact.
inline Floats fused(const Floats& a, const Floats& b, const Floats& c) {
    IEM_PARTS(F, fused_part(a.part[k], b.part[k], c.part[k]))
}
inline Doubles exact_fused(const Doubles& a, const Doubles& b, const Doubles& c) {
    IEM_PARTS(D, fused_part(a.part[k], b.part[k], c.part[k]))
}
inline Floats less_product(const Floats& c, const Floats& a, const Floats& b) {
    IEM_PARTS(F, fused_part(-a.part[k], b.part[k], c.part[k]))
}
inline Doubles exact_minus(const Doubles& c, const Doubles& a, const Doubles& b) {
    IEM_PARTS(D, fused_part(-a.part[k], b.part[k], c.part[k]))
}

// All ones in the lanes of one part that have a bit.
inline FloatBits lanes(unsigned bits, F, int part) {
    FloatBits each;
    for (int k = 0; k < kFloatsInPart; ++k) each[k] = 1 << k;
    return ((static_cast<int>(bits >> part * kFloatsInPart) & each) == each);
}
inline DoubleBits lanes(unsigned bits, D, int part) {
    DoubleBits each;
    for (int k = 0; k < kDoublesInPart; ++k) each[k] = 1 << k;
    return ((static_cast<long long>(bits >> part * kDoublesInPart) & each) == each);
}
template <typename V>
inline Parts<V> select(unsigned bits, const Parts<V>& a, const Parts<V>& b) {
    IEM_PARTS(V, lanes(bits, V{}, k) ? a.part[k] : b.part[k])
}
template <typename V>
inline Parts<V> keep(unsigned bits, const Parts<V>& a) {
    using Mask = decltype(lanes(bits, V{}, 0));
    IEM_PARTS(V, (V)((Mask)a.part[k] & lanes(bits, V{}, k)))
}
template <typename V>
inline Parts<V> negate(unsigned bits, const Parts<V>& a) {
    using Mask = decltype(lanes(bits, V{}, 0));
    IEM_PARTS(V, (V)((Mask)a.part[k] ^ ((Mask)-V{} & lanes(bits, V{}, k))))
}
template <typename V>
inline Parts<V> abs(const Parts<V>& a) {
    using Mask = decltype(lanes(0, V{}, 0));
    IEM_PARTS(V, (V)((Mask)a.part[k] & ~(Mask)-V{}))
}
// a with the sign of b times its own; 0 where b is 0.
template <typename V>
inline Parts<V> signed_by(const Parts<V>& a, const Parts<V>& b) {
    using Mask = decltype(lanes(0, V{}, 0));
    IEM_PARTS(V, (V)((b.part[k] != V{}) & ((Mask)a.part[k] ^ ((Mask)b.part[k] & (Mask)-V{}))))
}
inline Floats larger(const Floats& a, const Floats& b) {
    IEM_PARTS(F, a.part[k] > b.part[k] ? a.part[k] : b.part[k])
}
inline unsigned above(const Floats& a, const Floats& b) {
    unsigned bits = 0;
    for (int k = 0; k < kParts; ++k) bits |= sign_bits(a.part[k] > b.part[k]) << k * kFloatsInPart;
    return bits;
}

inline Doubles widen_low(const Floats& a) { IEM_PARTS(D, widen_half(a.part[k / 2], k % 2)) }
inline Doubles widen_high(const Floats& a) {
    IEM_PARTS(D, widen_half(a.part[(k + kParts) / 2], k % 2))
}
inline Floats narrow(const Doubles& low, const Doubles& high) {
    IEM_PARTS(F, k < kParts / 2 ? narrow_part(low.part[2 * k], low.part[2 * k + 1])
                                : narrow_part(high.part[2 * k - kParts], high.part[2 * k - kParts + 1]))
}
// Rounded to single precision.
inline void store_single(float* p, const Doubles& a) {
    for (int k = 0; k < kParts; k += 2)
        reinterpret_cast<LooseFloats*>(p)[k / 2] = narrow_part(a.part[k], a.part[k + 1]);
}

#undef IEM_PARTS

// Sums as ((lanes 0-7) + (lanes 8-15)), then halves of that: the same tree in every file.
template <typename V>
inline V sum_of_parts(Parts<V> a) {
    for (int n = kParts / 2; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) a.part[k] = a.part[k] + a.part[k + n];
    return a.part[0];
}
inline float sum(const Floats& a) { return sum_part(sum_of_parts(a)); }
inline double sum(const Doubles& a) { return sum_part(sum_of_parts(a)); }
inline float largest(Floats a) {
    for (int k = 1; k < kParts; ++k) a.part[0] = a.part[0] > a.part[k] ? a.part[0] : a.part[k];
    return largest_in_part(a.part[0]);
}
