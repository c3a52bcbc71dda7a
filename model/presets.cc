#include "model/presets.h"

#include <array>
#include <cmath>

namespace rackmark {
namespace {

constexpr RopeScaling kLlama31{8, 1, 4, 8192};

// The first three are Rackmark's own: sized so that every tensor-parallel degree 1, 2, 4, 8 divides
// them, also in the 8 segments of deterministic mode.
constexpr std::array kCatalogue{
    // name, vocab, hidden, layers, heads, kv_heads, head_dim, intermediate, theta, scaling, eps,
    // context
    ModelShape{"nano-1m", 1024, 128, 2, 8, 8, 16, 512, 1e4, std::nullopt, 1e-5F, 4096},
    ModelShape{"tiny-30m", 8192, 512, 8, 8, 8, 64, 1536, 1e4, std::nullopt, 1e-5F, 8192},
    ModelShape{"small-110m", 16384, 768, 12, 16, 16, 48, 2048, 1e4, std::nullopt, 1e-5F, 8192},
    ModelShape{"mistral-7b", 32768, 4096, 32, 32, 8, 128, 14336, 1e6, std::nullopt, 1e-5F, 32768},
    ModelShape{"llama-3.1-8b", 128256, 4096, 32, 32, 8, 128, 14336, 5e5, kLlama31, 1e-5F, 131072},
    ModelShape{"llama-3.1-70b", 128256, 8192, 80, 64, 8, 128, 28672, 5e5, kLlama31, 1e-5F, 131072},
    ModelShape{"llama-3.1-405b", 128256, 16384, 126, 128, 8, 128, 53248, 5e5, kLlama31, 1e-5F,
               131072},
};

}  // namespace

const ModelShape* FindModel(std::string_view name) {
  for (const ModelShape& shape : kCatalogue) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

absl::StatusOr<const ModelShape*> FindModelOrExplain(std::string_view name) {
  if (const ModelShape* shape = FindModel(name); shape != nullptr) return shape;
  std::string known;
  for (const std::string& other : ModelNames())
    absl::StrAppend(&known, known.empty() ? "" : ", ", other);
  return absl::NotFoundError(
      absl::StrCat("no model named \"", ToAbsl(name), "\"; the catalogue has ", known));
}

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const ModelShape& shape : kCatalogue) names.emplace_back(shape.name);
  return names;
}

std::vector<double> RopeFrequenciesOf(const ModelShape& shape) {
  const uint32_t half = shape.head_dim / 2;
  std::vector<double> frequencies(half);
  for (uint32_t i = 0; i < half; ++i) {
    frequencies[i] = std::pow(shape.rope_theta, -2.0 * i / shape.head_dim);
  }
  if (!shape.rope_scaling) return frequencies;
  const RopeScaling& s = *shape.rope_scaling;
  for (double& f : frequencies) {
    // How many turns this pair makes over the context that the model was first trained with: fast
    // pairs stay, slow ones stretch by the factor, those between are blended.
    const double turns = s.original_context * f / (2 * M_PI);
    const double keep =
        (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    const double blend = std::fmin(1.0, std::fmax(0.0, keep));
    f = blend * f + (1 - blend) * f / s.factor;
  }
  return frequencies;
}

}  // namespace rackmark
