// The inpainting Gaussian along one axis, as a banded matrix.
#pragma once

#include <vector>

namespace iem {

// G(u) = Y u X^T with one such matrix per axis, each symmetric: the blur is its own adjoint.
struct BlurMatrix {
    int size = 0;    // pixels along the axis
    int radius = 0;  // weight(i, k) is 0 where |i - k| > radius
    std::vector<double> weights;  // [size][2 * radius + 1]

    double weight(int to, int from) const {
        const int offset = from - to + radius;
        if (offset < 0 || offset > 2 * radius) return 0;
        return weights[static_cast<std::size_t>(to) * (2 * radius + 1) + offset];
    }
};

// Two zero-padded passes of `kernel` taps of width `sigma`.
BlurMatrix blur_matrix(int size, double sigma, int kernel);

}  // namespace iem
