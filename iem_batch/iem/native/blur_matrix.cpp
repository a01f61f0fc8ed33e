#include "blur_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace iem {
namespace {

std::vector<double> gaussian_taps(double sigma, int kernel) {
    std::vector<double> taps(kernel);
    double total = 0;
    for (int k = 0; k < kernel; ++k) {
        const double distance = (k - kernel / 2) / sigma;
        taps[k] = std::exp(-0.5 * (distance * distance));
        total += taps[k];
    }
    for (double& tap : taps) tap /= total;
    return taps;
}

// One pass is the banded matrix T, so two passes are T T: near the border not one wider pass.
BlurMatrix two_passes(int size, const std::vector<double>& taps) {
    const int reach = static_cast<int>(taps.size()) / 2;
    BlurMatrix blur;
    blur.size = size;
    blur.radius = std::min(2 * reach, size - 1);
    blur.weights.assign(static_cast<std::size_t>(size) * (2 * blur.radius + 1), 0.0);
    for (int i = 0; i < size; ++i) {
        for (int k = std::max(0, i - blur.radius); k <= std::min(size - 1, i + blur.radius); ++k) {
            const int first = std::max({0, i - reach, k - reach});
            const int last = std::min({size - 1, i + reach, k + reach});
            double sum = 0;
            for (int j = first; j <= last; ++j) sum += taps[i - j + reach] * taps[j - k + reach];
            const std::size_t row = static_cast<std::size_t>(i) * (2 * blur.radius + 1);
            blur.weights[row + (k - i + blur.radius)] = sum;
        }
    }
    return blur;
}

}  // namespace

BlurMatrix blur_matrix(int size, double sigma, int kernel) {
    return two_passes(size, gaussian_taps(sigma, kernel));
}

}  // namespace iem
