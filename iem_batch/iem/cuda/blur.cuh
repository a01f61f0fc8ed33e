// The forward blur, in the very numbers of the native engine: whole fields in float64 in a fixed
// order, then put on the grid; what changes sides, exactly.
#pragma once

#include "bits.cuh"

namespace iem {

struct Range {
    int first, last;
};

IEM_INLINE Range near(int at, int radius, int size) {
    return {at > radius ? at - radius : 0, at + radius < size ? at + radius : size - 1};
}
IEM_INLINE Range rows_near(const Block& b, int row) {
    return near(row, b.shape.radius_y, b.shape.height);
}
IEM_INLINE Range columns_near(const Block& b, int column) {
    return near(column, b.shape.radius_x, b.shape.width);
}
IEM_INLINE double weight_y(const Block& b, int to, int from) {
    const int radius = b.shape.radius_y;
    return b.job.weight_y[to * (2 * radius + 1) + from - to + radius];
}
IEM_INLINE double weight_x(const Block& b, int to, int from) {
    const int radius = b.shape.radius_x;
    return b.job.weight_x[to * (2 * radius + 1) + from - to + radius];
}

// Across, into scratch: channels [first, end) of the image where `mask` has a bit. Pixels without
// one would add 0.
IEM_INLINE void blur_across(const Block& b, int row, int column, const unsigned* mask, int first,
                            int end) {
    double sum[kChannels] = {0, 0, 0, 0};
    const Range near = columns_near(b, column);
    for (int j = near.first; j <= near.last; ++j) {
        if (mask && !bit_of(b, mask, row, j)) continue;
        const double weight = weight_x(b, column, j);
        const unsigned u = pixel(b)[row * b.shape.width + j];
#pragma unroll
        for (int c = 0; c < kChannels; ++c)
            if (c >= first && c < end) sum[c] = sum[c] + weight * (c < kColours ? colour(u, c) : 1);
    }
#pragma unroll
    for (int c = 0; c < kChannels; ++c)
        if (c >= first && c < end)
            scratch(b)[c * pixels(b) + row * b.shape.width + column] = sum[c];
}

IEM_INLINE double blurred_down(const Block& b, int row, int column, int channel) {
    const double* rows = scratch(b) + channel * pixels(b) + column;
    const Range near = rows_near(b, row);
    double sum = 0;
    for (int i = near.first; i <= near.last; ++i)
        sum = sum + weight_y(b, row, i) * rows[i * b.shape.width];
    return field_on_grid(sum * kGrid);
}

// `full`, channels [first, end).
IEM_CODE void blur_whole(const Block& b, int first, int end) {
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread, [&](int row, int column, int) {
            blur_across(b, row, column, nullptr, first, end);
        });
    });
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread, [&](int row, int column, int p) {
            for (int c = first; c < end; ++c)
                full(b)[c * pixels(b) + p] = blurred_down(b, row, column, c);
        });
    });
}

// `other`, from the mask.
IEM_CODE void blur_sides(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread, [&](int row, int column, int) {
            blur_across(b, row, column, plane(b, kMask), 0, kChannels);
        });
    });
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread, [&](int row, int column, int p) {
            const bool fore = bit_of(b, plane(b, kMask), row, column);
            for (int c = 0; c < kChannels; ++c) {
                const int at = c * pixels(b) + p;
                const double foreground = blurred_down(b, row, column, c);
                other(b)[at] = fore ? full(b)[at] - foreground : foreground;
            }
        });
    });
}

// What the flips of one row add to the blurred foreground at a pixel.
IEM_INLINE void add_flips(const Block& b, int i, int row, int column, double (&sum)[kChannels]) {
    const unsigned *flips = plane(b, kFlips), *m = plane(b, kMask);
    const Range near = columns_near(b, column);
    const double down = weight_y(b, i, row);
    for (int w = near.first / 32; w <= near.last / 32; ++w) {
        unsigned left = flips[i * words(b) + w];
        if (w == near.first / 32) left &= ~0u << (near.first % 32);
        if (w == near.last / 32 && near.last % 32 < 31) left &= (2u << (near.last % 32)) - 1;
        for (; left; left &= left - 1) {
            const int j = w * 32 + lowest_bit(left);
            const double tap = on_grid(down * (weight_x(b, j, column) * kGrid));
            const double amount = bit_of(b, m, i, j) ? tap : -tap;
            const unsigned u = pixel(b)[i * b.shape.width + j];
            for (int c = 0; c < kColours; ++c) sum[c] = exact_fused(amount, colour(u, c), sum[c]);
            sum[kColours] = sum[kColours] + amount;
        }
    }
}

// Bring `other` at a pixel up to date. Every step is exact: what a flip adds are whole numbers
// whose sums stay below 2^53, so their order makes no difference.
IEM_INLINE void follow_pixel(const Block& b, int row, int column, int p) {
    if (!(down_word(b, plane(b, kNearFore), row, column / 32, b.shape.radius_y) >> (column % 32) & 1))
        return;
    double sum[kChannels] = {0, 0, 0, 0};
    const Range near = rows_near(b, row);
    for (int i = near.first; i <= near.last; ++i)
        if (flip_rows(b)[i / 32] >> (i % 32) & 1) add_flips(b, i, row, column, sum);
    const bool flipped = bit_of(b, plane(b, kFlips), row, column);
    const bool fore = bit_of(b, plane(b, kMask), row, column);
    for (int c = 0; c < kChannels; ++c) {
        const int at = c * pixels(b) + p;
        const double before = flipped ? full(b)[at] - other(b)[at] : other(b)[at];
        other(b)[at] = before + (fore ? -sum[c] : sum[c]);
    }
}

// Follow the flips in kFlips, which kMask has already taken.
IEM_CODE void follow(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            const unsigned* flips = plane(b, kFlips);
            plane(b, kNearFore)[row * words(b) + word] = dilated_word(
                word, b.shape.radius_x, [&](int w) { return word_of(b, flips, row, w); });
        });
    });
    phase(b.shape.threads, [=](int thread) {
        on_pixels(b, thread,
                  [&](int row, int column, int p) { follow_pixel(b, row, column, p); });
    });
}

// One flipped pixel in the sums over the sides.
IEM_INLINE void count_flip(const Block& b, int row, int column, bool fore) {
    const unsigned u = pixel(b)[row * b.shape.width + column];
    for (int c = 0; c < kColours; ++c)
        add_to(&control(b).fore_total[c], fore ? colour(u, c) : -colour(u, c));
    add_to(&control(b).fore_count, fore ? 1 : -1);
}

// Make `next` the mask: kMask, kFlips, the rows of these, and the sums over the sides.
IEM_CODE void take_mask(const Block& b, const unsigned* next) {
    phase(b.shape.threads, [=](int thread) {
        for (int k = thread; k < flip_row_words(b); k += b.shape.threads) flip_rows(b)[k] = 0;
    });
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            const int at = row * words(b) + word;
            const unsigned m = next[at], flips = m ^ plane(b, kMask)[at];
            plane(b, kMask)[at] = m;
            plane(b, kFlips)[at] = flips;
            if (flips) set_bits(flip_rows(b) + row / 32, 1u << (row % 32));
            for (unsigned left = flips; left; left &= left - 1) {
                const int k = lowest_bit(left);
                count_flip(b, row, word * 32 + k, m >> k & 1);
            }
        });
    });
}

}  // namespace iem
