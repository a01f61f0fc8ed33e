#include "workspace.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "blur_matrix.h"
#include "numerics.h"

namespace iem {
namespace {

constexpr std::size_t kLine = 64;  // bytes

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// At least `count` elements of a row. The same column of neighbouring rows lies `apart` cache
// lines apart modulo 4 KB, within which a load waits for an earlier store.
int unaliased(int count, std::size_t element, int apart) {
    const int per_line = static_cast<int>(kLine / element), page = 4096 / static_cast<int>(kLine);
    const int lines = (count + per_line - 1) / per_line;
    return (lines + (apart - lines % page + page) % page) * per_line;
}

double edge_tap(const BlurMatrix& blur) {
    double largest = 0;
    for (int i = blur.radius; i < blur.size; ++i)
        largest = std::max(largest, blur.weight(i, i - blur.radius));
    return largest;
}

}  // namespace

template <typename T>
T* Workspace::take(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kLine - 1) / kLine * kLine;
    void* block = std::aligned_alloc(kLine, std::max(bytes, kLine));
    if (!block) throw std::bad_alloc();
    blocks_.emplace_back(block);
    std::memset(block, 0, std::max(bytes, kLine));
    return static_cast<T*>(block);
}

BitPlane Workspace::take_plane() {
    const std::size_t rows = state.shape.bit_rows;
    return {take<std::uint64_t>(rows * (state.shape.words + 2)) + rows};
}

Workspace::Workspace(int height, int width, const Settings& settings) {
    state.shape.height = height;
    state.shape.width = width;
    state.diversity = 3 * settings.diversity_weight / 127.5;
    state.boundary_only = settings.boundary_only;
    state.smoothing = settings.smoothing;
    take_weights(settings);
    take_fields();
}

void Workspace::take_weights(const Settings& settings) {
    Shape& shape = state.shape;
    const int width = shape.width, height = shape.height;
    const BlurMatrix y = blur_matrix(height, settings.sigma, settings.kernel);
    const BlurMatrix x = blur_matrix(width, settings.sigma, settings.kernel);
    shape.radius_y = y.radius;
    shape.radius_x = x.radius;
    shape.blocks = (width + kLanes - 1) / kLanes;
    shape.words = (width + 63) / 64;
    shape.bit_top = std::max(1, y.radius);
    shape.bit_rows = height + 2 * shape.bit_top;

    const int taps_y = 2 * y.radius + 1, taps_x = 2 * x.radius + 1;
    double* weight_y = take<double>(static_cast<std::size_t>(height) * taps_y);
    std::copy(y.weights.begin(), y.weights.end(), weight_y);
    state.weight_y = weight_y;

    state.row_tap_y = taps_y + 2 * (kTileRows - 1);
    float* tap_y = take<float>(static_cast<std::size_t>(round_up(height, kTileRows)) * state.row_tap_y);
    for (int i = 0; i < height; ++i)
        for (int d = 0; d < taps_y; ++d)
            tap_y[i * static_cast<std::size_t>(state.row_tap_y) + kTileRows - 1 + d] =
                static_cast<float>(y.weights[i * static_cast<std::size_t>(taps_y) + d]);
    state.tap_y = tap_y;
    shape.tiles = (height + kTileRows - 1) / kTileRows;
    float* widest = take<float>(static_cast<std::size_t>(shape.tiles) * shape.tiles);
    for (int i = 0; i < height; ++i) {
        for (int k = std::max(0, i - y.radius); k <= std::min(height - 1, i + y.radius); ++k) {
            float& tap = widest[i / kTileRows * static_cast<std::size_t>(shape.tiles) + k / kTileRows];
            tap = std::max(tap, static_cast<float>(y.weight(i, k)));
        }
    }
    state.widest_y = widest;

    state.row_grid_x = round_up(taps_x + 7, 8);
    state.row_tap_x = round_up(taps_x, kLanes);
    const std::size_t padded = static_cast<std::size_t>(shape.blocks) * kLanes;
    double* grid_x = take<double>(static_cast<std::size_t>(width) * state.row_grid_x);
    float* tap_x = take<float>(static_cast<std::size_t>(width) * state.row_tap_x);
    double* across_grid = take<double>(padded * taps_x);
    float* across_x = take<float>(padded * taps_x);
    for (int j = 0; j < width; ++j) {
        const int start = std::max(0, j - x.radius) / 8 * 8;
        for (int d = 0; d < taps_x; ++d) {
            const int from = j - x.radius + d;
            if (from < 0 || from >= width) continue;
            const double weight = x.weight(j, from);
            grid_x[j * static_cast<std::size_t>(state.row_grid_x) + from - start] = weight * kGrid;
            tap_x[j * static_cast<std::size_t>(state.row_tap_x) + d] = static_cast<float>(weight);
            across_grid[d * padded + j] = weight;
            across_x[d * padded + j] = static_cast<float>(weight);
        }
    }
    float* widest_x = take<float>(static_cast<std::size_t>(shape.blocks) * shape.blocks);
    for (int j = 0; j < width; ++j) {
        for (int b = 0; b < shape.blocks; ++b) {
            double total = 0;
            for (int l = b * kLanes; l < std::min(width, (b + 1) * kLanes); ++l) total += x.weight(j, l);
            float& sum = widest_x[j / kLanes * static_cast<std::size_t>(shape.blocks) + b];
            sum = std::max(sum, static_cast<float>(total));
        }
    }
    state.widest_x = widest_x;
    state.edge_tap = static_cast<float>(std::max(edge_tap(x), edge_tap(y)));
    state.grid_x = grid_x;
    state.tap_x = tap_x;
    state.across_grid = across_grid;
    state.across_x = across_x;
}

void Workspace::take_fields() {
    const Shape& shape = state.shape;
    const std::size_t height = shape.height;
    const int padded = shape.blocks * kLanes;
    state.row_u = kColours * padded + kLanes;
    state.row_field = unaliased(kChannels * padded, sizeof(double), 17);
    state.row_single = kChannels * padded + kLanes;
    state.row_plain = padded + kLanes;
    state.spread_left = round_up(shape.radius_x, kLanes);
    state.row_spread = 2 * state.spread_left + padded + 3 * kLanes;

    state.u = take<float>(height * state.row_u);
    state.full = take<double>(height * state.row_field);
    state.other = take<double>(height * state.row_field);
    state.other_single = take<float>(height * state.row_single);
    state.own_single = take<float>(height * state.row_single);
    state.stale = take<std::uint8_t>(height * shape.blocks);
    state.source = take<float>(height * state.row_single);
    state.direct = take<float>(height * state.row_plain);
    const std::size_t tiled = static_cast<std::size_t>(shape.tiles) * shape.blocks;
    state.magnitude = take<float>(tiled);
    state.bound = take<float>(tiled);
    state.down = take<float>(shape.blocks);
    state.needed = take<std::uint8_t>(kBandRows / kTileRows * shape.blocks);
    state.spread = take<float>(static_cast<std::size_t>(kBandRows) * kChannels * state.row_spread);
    state.line = take<double>(2 * shape.radius_x + padded);
    state.rows = take<double>(height * state.row_plain);
    for (BitPlane* plane : {&state.mask, &state.next, &state.boundary, &state.present,
                            &state.scratch_a, &state.scratch_b})
        *plane = take_plane();
    state.uncertain = take<std::uint32_t>(height * shape.width);
}

}  // namespace iem
