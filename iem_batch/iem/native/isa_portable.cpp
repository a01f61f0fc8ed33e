// The kernels in plain C++.
#define IEM_ISA portable
#define IEM_SIMD "simd_portable.h"
#include "kernels.inc"

namespace iem {

const Kernels& portable_kernels() {
    using namespace portable;
    static const Kernels kernels{"portable", blur_ones, blur_image, begin, ascend, follow, errors};
    return kernels;
}

}  // namespace iem
