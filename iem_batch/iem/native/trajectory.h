// The masks of one run, as the pixels that changed at each iteration.
#pragma once

#include <cstdint>
#include <vector>

namespace iem {

class Trajectory {
  public:
    // Start over from any mask.
    void start();

    // Append the mask in which `pixels` have changed sides.
    void append(const std::vector<std::uint32_t>& pixels);

    // The last iterate's index.
    int last() const { return static_cast<int>(hashes_.size()) - 1; }

    // An earlier iterate equal to the last one, or -1. Equal hashes are compared in full.
    int recurrence() const;

    // The pixels on which two iterates differ.
    std::vector<std::uint32_t> difference(int from, int to) const;

  private:
    std::vector<std::uint64_t> hashes_;  // of the difference to the first mask
    std::vector<std::size_t> ends_;      // of each iterate's changes
    std::vector<std::uint32_t> changes_;
};

}  // namespace iem
