// The hot loops, compiled once for each instruction set.
#pragma once

#include <cstdint>

#include "state.h"

namespace iem {

struct Kernels {
    const char* name;
    // Blur without a mask, which state.mask is used for: state.full, for a size and for an image.
    void (*blur_ones)(State&);
    void (*blur_image)(State&);
    // Blur both sides of state.mask: state.other and state.side.
    void (*begin)(State&);
    // One iteration: state.mask to state.next.
    void (*ascend)(State&);
    // Follow `count` pixels, by rows, that have changed sides in state.mask: state.other and
    // state.sides.
    void (*follow)(State&, const std::uint32_t* pixels, int count);
    // Sum over colours and over the pixels of each side of |u - its prediction|.
    void (*errors)(State&, double* error);
};

namespace portable { const Kernels& kernels(); }
namespace avx2 { const Kernels& kernels(); }    // these two where there is x86-64 only
namespace avx512 { const Kernels& kernels(); }

}  // namespace iem
