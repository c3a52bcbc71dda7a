// bfloat16 as stored: the upper half of an IEEE float. Conversions round to nearest even, as GPUs
// do, so that both backends hold the same weights and the same KV cache. Pure, no state.
#pragma once

#include <bit>
#include <cstdint>

namespace rackmark {

struct Bf16 {
  uint16_t bits = 0;
};
static_assert(sizeof(Bf16) == 2);

inline float ToFloat(Bf16 b) { return std::bit_cast<float>(static_cast<uint32_t>(b.bits) << 16); }

inline Bf16 ToBf16(float f) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  // A NaN stays a (quiet) NaN: rounding could carry its payload into infinity.
  if ((u & 0x7fffffffU) > 0x7f800000U) return {static_cast<uint16_t>((u >> 16) | 0x40U)};
  return {static_cast<uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16)};
}

}  // namespace rackmark
