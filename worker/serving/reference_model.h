// The plain decoder that the engine is checked against: unsharded, no cache, no batch, no blocks,
// simple loops. It makes every weight anew from the source, so a model needs no memory. Written
// apart from kernels/ on purpose: a mistake there must not be repeated here. Slow; pure.
#pragma once

#include <cstdint>
#include <vector>

#include "model/presets.h"

namespace rackmark {

// Logits (ids.size() - first, vocab) after each of the tokens ids[first..], as one pass over all of
// them: what a decoder would say at each position, given exactly these tokens.
std::vector<std::vector<float>> ReferenceLogits(const ModelShape& shape, uint64_t seed,
                                                const std::vector<int32_t>& ids, size_t first);

}  // namespace rackmark
