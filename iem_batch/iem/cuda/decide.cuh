// Which way each boundary pixel goes: the sign of the gradient, certain or computed again.
#pragma once

#include "exact.cuh"

namespace iem {

IEM_INLINE void decide_how(const Block& b) {
    Control& k = control(b);
    // Sums have kChain terms in float32, and are converted twice.
    const Doubt doubt = {kChain + 4, 2 * (b.shape.radius_y + b.shape.radius_x + 1),
                         b.shape.boundary_only ? b.job.edge_tap : 1};
    k.decision =
        prepare_decision(k.sides, b.job.diversity, totals_of(b), k.largest_u, doubt);
    k.uncertain = k.need_exact = k.have_exact = 0;
}

IEM_INLINE float direct_of(const Block& b, int p, const Pixels& at) {
    const Blurred other = load_other(b, p);
    const Difference away = difference_of(b, at, other, ~at.mask);
    const Difference home = difference_of(b, at, load_own(b, p, other), at.mask);
    return direct_part(control(b).sweep, at.mask, error_of(away), error_of(home));
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
    const Pixels at = load_pixel(b, p);
    const float local = gather(b, row, column, pixel(b)[p]) + direct_of(b, p, at);
    const Decision& decision = control(b).decision;
    const float blurred = bounds(b, 2)[row / kTileRows * blocks(b) + column / kTileColumns];
    const float far = decision.bound.far[on_frame(b, row, column)];
    const Verdict certain = decide(decision, local, blurred + far, at.u);
    if (certain.fore | certain.back) put(b, row, column, certain.fore ? 1 : -1);
    else uncertain(b)[add_to(&control(b).uncertain, 1)] = p;
}

IEM_INLINE double linear_at(const Block& b, const Linear& linear, int p) {
    double u[kColours];
    unpack(pixel(b)[p], u);
    return linear_value(linear, u);
}

// Float64 of the windows; and whether that leaves doubt because of the sums over the image.
IEM_INLINE void settle_window(const Block& b, int p, int slot) {
    Control& k = control(b);
    const double local = exact_direct(b, p) + sum_lanes(k.window_sum[slot]);
    const double value = local + linear_at(b, k.decision.linear, p);
    k.window_value[slot] = local;
    if (doubtful(k.decision, value)) add_to(&k.need_exact, 1);
    else put(b, p / b.shape.width, p % b.shape.width, value);
}

IEM_INLINE void settle_exactly(const Block& b, int p, int slot) {
    Control& k = control(b);
    const double local = k.window_value[slot];
    if (doubtful(k.decision, local + linear_at(b, k.decision.linear, p)))
        put(b, p / b.shape.width, p % b.shape.width, local + linear_at(b, k.exact_linear, p));
}

IEM_CODE void decide_exactly(const Block& b, int first, int count) {
    if (!agreed(&control(b).have_exact)) {
        sum_exactly(b);
        phase(b.shape.threads, [=](int thread) {
            if (thread != 0) return;
            control(b).exact_linear = linear_part(control(b).sides, b.job.diversity, exact_totals(b));
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
        if (thread == 0) decide_how(b);
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
