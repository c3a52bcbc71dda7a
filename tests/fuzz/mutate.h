// Small changes to inputs, drawn from a seed: the same seed makes the same inputs on every machine.
#pragma once

#include <string>
#include <vector>

#include "common/random.h"

namespace rackmark::fuzz {

constexpr size_t kInputBytesMax = 1 << 16;

// One to six changes to `input`; parts may come from `others`.
std::string Mutate(std::string input, const std::vector<std::string>& others, Random& random);

}  // namespace rackmark::fuzz
