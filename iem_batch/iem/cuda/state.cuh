// The memory of one block. Names follow the paper and the native engine: m is the mask, u the image
// as integers about its most common value, G the blur; "other" is the side a pixel is not on.
#pragma once

#include "platform.cuh"

namespace iem {

constexpr int kTileRows = 4;    // a tile of the error bound is 4 rows by 16 columns
constexpr int kTileColumns = 16;
constexpr int kStripRows = 8;   // rows of one column that a thread blurs at once
constexpr int kSums = 7;        // of `Totals`
constexpr int kLanes = 8;       // float64 sums run over 8 interleaved columns, as in the native engine
constexpr int kMaxWindows = 32; // windows done at once in float64
constexpr int kChain = 32;      // float32 terms of a sum before it goes on in float64

// What decides the code: on a GPU it is compiled for one set of values, which layout.py writes.
// place_* says where an array lies: an offset in shared memory, or the complement of one in the
// block's part of the workspace.
#define IEM_SHAPE_FIELDS(FIELD)                                                                  \
    FIELD(threads) FIELD(height) FIELD(width) FIELD(radius_y) FIELD(radius_x) FIELD(band_rows)   \
    FIELD(windows) FIELD(smoothing) FIELD(boundary_only)                                         \
    FIELD(place_control) FIELD(place_planes) FIELD(place_spread) FIELD(place_bounds)             \
    FIELD(place_sign) FIELD(place_v) FIELD(place_r) FIELD(place_edges) FIELD(place_uncertain)    \
    FIELD(place_pixel) FIELD(place_other) FIELD(place_full) FIELD(place_scratch)                 \
    FIELD(place_hashes) FIELD(place_history)

#if defined(IEM_threads)
struct Shape {
#define IEM_FIELD(name) static constexpr int name = IEM_##name;
    IEM_SHAPE_FIELDS(IEM_FIELD)
#undef IEM_FIELD
};
#else
struct Shape {
#define IEM_FIELD(name) int name;
    IEM_SHAPE_FIELDS(IEM_FIELD)
#undef IEM_FIELD
};
#endif

// B images of H x W pixels, S first masks each, and the blur's weights. Strides are in bytes.
struct Job {
    const unsigned char* image;  // [B, H, W, 3], contiguous
    const unsigned char* first;  // [B, S, H, W], the last two contiguous
    long long first_stride_b, first_stride_s;
    unsigned char* mask;         // [B, S, H, W], contiguous
    double* error_foreground;    // [B, S]
    double* error_background;    // [B, S]
    int* iterations;             // [B, S]
    unsigned char* status;       // [B, S]
    int* queue;                  // the next item, b * S + s
    unsigned char* workspace;    // of the blocks, one after another
    long long workspace_bytes;   // of one block
    const double* weight_y;      // [H, 2 radius_y + 1]: weight(i, i - radius_y + d)
    const double* weight_x;      // [W, 2 radius_x + 1]
    const float* tap_y;          // [strips * 8, 2 radius_y + 1 + 14]: with 7 zeros either side
    const float* tap_x;          // [W, 2 radius_x + 1 rounded up to 16]
    const float* widest_y;       // [tiles, tiles]: the largest tap between their rows
    const float* widest_x;       // [blocks, blocks]: the largest sum of taps from a column to a block
    double diversity;            // 3 lambda / 127.5: the objective is in units of 127.5 / 3
    float edge_tap;              // the largest tap at the end of a window
    int images, masks, max_iterations;
};

struct Control {
    int item, found, uncertain, need_exact, have_exact;
    int image_total[kColours], fore_total[kColours], fore_count;
    float largest_u[kColours];
    int mode[kColours];
    Sides sides;
    Sweep sweep;
    Decision decision;
    Linear exact_linear;
    double chain[6][kLanes];              // float64 sums over all pixels, by lane
    double window_sum[kMaxWindows][kLanes];
    double window_value[kMaxWindows];     // of the pixels whose sign depends on the sums
    int histogram[kColours][256];
};
static_assert(sizeof(Control) <= 8192, "CONTROL_BYTES of layout.py");

enum Plane { kMask, kNext, kEdge, kOpen, kPresent, kNearFore, kNearBack, kFlips, kPlanes };
static_assert(kPlanes == 8, "PLANES of layout.py");

struct Block {
    Shape shape;
    Job job;
    unsigned char* shared;
    unsigned char* workspace;
};

template <typename T>
IEM_INLINE T* array_at(const Block& b, int place) {
    return reinterpret_cast<T*>(place >= 0 ? b.shared + place : b.workspace + ~place);
}

IEM_INLINE int pixels(const Block& b) { return b.shape.height * b.shape.width; }
IEM_INLINE int words(const Block& b) { return (b.shape.width + 31) / 32; }  // of 32 pixels, per row
IEM_INLINE int tiles(const Block& b) { return (b.shape.height + kTileRows - 1) / kTileRows; }
IEM_INLINE int blocks(const Block& b) { return (b.shape.width + kTileColumns - 1) / kTileColumns; }
IEM_INLINE int strips(const Block& b) { return (b.shape.height + kStripRows - 1) / kStripRows; }
IEM_INLINE int bands(const Block& b) {
    return (b.shape.height + b.shape.band_rows - 1) / b.shape.band_rows;
}

IEM_INLINE Control& control(const Block& b) {
    return *array_at<Control>(b, b.shape.place_control);
}
IEM_INLINE unsigned* plane(const Block& b, Plane which) {
    return array_at<unsigned>(b, b.shape.place_planes) + which * b.shape.height * words(b);
}
// Bits of the rows with flips, the strips' reach and the bands' counts of boundary pixels, which
// follow the planes.
IEM_INLINE unsigned* flip_rows(const Block& b) { return plane(b, kPlanes); }
IEM_INLINE int flip_row_words(const Block& b) { return (b.shape.height + 31) / 32; }
IEM_INLINE unsigned* reach(const Block& b) { return flip_rows(b) + flip_row_words(b); }
IEM_INLINE int* edge_counts(const Block& b) {
    return reinterpret_cast<int*>(reach(b) + strips(b) * words(b));
}
// [band_rows][4][W] of the adjoint blurred vertically; between its uses, sums and windows.
IEM_INLINE float* spread(const Block& b) { return array_at<float>(b, b.shape.place_spread); }
IEM_INLINE double* shared_doubles(const Block& b) {
    return array_at<double>(b, b.shape.place_spread);
}
// [tiles][blocks]: the largest sum of |R| down a column; that blurred down; and across.
IEM_INLINE float* bounds(const Block& b, int which) {
    return array_at<float>(b, b.shape.place_bounds) + which * tiles(b) * blocks(b);
}
// What the adjoint blur spreads: U_c is R with the c-th sign, and V.
IEM_INLINE unsigned char* sign(const Block& b) {
    return array_at<unsigned char>(b, b.shape.place_sign);
}
IEM_INLINE float* v_source(const Block& b) { return array_at<float>(b, b.shape.place_v); }
IEM_INLINE float* r_source(const Block& b) { return array_at<float>(b, b.shape.place_r); }
// Boundary pixels of band k from k * band_rows * W on.
IEM_INLINE int* edges(const Block& b) { return array_at<int>(b, b.shape.place_edges); }
IEM_INLINE int* uncertain(const Block& b) { return array_at<int>(b, b.shape.place_uncertain); }
IEM_INLINE unsigned* pixel(const Block& b) { return array_at<unsigned>(b, b.shape.place_pixel); }
// [4][H W]: G(u m) and G(m) of the other side, on the grid.
IEM_INLINE double* other(const Block& b) { return array_at<double>(b, b.shape.place_other); }
// [4][H W]: G(u) and G(1), on the grid.
IEM_INLINE double* full(const Block& b) { return array_at<double>(b, b.shape.place_full); }
// [5][H W].
IEM_INLINE double* scratch(const Block& b) { return array_at<double>(b, b.shape.place_scratch); }
IEM_INLINE unsigned long long* hashes(const Block& b) {
    return array_at<unsigned long long>(b, b.shape.place_hashes);
}
IEM_INLINE unsigned* history(const Block& b, int iterate) {
    return array_at<unsigned>(b, b.shape.place_history) +
           static_cast<long long>(iterate) * b.shape.height * words(b);
}

// The three colours of a pixel in one word, 10 bits each.
IEM_INLINE unsigned pack(int red, int green, int blue) {
    return static_cast<unsigned>(red + 512) | static_cast<unsigned>(green + 512) << 10 |
           static_cast<unsigned>(blue + 512) << 20;
}
IEM_INLINE int colour(unsigned packed, int c) {
    return static_cast<int>(packed >> (10 * c) & 1023) - 512;
}
template <typename T>
IEM_INLINE void unpack(unsigned packed, T (&u)[kColours]) {
    for (int c = 0; c < kColours; ++c) u[c] = static_cast<T>(colour(packed, c));
}

}  // namespace iem
