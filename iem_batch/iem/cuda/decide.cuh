// Which way each boundary pixel goes: the sign of the gradient, certain or computed again.
#pragma once

#include "exact.cuh"

namespace iem {

constexpr float kUnit = 5.9604645e-8f;  // 2^-24, half a unit in the last place of a float

IEM_INLINE Linear linear_part(const Block& b, const Totals& totals) {
    const Control& k = control(b);
    const double back = k.count[0], fore = k.count[1];
    Linear linear;
    linear.constant = totals.error[0] / (back * back) - totals.error[1] / (fore * fore) -
                      kMeanWeight * totals.v;
    for (int c = 0; c < kColours; ++c) {
        const double mean = k.total[1][c] / fore, other = k.total[0][c] / back;
        linear.constant += b.job.diversity * (other * other - mean * mean);
        linear.slope[c] = kMeanWeight * totals.u[c] - 2 * b.job.diversity * (other - mean);
    }
    return linear;
}

IEM_INLINE double linear_value(const Linear& linear, unsigned u) {
    double value = linear.constant;
    for (int c = 0; c < kColours; ++c) value += linear.slope[c] * colour(u, c);
    return value;
}

// As in the native engine, but for the sums: kChain float32 terms each, and two conversions.
IEM_INLINE Bound error_bound(const Block& b, const Totals& totals, const Linear& linear) {
    const double back = control(b).count[0], fore = control(b).count[1];
    double largest = 0, size = magnitude(linear.constant);
    for (int c = 0; c < kColours; ++c) {
        largest += control(b).largest_u[c];
        size += magnitude(linear.slope[c]) * control(b).largest_u[c];
    }
    const double sums = totals.error[0] / (back * back) + totals.error[1] / (fore * fore) +
                        2 * kMeanWeight * totals.magnitude * largest;
    const double direct = 2 * largest * (1 / back + 1 / fore);
    const int taps = 2 * b.shape.radius_y + 1 + 2 * b.shape.radius_x + 1;
    Bound bound;
    bound.sums = static_cast<float>(kUnit * ((kChain + 4) * sums + 10 * direct));
    bound.constant = bound.sums + static_cast<float>(kUnit * (8 * size + 32 * direct));
    bound.window = kUnit * static_cast<float>(taps + 40);
    bound.far[1] = static_cast<float>(1 / (back * fore * kMeanWeight));
    bound.far[0] = b.shape.boundary_only ? bound.far[1] * b.job.edge_tap : bound.far[1];
    bound.largest_u = static_cast<float>(largest);
    return bound;
}

IEM_INLINE void prepare_decision(const Block& b) {
    Control& k = control(b);
    const Totals totals = totals_of(b);
    k.linear = linear_part(b, totals);
    k.bound = error_bound(b, totals, k.linear);
    k.constant = static_cast<float>(k.linear.constant);
    for (int c = 0; c < kColours; ++c) k.slope[c] = static_cast<float>(k.linear.slope[c]);
    k.uncertain = k.need_exact = k.have_exact = 0;
}

// The direct part of the gradient: the error that a pixel has and the one it would have.
IEM_INLINE float direct_part(const Block& b, int row, int column, int p, unsigned u) {
    const int fore = bit_of(b, plane(b, kMask), row, column);
    const Blurred away = load_other(b, row, column, p);
    const float other = error_of(residual(b, u, away, 1 - fore));
    const float own = error_of(residual(b, u, load_own(b, p, away), fore));
    const float *per = control(b).per_count;
    return fore ? other * per[1] - own * per[0] : own * per[1] - other * per[0];
}

IEM_INLINE bool on_frame(const Block& b, int row, int column) {
    return row == 0 || column == 0 || row == b.shape.height - 1 || column == b.shape.width - 1;
}

IEM_INLINE void put(const Block& b, int row, int column, double value) {
    unsigned* at = plane(b, kNext) + row * words(b) + column / 32;
    if (value > 0) set_bits(at, 1u << (column % 32));
    if (value < 0) clear_bits(at, 1u << (column % 32));
}

IEM_INLINE void decide_pixel(const Block& b, int p) {
    const int row = p / b.shape.width, column = p % b.shape.width;
    const Control& k = control(b);
    const unsigned u = pixel(b)[p];
    float value = gather(b, row, column, u) + direct_part(b, row, column, p, u);
    float rest = k.constant, size = k.bound.largest_u;
    for (int c = 0; c < kColours; ++c) {
        const float level = colour(u, c);
        rest = fused(k.slope[c], level, rest);
        size = size + magnitude(level);
    }
    value = value + rest;
    const float blurred = bounds(b, 2)[row / kTileRows * blocks(b) + column / kTileColumns] +
                          k.bound.far[on_frame(b, row, column)];
    const float bound = fused(k.bound.window * blurred, size, k.bound.constant);
    if (magnitude(value) > bound) put(b, row, column, value);
    else uncertain(b)[add_to(&control(b).uncertain, 1)] = p;
}

// Float64 of the windows; and whether that leaves doubt because of the sums over the image.
IEM_INLINE void settle_window(const Block& b, int p, int slot) {
    Control& k = control(b);
    const int row = p / b.shape.width, column = p % b.shape.width;
    const double local = exact_direct(b, row, column) + sum_lanes(k.window_sum[slot]);
    const double value = local + linear_value(k.linear, pixel(b)[p]);
    k.window_value[slot] = local;
    if (magnitude(value) > 2 * k.bound.sums) put(b, row, column, value);
    else add_to(&k.need_exact, 1);
}

IEM_INLINE void settle_exactly(const Block& b, int p, int slot) {
    Control& k = control(b);
    const double local = k.window_value[slot], u = linear_value(k.linear, pixel(b)[p]);
    if (magnitude(local + u) > 2 * k.bound.sums) return;
    put(b, p / b.shape.width, p % b.shape.width,
        local + linear_value(k.exact_linear, pixel(b)[p]));
}

IEM_CODE void decide_exactly(const Block& b, int first, int count) {
    if (!agreed(&control(b).have_exact)) {
        sum_exactly(b);
        phase(b.shape.threads, [=](int thread) {
            if (thread != 0) return;
            control(b).exact_linear = linear_part(b, exact_totals(b));
            control(b).have_exact = 1;
        });
    }
    phase(b.shape.threads, [=](int thread) {
        for (int n = thread; n < count; n += b.shape.threads)
            settle_exactly(b, uncertain(b)[first + n], n);
        if (thread == 0) control(b).need_exact = 0;
    });
}

// Float64 where the pixel's window decides; all of float64 where that is not enough.
IEM_CODE void decide_uncertain(const Block& b) {
    const int all = agreed(&control(b).uncertain);
    for (int first = 0; first < all; first += b.shape.windows) {
        const int count = all - first < b.shape.windows ? all - first : b.shape.windows;
        sum_windows(b, first, count);
        phase(b.shape.threads, [=](int thread) {
            for (int n = thread; n < count; n += b.shape.threads)
                settle_window(b, uncertain(b)[first + n], n);
        });
        if (agreed(&control(b).need_exact)) decide_exactly(b, first, count);
    }
}

// One iteration: kMask to kOpen.
IEM_CODE void ascend(const Block& b) {
    const int threads = b.shape.threads;
    phase(threads, [=](int thread) {
        if (thread == 0) take_sides(b);
    });
    find_edges(b);
    predict(b);
    bound_magnitude(b);
    phase(threads, [=](int thread) {
        if (thread == 0) prepare_decision(b);
    });
    for (int band = 0; band < bands(b); ++band) {
        spread_band(b, band);
        phase(threads, [=](int thread) {
            const int* list = edges(b) + band * b.shape.band_rows * b.shape.width;
            for (int n = thread; n < edge_counts(b)[band]; n += threads) decide_pixel(b, list[n]);
        });
    }
    decide_uncertain(b);
    phase(threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            const unsigned* next = plane(b, kNext);
            const auto at = [&](int i, int w) { return word_of(b, next, i, w); };
            plane(b, kOpen)[row * words(b) + word] =
                b.shape.smoothing ? smooth_word(row, word, at) & inside_word(b, word)
                                  : next[row * words(b) + word];
        });
    });
}

}  // namespace iem
