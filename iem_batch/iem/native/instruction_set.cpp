#include "instruction_set.h"

#include <stdexcept>

namespace iem {
namespace {

std::vector<const Kernels*> runnable() {
    std::vector<const Kernels*> kernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        kernels.push_back(&avx512::kernels());
    if (avx2) kernels.push_back(&avx2::kernels());
#endif
    kernels.push_back(&portable::kernels());
    return kernels;
}

}  // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* kernels : runnable()) names.emplace_back(kernels->name);
    return names;
}

const Kernels& kernels_for(const std::string& name) {
    for (const Kernels* kernels : runnable())
        if (name.empty() || name == kernels->name) return *kernels;
    throw std::invalid_argument("this processor has no instruction set " + name);
}

}  // namespace iem
