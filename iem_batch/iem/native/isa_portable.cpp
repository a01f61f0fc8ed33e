// The kernels in plain C++.
#define IEM_ISA portable
#define IEM_SIMD "simd_portable.h"
#include "kernels.inc"
