// The adjoint blur of U and V in float32: vertically where a boundary pixel needs it, then
// horizontally at the boundary only; and the bound of its error.
#pragma once

#include "predict.cuh"

namespace iem {

// The largest sum of |R| down a column of a tile, where the other side is present.
IEM_INLINE float tile_magnitude(const Block& b, int tile, int block) {
    float largest = 0;
    for (int j = block * kTileColumns; j < (block + 1) * kTileColumns && j < b.shape.width; ++j) {
        float sum = 0;
        for (int i = tile * kTileRows; i < (tile + 1) * kTileRows && i < b.shape.height; ++i)
            if (bit_of(b, plane(b, kPresent), i, j))
                sum = sum + r_source(b)[i * b.shape.width + j];
        largest = sum > largest ? sum : largest;
    }
    return largest;
}

// Bound the blurred magnitude in each tile: its rows by the largest tap between two tiles, its
// columns by the largest column.
IEM_CODE void bound_magnitude(const Block& b) {
    const int count = tiles(b) * blocks(b), threads = b.shape.threads;
    phase(threads, [=](int thread) {
        for (int n = thread; n < count; n += threads)
            bounds(b, 0)[n] = tile_magnitude(b, n / blocks(b), n % blocks(b));
    });
    phase(threads, [=](int thread) {
        const int reach = (b.shape.radius_y + kTileRows - 1) / kTileRows;
        for (int n = thread; n < count; n += threads) {
            const int tile = n / blocks(b);
            const Range from = near(tile, reach, tiles(b));
            float sum = 0;
            for (int k = from.first; k <= from.last; ++k)
                sum = sum + b.job.widest_y[tile * tiles(b) + k] *
                                bounds(b, 0)[k * blocks(b) + n % blocks(b)];
            bounds(b, 1)[n] = sum;
        }
    });
    phase(threads, [=](int thread) {
        const int reach = (b.shape.radius_x + kTileColumns - 1) / kTileColumns;
        for (int n = thread; n < count; n += threads) {
            const int block = n % blocks(b);
            const Range from = near(block, reach, blocks(b));
            float sum = 0;
            for (int k = from.first; k <= from.last; ++k)
                sum = sum + b.job.widest_x[block * blocks(b) + k] * bounds(b, 1)[n - block + k];
            bounds(b, 2)[n] = sum;
        }
    });
}

struct Source {
    float channel[kChannels];
};

IEM_INLINE Source load_source(const Block& b, int p) {
    const float r = r_source(b)[p];
    const int codes = sign(b)[p];
    return {{decoded(codes, r), decoded(codes >> 2, r), decoded(codes >> 4, r), v_source(b)[p]}};
}

// One column of a strip of rows: each source pixel is read once.
IEM_INLINE void spread_column(const Block& b, int top, int column) {
    const int radius = b.shape.radius_y, row_taps = 2 * radius + 1 + 2 * (kStripRows - 1);
    float sum[kStripRows][kChannels] = {};
    const int first = top > radius ? top - radius : 0;
    const int end = top + kStripRows + radius < b.shape.height ? top + kStripRows + radius
                                                               : b.shape.height;
    for (int i = first; i < end; ++i) {
        const Source source = load_source(b, i * b.shape.width + column);
        // Row top + k takes row i with the tap at i - (top + k) + radius, zeros around.
        const float* tap = b.job.tap_y + top * row_taps + i - top + radius + kStripRows - 1;
#pragma unroll
        for (int k = 0; k < kStripRows; ++k) {
            const float weight = tap[k * (row_taps - 1)];
#pragma unroll
            for (int c = 0; c < kChannels; ++c)
                sum[k][c] = fused(weight, source.channel[c], sum[k][c]);
        }
    }
    float* to = spread(b) + top % b.shape.band_rows * kChannels * b.shape.width + column;
#pragma unroll
    for (int k = 0; k < kStripRows; ++k)
#pragma unroll
        for (int c = 0; c < kChannels; ++c) to[(k * kChannels + c) * b.shape.width] = sum[k][c];
}

IEM_CODE void spread_band(const Block& b, int band) {
    phase(b.shape.threads, [=](int thread) {
        const int top = band * b.shape.band_rows;
        for (int n = thread; n < b.shape.band_rows / kStripRows * b.shape.width;
             n += b.shape.threads) {
            const int strip = top / kStripRows + n / b.shape.width, column = n % b.shape.width;
            if (strip < strips(b) &&
                reach(b)[strip * words(b) + column / 32] >> (column % 32) & 1)
                spread_column(b, strip * kStripRows, column);
        }
    });
}

// sum_c u_c G(U_c) - G(V) at one pixel.
IEM_INLINE float gather(const Block& b, int row, int column, unsigned u) {
    const float red = colour(u, 0), green = colour(u, 1), blue = colour(u, 2);
    const int radius = b.shape.radius_x, next = b.shape.width;
    const float* line = spread(b) + row % b.shape.band_rows * kChannels * next;
    const float* tap = b.job.tap_x + column * ((2 * radius + 16) / 16 * 16) + radius - column;
    const Range near = columns_near(b, column);
    float total = 0;
    for (int j = near.first; j <= near.last; ++j) {
        float value = -line[3 * next + j];
        value = fused(red, line[j], value);
        value = fused(green, line[next + j], value);
        value = fused(blue, line[2 * next + j], value);
        total = fused(value, tap[j], total);
    }
    return total;
}

}  // namespace iem
