// The catalogue of decoder-only transformer shapes (Llama family: RMSNorm, RoPE, grouped-query
// attention, SwiGLU, an output head of its own, no biases). A shape is numbers only; it owns no
// weights. Pure, immutable, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace rackmark {

// Llama 3.1's stretching of the slow RoPE frequencies.
struct RopeScaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  uint32_t original_context = 8192;
};

struct ModelShape {
  std::string_view name;
  uint32_t vocab = 0;
  uint32_t hidden = 0;
  uint32_t layers = 0;
  uint32_t heads = 0;     // query heads
  uint32_t kv_heads = 0;  // divides heads
  uint32_t head_dim = 0;
  uint32_t intermediate = 0;
  double rope_theta = 10000;
  std::optional<RopeScaling> rope_scaling;
  float rms_eps = 1e-5F;
  uint32_t context_max = 0;  // prompt + output of one request

  uint32_t q_dim() const { return heads * head_dim; }
  uint32_t kv_dim() const { return kv_heads * head_dim; }
};

// Null if the catalogue does not have it. The shape lives for ever.
const ModelShape* FindModel(std::string_view name);
// The same, or NOT_FOUND with the names that exist.
absl::StatusOr<const ModelShape*> FindModelOrExplain(std::string_view name);
// All names, smallest model first.
std::vector<std::string> ModelNames();

// Radians per position of each half-split pair (head_dim / 2), scaling applied.
std::vector<double> RopeFrequenciesOf(const ModelShape& shape);

}  // namespace rackmark
