// IEM on a batch of images: what the Python module calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace iem {

// The blur's weights; tables.py describes and computes them. The caller keeps them.
struct Tables {
    int radius_y, radius_x;
    const double *weight_y, *grid_x, *across;
    const float *tap_y, *tap_x, *widest_y, *widest_x;
    float edge_tap;
};

struct Settings {
    Tables tables;
    double diversity_weight;
    int iterations;
    bool smoothing, boundary_only;
};

enum Status : std::uint8_t { kOk = 0, kEmpty = 1, kFull = 2 };

// B images of H x W pixels, S first masks each. Strides are in bytes.
struct Batch {
    int images, masks, height, width;
    const std::uint8_t* image;  // [B, H, W, 3], contiguous
    const std::uint8_t* first;  // [B, S, H, W], the last two contiguous, 0 or 1
    std::ptrdiff_t first_stride_b, first_stride_s;
    std::uint8_t* mask;        // [B, S, H, W], contiguous
    double* error_foreground;  // [B, S]
    double* error_background;  // [B, S]
    std::int32_t* iterations;  // [B, S]
    std::uint8_t* status;      // [B, S]
};

// Every image on one of `num_threads` threads; which one makes no difference.
void segment(const Batch& batch, const Settings& settings, const Kernels& kernels, int num_threads);

}  // namespace iem
