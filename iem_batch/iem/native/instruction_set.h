// Which kernels this processor can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace iem {

// Names, fastest first.
std::vector<std::string> instruction_sets();

// The fastest kernels, or those of that name; throws std::invalid_argument if there are none.
const Kernels& kernels_for(const std::string& name);

}  // namespace iem
