// Exact-value checks of collectives, outside the timed region. Inputs are small whole numbers that
// depend on (seed, rank, index), so a sum over ranks is exact in fp32 in any order, and a misplaced
// or stale element is a wrong number, not a rounding. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace rackmark {

// -128..127: exact for sums over up to 2^16 ranks. A new seed for each round finds stale data.
float CheckValue(uint64_t seed, int rank, size_t index);
void FillCheckValues(uint64_t seed, int rank, size_t n, float* data);

// nullopt: right. Else a sentence with the first wrong index, its value and the right one.
std::optional<std::string> CheckAllReduced(uint64_t seed, int world, size_t n, const float* data);
// all (world, n).
std::optional<std::string> CheckAllGathered(uint64_t seed, int world, size_t n, const float* all);

}  // namespace rackmark
