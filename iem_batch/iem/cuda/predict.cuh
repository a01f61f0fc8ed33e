// Every pixel predicted from the other side (Eq. 7), and what that sends back.
#pragma once

#include "blur.cuh"

namespace iem {

IEM_INLINE Bits present_at(const Block& b, int p) {
    return bit_of(b, plane(b, kPresent), p / b.shape.width, p % b.shape.width);
}
IEM_INLINE Bits mask_at(const Block& b, int p) {
    return bit_of(b, plane(b, kMask), p / b.shape.width, p % b.shape.width);
}

// The side that the pixel is not on, exactly 0 where it is not in the window.
IEM_INLINE Blurred load_other(const Block& b, int p) {
    Blurred blurred = {{0, 0, 0, 0}};
    if (present_at(b, p))
        for (int c = 0; c < kChannels; ++c) blurred.channel[c] = other(b)[c * pixels(b) + p];
    return blurred;
}

IEM_INLINE Blurred load_own(const Block& b, int p, const Blurred& other) {
    Blurred blurred;
    for (int c = 0; c < kChannels; ++c)
        blurred.channel[c] = full(b)[c * pixels(b) + p] - other.channel[c];
    return blurred;
}

IEM_INLINE Residual residual_of(const Block& b, int p, const Blurred& blurred, Bits from) {
    double u[kColours];
    unpack(pixel(b)[p], u);
    return residual(control(b).sides, u, blurred, from);
}

IEM_INLINE Difference difference_of(const Block& b, const Pixels& at, const Blurred& blurred,
                                    Bits from) {
    const auto channel = [&](int c) { return static_cast<float>(blurred.channel[c]); };
    return difference(control(b).sweep, channel, at.u, from);
}

IEM_INLINE Pixels load_pixel(const Block& b, int p) {
    Pixels at = {mask_at(b, p), 1, present_at(b, p), {}};
    unpack(pixel(b)[p], at.u);
    return at;
}

IEM_INLINE Sent predict_near(const Block& b, int p, const Pixels& at) {
    const Sweep& sweep = control(b).sweep;
    const Blurred other = load_other(b, p);
    const Difference d = difference_of(b, at, other, ~at.mask);
    float signs[kColours] = {d.colour[0], d.colour[1], d.colour[2]};
    if (close_call(sweep, d) & 1) {
        const Residual r = residual_of(b, p, other, ~at.mask);
        for (int c = 0; c < kColours; ++c) signs[c] = static_cast<float>(r.times_denominator[c]);
    }
    return send_near(sweep, at, d, signs);
}

// Two bits per colour: positive, negative.
IEM_INLINE int sign_code(float value) { return value > 0 ? 1 : value < 0 ? 2 : 0; }
IEM_INLINE float decoded(int code, float value) {
    return (code & 1 ? value : 0) - (code & 2 ? value : 0);
}

IEM_INLINE void predict_pixel(const Block& b, int p, Sums& sums) {
    const Pixels at = load_pixel(b, p);
    const Sent sent = at.present ? predict_near(b, p, at) : send_far(control(b).sweep, at);
    int codes = 0;
    for (int c = 0; c < kColours; ++c) codes |= sign_code(sent.u[c]) << (2 * c);
    r_source(b)[p] = sent.magnitude;
    v_source(b)[p] = sent.v;
    sign(b)[p] = static_cast<unsigned char>(codes);
    add(sums, at, sent);
}

// Sums of one thread, in float32 over at most kChain pixels.
IEM_INLINE void predict_pixels(const Block& b, int thread, double (&total)[kSums]) {
    for (int start = thread; start < pixels(b); start += kChain * b.shape.threads) {
        Sums sums = {{0, 0}, {0, 0, 0}, 0, 0};
        for (int k = 0; k < kChain; ++k) {
            const int p = start + k * b.shape.threads;
            if (p < pixels(b)) predict_pixel(b, p, sums);
        }
        for (int side = 0; side < 2; ++side) total[side] += sums.error[side];
        for (int c = 0; c < kColours; ++c) total[2 + c] += sums.u[c];
        total[5] += sums.v;
        total[6] += sums.magnitude;
    }
}

// [count][n] sums to [count][0], each by the same tree whatever the schedule.
IEM_CODE void sum_down(const Block& b, double* sums, int count, int n) {
    for (int left = n; left > 1;) {
        const int to = (left + 7) / 8;
        phase(b.shape.threads, [=](int thread) {
            for (int item = thread; item < count * to; item += b.shape.threads) {
                double* at = sums + item / to * n + item % to;
                double sum = at[0];
                for (int k = to; item % to + k < left; k += to) sum += at[k];
                at[0] = sum;
            }
        });
        left = to;
    }
}

// The sides' sums and what follows from them, for an iteration.
IEM_INLINE void take_sides(const Block& b) {
    Control& k = control(b);
    k.sides.count[1] = k.fore_count;
    k.sides.count[0] = pixels(b) - k.fore_count;
    for (int c = 0; c < kColours; ++c) {
        k.sides.total[c][1] = k.fore_total[c];
        k.sides.total[c][0] = k.image_total[c] - k.fore_total[c];
    }
    k.sweep = sweep_constants(k.sides, k.largest_u);
}

// The sources of the adjoint blur, and the sums over all pixels in `shared_doubles`.
IEM_CODE void predict(const Block& b) {
    const int threads = b.shape.threads;
    phase(threads, [=](int thread) {
        double total[kSums] = {0, 0, 0, 0, 0, 0, 0};
        predict_pixels(b, thread, total);
        for (int k = 0; k < kSums; ++k) shared_doubles(b)[k * threads + thread] = total[k];
    });
    sum_down(b, shared_doubles(b), kSums, threads);
}

IEM_INLINE Totals totals_of(const Block& b) {
    const double* sums = shared_doubles(b);
    const int n = b.shape.threads;
    return {{sums[0], sums[n]}, {sums[2 * n], sums[3 * n], sums[4 * n]}, sums[5 * n], sums[6 * n]};
}

}  // namespace iem
