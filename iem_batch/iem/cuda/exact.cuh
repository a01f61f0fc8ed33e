// The gradient in float64, for the few pixels whose sign float32 cannot tell, and the errors: the
// operations of the native engine in its order, so that every bit is the same.
#pragma once

#include "adjoint.cuh"

namespace iem {

IEM_INLINE Exact exact_pixel(const Block& b, int p) {
    double u[kColours];
    unpack(pixel(b)[p], u);
    return exact_terms(control(b).sides, u, load_other(b, p), mask_at(b, p), 1);
}

// The sum of 8 lanes, as the native engine's vectors are summed.
IEM_INLINE double sum_lanes(const double* lane) {
    const double a = lane[0] + lane[4], c = lane[1] + lane[5];
    const double d = lane[2] + lane[6], e = lane[3] + lane[7];
    return (a + d) + (c + e);
}

// control.chain[q]: sums over all pixels by lane; 0 and 1 are the errors of the sides, 2 to 4 U, 5 V.
IEM_CODE void sum_exactly(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread, [&](int, int, int p) {
            const Exact at = exact_pixel(b, p);
            double* to = scratch(b) + p;
            to[0] = at.error;
            for (int c = 0; c < kColours; ++c) to[(1 + c) * pixels(b)] = at.u[c];
            to[4 * pixels(b)] = at.v;
        });
    });
    phase(b.shape.threads, [=](int thread) {
        for (int n = thread; n < 6 * kLanes; n += b.shape.threads) {
            const int which = n / kLanes, lane = n % kLanes;
            const double* from = scratch(b) + (which > 1 ? which - 1 : 0) * pixels(b);
            double sum = 0;
            for (int row = 0; row < b.shape.height; ++row)
                for (int column = lane; column < b.shape.width; column += kLanes)
                    if (which > 1 || bit_of(b, plane(b, kMask), row, column) == (which == 1))
                        sum = sum + from[row * b.shape.width + column];
            control(b).chain[which][lane] = sum;
        }
    });
}

IEM_INLINE Totals exact_totals(const Block& b) {
    const auto& chain = control(b).chain;
    return {{sum_lanes(chain[0]), sum_lanes(chain[1])},
            {sum_lanes(chain[2]), sum_lanes(chain[3]), sum_lanes(chain[4])},
            sum_lanes(chain[5]), 0};
}

IEM_INLINE double exact_direct(const Block& b, int p) {
    const Bits fore = mask_at(b, p);
    const Residual own = residual_of(b, p, load_own(b, p, load_other(b, p)), fore);
    return exact_direct(control(b).sides, fore, exact_pixel(b, p).error, error_of(own));
}

IEM_INLINE int window_rows(const Block& b) {
    const int rows = 2 * b.shape.radius_y + 1;
    return rows < b.shape.height ? rows : b.shape.height;
}
IEM_INLINE int window_columns(const Block& b) {
    const int columns = 2 * b.shape.radius_x + 1;
    return columns < b.shape.width ? columns : b.shape.width;
}

// What pixel n of the window around p sends to p, before the weights.
IEM_INLINE double window_value(const Block& b, int p, int n) {
    const Range rows = rows_near(b, p / b.shape.width);
    const Range columns = columns_near(b, p % b.shape.width);
    const int row = rows.first + n / window_columns(b);
    const int column = columns.first + n % window_columns(b);
    if (row > rows.last || column > columns.last) return 0;
    double u[kColours];
    unpack(pixel(b)[p], u);
    return exact_value(exact_pixel(b, row * b.shape.width + column), u);
}

// One lane of the weighted sum over the window around p.
IEM_INLINE double window_lane(const Block& b, int p, int lane, const double* value) {
    const int row = p / b.shape.width, column = p % b.shape.width;
    const Range rows = rows_near(b, row), columns = columns_near(b, column);
    const int start = columns.first + (lane - columns.first % kLanes + kLanes) % kLanes;
    double total = 0;
    for (int i = rows.first; i <= rows.last; ++i) {
        const double* from = value + (i - rows.first) * window_columns(b) - columns.first;
        double line = 0;
        for (int j = start; j <= columns.last; j += kLanes)
            line = line + from[j] * (weight_x(b, column, j) * kGrid);
        total = total + line * (weight_y(b, row, i) / kGrid);
    }
    return total;
}

// control.window_sum: windows of `count` pixels of `uncertain`, from number `first` on.
IEM_CODE void sum_windows(const Block& b, int first, int count) {
    const int size = window_rows(b) * window_columns(b);
    phase(b.shape.threads, [=](int thread) {
        for (int n = thread; n < count * size; n += b.shape.threads)
            shared_doubles(b)[n] = window_value(b, uncertain(b)[first + n / size], n % size);
    });
    phase(b.shape.threads, [=](int thread) {
        for (int n = thread; n < count * kLanes; n += b.shape.threads)
            control(b).window_sum[n / kLanes][n % kLanes] =
                window_lane(b, uncertain(b)[first + n / kLanes], n % kLanes,
                            shared_doubles(b) + n / kLanes * size);
    });
}

}  // namespace iem
