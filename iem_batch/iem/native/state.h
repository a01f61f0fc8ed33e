// The working memory of one thread, shared by the code of every instruction set.
//
// A block is 16 pixels of a row. Names follow the paper: m is the mask, u the image as integers
// about its most common value, G the blur. "Other" is the side of the mask a pixel is not on:
// what predicts it in Eq. 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared/numerics.h"

namespace iem {

constexpr int kLanes = 16;
constexpr int kTileRows = 4;   // rows of the adjoint blur done at once
constexpr int kTapMargin = 7; // zeros on either side of a row of `tap_y`
constexpr int kBandRows = 16;  // rows of it done while their sources are in the cache

struct Shape {
    int height, width;
    int blocks;    // blocks per row; the last may be partly outside
    int tiles;     // groups of kTileRows rows; the last may be partly outside
    int words;     // 64-bit words per row of bits
    int bit_rows;  // rows of a bit plane: the image and `bit_top` rows of zeros above and below
    int bit_top;   // radius_y, at least 1
    int radius_y, radius_x;
};

// One bit per pixel as [word][row]: loops over rows are vector loops. A word of zeros on each side.
struct BitPlane {
    std::uint64_t* data;
};

struct State {
    Shape shape;
    // Strides of one row, in elements; chosen so that rows do not alias in the cache.
    int row_u, row_field, row_single, row_plain, row_spread;

    // Blur weights in the layouts their loops want.
    const float* tap_y;         // [tiles * kTileRows][row_tap_y]: kTapMargin zeros either side
    const double* weight_y;     // [height][2 radius_y + 1]
    const double* grid_x;       // [width][row_grid_x]: times kGrid, from an 8-pixel boundary on
    const float* tap_x;         // [width][row_tap_x]: from pixel - radius_x on, then zeros
    const float* across_x;      // [2 radius_x + 1][blocks * 16]: weight(j, j + d)
    const double* across_grid;  // the same in float64
    int row_tap_y, row_grid_x, row_tap_x;
    int spread_left;  // pixels of zeros before a row of `spread`

    float* u;           // [height][blocks][3][16]
    double* full;       // [height][2 blocks][4][8]: G(u) and G(1), on the grid
    double* other;      // [height][2 blocks][4][8]: G(u m) and G(m) of the other side, on the grid
    float* other_single;  // [height][blocks][4][16]: `other` in single precision
    float* source;      // [height][blocks][4][16]: what the adjoint blur spreads, U and V; radius_y
                        // rows of zeros above and below
    float* direct;      // [height][blocks * 16]: direct part of the gradient, at the boundary
    float* spread;      // [kBandRows][4][row_spread]: rows blurred vertically
    float* magnitude;   // [tiles][blocks]: largest sum of |U| down a column, where the other side is present
    float* bound;       // [tiles][blocks]: upper bound of that, blurred
    float* down;        // [blocks]: one row of it, blurred vertically
    const float* widest_y;    // [tiles][tiles]: the largest tap between rows of two tiles
    float edge_tap;     // the largest part of a pixel whose other side is absent
    const float* widest_x;    // [blocks][blocks]: the largest sum of taps from one column to a block
    std::uint8_t* needed;  // [tiles of a band][blocks]: where `spread` is wanted
    double* line;       // [2 radius_x + blocks * 16]: one padded row
    double* rows;       // [height][blocks * 16]: a field blurred horizontally

    std::uint64_t* column;  // [bit_rows]: a word of each
    BitPlane mask, next, boundary, present, scratch_a, scratch_b;
    std::uint32_t* uncertain;  // pixels whose sign floats cannot tell
    int num_uncertain;

    Sides sides;
    float largest_u[kColours];  // largest |u| of each colour
    double diversity;  // 3 lambda / 127.5: the objective is kept in units of 127.5 / 3
    bool boundary_only, smoothing;
};

// Internal linkage: the code of one instruction set must not serve another.
static inline std::uint64_t* bit_word(const State& s, BitPlane plane, int word, int row) {
    return plane.data + static_cast<std::ptrdiff_t>(word) * s.shape.bit_rows + s.shape.bit_top + row;
}

static inline bool bit(const State& s, BitPlane plane, int row, int column) {
    return *bit_word(s, plane, column / 64, row) >> (column % 64) & 1;
}

static inline unsigned block_bits(const State& s, BitPlane plane, int row, int block) {
    return *bit_word(s, plane, block / 4, row) >> (block % 4 * kLanes) & 0xffff;
}

static inline unsigned octet_bits(const State& s, BitPlane plane, int row, int octet) {
    return *bit_word(s, plane, octet / 8, row) >> (octet % 8 * 8) & 0xff;
}

// Where a block lies in the [height][blocks][4][16] arrays of floats.
static inline std::ptrdiff_t single_at(const State& s, int row, int block) {
    return static_cast<std::ptrdiff_t>(row) * s.row_single + block * kChannels * kLanes;
}

// The pixels of a block that are inside the image.
static inline unsigned inside_bits(const State& s, int block) {
    const int left = s.shape.width - block * kLanes;
    return left >= kLanes ? 0xffffu : (1u << left) - 1;
}

}  // namespace iem
