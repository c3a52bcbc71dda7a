// What this process costs its machine. Missing where the kernel does not say.
#pragma once

#include <cstdint>
#include <optional>

namespace rackmark {

std::optional<uint64_t> ResidentBytes();
// User and system time of all threads so far.
std::optional<double> CpuSeconds();

}  // namespace rackmark
