#include "kernels/verify.h"

#include "absl/strings/str_cat.h"
#include "common/random.h"

namespace rackmark {
namespace {

std::string Wrong(size_t index, float value, float right) {
  return absl::StrCat("element ", index, " is ", value, ", must be ", right);
}

}  // namespace

float CheckValue(uint64_t seed, int rank, size_t index) {
  const uint64_t bits = Mix64(Mix64(seed ^ (static_cast<uint64_t>(rank) << 40)) + index);
  return static_cast<float>(static_cast<int>(bits & 0xff) - 128);
}

void FillCheckValues(uint64_t seed, int rank, size_t n, float* data) {
  for (size_t i = 0; i < n; ++i) data[i] = CheckValue(seed, rank, i);
}

std::optional<std::string> CheckAllReduced(uint64_t seed, int world, size_t n, const float* data) {
  for (size_t i = 0; i < n; ++i) {
    float right = 0;
    for (int r = 0; r < world; ++r) right += CheckValue(seed, r, i);
    if (data[i] != right) return Wrong(i, data[i], right);  // NaN differs too
  }
  return std::nullopt;
}

std::optional<std::string> CheckAllGathered(uint64_t seed, int world, size_t n, const float* all) {
  for (int r = 0; r < world; ++r) {
    for (size_t i = 0; i < n; ++i) {
      const size_t at = static_cast<size_t>(r) * n + i;
      const float right = CheckValue(seed, r, i);
      if (all[at] != right) return Wrong(at, all[at], right);
    }
  }
  return std::nullopt;
}

}  // namespace rackmark
