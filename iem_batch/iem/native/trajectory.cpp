#include "trajectory.h"

#include <algorithm>

#include "shared/numerics.h"

namespace iem {

void Trajectory::start() {
    hashes_.assign(1, 0);
    ends_.assign(1, 0);
    changes_.clear();
}

void Trajectory::append(const std::vector<std::uint32_t>& pixels) {
    std::uint64_t hash = hashes_.back();
    for (const std::uint32_t pixel : pixels) hash ^= pixel_hash(pixel);
    hashes_.push_back(hash);
    changes_.insert(changes_.end(), pixels.begin(), pixels.end());
    ends_.push_back(changes_.size());
}

int Trajectory::recurrence() const {
    for (int t = 0; t < last(); ++t)
        if (hashes_[t] == hashes_.back() && difference(t, last()).empty()) return t;
    return -1;
}

std::vector<std::uint32_t> Trajectory::difference(int from, int to) const {
    const auto first = changes_.begin();
    const auto [low, high] = std::minmax(ends_[from], ends_[to]);
    std::vector<std::uint32_t> pixels(first + static_cast<std::ptrdiff_t>(low),
                                      first + static_cast<std::ptrdiff_t>(high));
    std::sort(pixels.begin(), pixels.end());
    // A pixel that changed an even number of times is back where it was.
    std::vector<std::uint32_t> odd;
    for (const std::uint32_t pixel : pixels) {
        if (!odd.empty() && odd.back() == pixel) odd.pop_back();
        else odd.push_back(pixel);
    }
    return odd;
}

}  // namespace iem
