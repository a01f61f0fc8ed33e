// The memory behind a State, for images of one size.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "segment.h"
#include "state.h"

namespace iem {

class Workspace {
  public:
    Workspace(int height, int width, const Settings& settings);

    State state{};

  private:
    // Zeroed, on a cache line, freed with the workspace.
    template <typename T>
    T* take(std::size_t count);
    template <typename To, typename From>
    const To* copy(const From* from, int rows, int columns);
    BitPlane take_plane();
    void take_weights(const Tables& tables);
    void take_fields();

    struct Free {
        void operator()(void* block) const { std::free(block); }
    };
    std::vector<std::unique_ptr<void, Free>> blocks_;
};

}  // namespace iem
