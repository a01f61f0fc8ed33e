// Every pixel predicted from the other side (Eq. 7), and what that sends back through the inpainter.
#pragma once

#include "blur.cuh"

namespace iem {

// What one side holds around a pixel, on the grid.
struct Blurred {
    double channel[kChannels];
};

// The other side, exactly 0 where it is not in the window.
IEM_INLINE Blurred load_other(const Block& b, int row, int column, int p) {
    Blurred blurred = {{0, 0, 0, 0}};
    if (bit_of(b, plane(b, kPresent), row, column))
        for (int c = 0; c < kChannels; ++c) blurred.channel[c] = other(b)[c * pixels(b) + p];
    return blurred;
}

IEM_INLINE Blurred load_own(const Block& b, int p, const Blurred& other) {
    Blurred blurred;
    for (int c = 0; c < kChannels; ++c)
        blurred.channel[c] = full(b)[c * pixels(b) + p] - other.channel[c];
    return blurred;
}

struct Residual {
    double times_denominator[kColours], denominator;
};

// A side's prediction less the pixel. `near` is one rounding of an exact value and `mean` is exact,
// as in the native engine: a tie is a tie.
IEM_INLINE Residual residual(const Block& b, unsigned u, const Blurred& blurred, int side) {
    const double count = control(b).count[side];
    Residual r;
    r.denominator = blurred.channel[kColours] + count * kGridMeanWeight;
    for (int c = 0; c < kColours; ++c) {
        const double value = colour(u, c);
        const double near = exact_minus(blurred.channel[c], value, blurred.channel[kColours]);
        const double mean = exact_minus(control(b).total[side][c], value, count);
        r.times_denominator[c] = near + mean * kGridMeanWeight;
    }
    return r;
}

IEM_INLINE float error_of(const Residual& r) {
    const float inverse = 1.0f / static_cast<float>(r.denominator);
    float error = 0;
    for (int c = 0; c < kColours; ++c)
        error = error + magnitude(static_cast<float>(r.times_denominator[c]) * inverse);
    return error;
}

// One thread's sums in float32, over at most kChain pixels.
struct Sums {
    float error[2], u[kColours], v, magnitude;
};

// Two bits per colour: positive, negative.
IEM_INLINE int sign_code(double value) { return value > 0 ? 1 : value < 0 ? 2 : 0; }
IEM_INLINE float signed_by(int code, float value) { return (code & 1 ? value : 0) - (code & 2 ? value : 0); }

IEM_INLINE void predict_pixel(const Block& b, int row, int column, int p, Sums& sums) {
    const int fore = bit_of(b, plane(b, kMask), row, column);
    const unsigned u = pixel(b)[p];
    const Residual r = residual(b, u, load_other(b, row, column, p), 1 - fore);
    const float inverse = 1.0f / static_cast<float>(r.denominator);
    const float back = inverse * control(b).scale[fore];
    float error = 0, v = 0;
    int codes = 0;
    for (int c = 0; c < kColours; ++c) {
        const float difference = static_cast<float>(r.times_denominator[c]) * inverse;
        const int code = sign_code(r.times_denominator[c]);
        const float sent = signed_by(code, back);
        codes |= code << (2 * c);
        error = error + magnitude(difference);
        v = fused(sent, static_cast<float>(colour(u, c)) + difference, v);
        sums.u[c] = sums.u[c] + sent;
    }
    r_source(b)[p] = back;
    v_source(b)[p] = v;
    sign(b)[p] = static_cast<unsigned char>(codes);
    sums.error[0] = sums.error[0] + (fore ? 0 : error);
    sums.error[1] = sums.error[1] + (fore ? error : 0);
    sums.v = sums.v + v;
    sums.magnitude = sums.magnitude + magnitude(back);
}

IEM_INLINE void predict_pixels(const Block& b, int thread, double (&total)[kSums]) {
    for (int start = thread; start < pixels(b); start += kChain * b.shape.threads) {
        Sums sums = {{0, 0}, {0, 0, 0}, 0, 0};
        for (int k = 0; k < kChain; ++k) {
            const int p = start + k * b.shape.threads;
            if (p < pixels(b)) predict_pixel(b, p / b.shape.width, p % b.shape.width, p, sums);
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
    k.count[1] = k.fore_count;
    k.count[0] = pixels(b) - k.fore_count;
    for (int c = 0; c < kColours; ++c) {
        k.total[1][c] = k.fore_total[c];
        k.total[0][c] = k.image_total[c] - k.fore_total[c];
    }
    for (int side = 0; side < 2; ++side) {
        const double scale = (side ? -1 : 1) / k.count[side];
        k.scale[side] = static_cast<float>(scale * kGrid);
        k.per_count[side] = static_cast<float>(1 / k.count[side]);
    }
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
