#include "workspace.h"

#include <algorithm>
#include <cstring>
#include <new>


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

template <typename To, typename From>
const To* Workspace::copy(const From* from, int rows, int columns) {
    const std::size_t count = static_cast<std::size_t>(rows) * columns;
    To* to = take<To>(count);
    for (std::size_t k = 0; k < count; ++k) to[k] = static_cast<To>(from[k]);
    return to;
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
    take_weights(settings.tables);
    take_fields();
}

// Copies lie on cache lines, which the arrays of the caller need not.
void Workspace::take_weights(const Tables& tables) {
    Shape& shape = state.shape;
    const int width = shape.width, height = shape.height;
    shape.radius_y = tables.radius_y;
    shape.radius_x = tables.radius_x;
    shape.blocks = (width + kLanes - 1) / kLanes;
    shape.tiles = (height + kTileRows - 1) / kTileRows;
    shape.words = (width + 63) / 64;
    shape.bit_top = std::max(1, shape.radius_y);
    shape.bit_rows = height + 2 * shape.bit_top;
    const int taps_y = 2 * shape.radius_y + 1, taps_x = 2 * shape.radius_x + 1;
    const int padded = shape.blocks * kLanes;
    state.row_tap_y = taps_y + 2 * kTapMargin;
    state.row_tap_x = round_up(taps_x, kLanes);
    state.row_grid_x = round_up(taps_x + 7, 8);
    state.weight_y = copy<double>(tables.weight_y, height, taps_y);
    state.tap_y = copy<float>(tables.tap_y, shape.tiles * kTileRows, state.row_tap_y);
    state.tap_x = copy<float>(tables.tap_x, width, state.row_tap_x);
    state.grid_x = copy<double>(tables.grid_x, width, state.row_grid_x);
    state.across_grid = copy<double>(tables.across, taps_x, padded);
    state.across_x = copy<float>(tables.across, taps_x, padded);
    state.widest_y = tables.widest_y;
    state.widest_x = tables.widest_x;
    // At a contour such pixels lie on the window's rim only.
    state.edge_tap = state.boundary_only ? tables.edge_tap : 1;
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
    const std::size_t around = static_cast<std::size_t>(shape.radius_y) * state.row_single;
    state.source = take<float>(height * state.row_single + 2 * around) + around;
    state.direct = take<float>(height * state.row_plain);
    const std::size_t tiled = static_cast<std::size_t>(shape.tiles) * shape.blocks;
    state.magnitude = take<float>(tiled);
    state.bound = take<float>(tiled);
    state.down = take<float>(shape.blocks);
    state.needed = take<std::uint8_t>(kBandRows / kTileRows * shape.blocks);
    state.spread = take<float>(static_cast<std::size_t>(kBandRows) * kChannels * state.row_spread);
    state.line = take<double>(2 * shape.radius_x + padded);
    state.rows = take<double>(height * state.row_plain);
    state.column = take<std::uint64_t>(shape.bit_rows);
    for (BitPlane* plane : {&state.mask, &state.next, &state.boundary, &state.present,
                            &state.scratch_a, &state.scratch_b})
        *plane = take_plane();
    state.uncertain = take<std::uint32_t>(height * shape.width);
}

}  // namespace iem
