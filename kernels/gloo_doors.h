// Gloo offers no way to interrupt a meeting: a rank that waits for a peer's connection waits until
// its limit. It stops waiting when something connects, so a rank that will not come knocks: it
// connects and hangs up. Internal to kernels/collective_gloo.cc. Any thread.
#pragma once

#include <string>
#include <vector>

namespace rackmark::gloo_internal {

// At every door of the gang, `rank`'s own first: a peer may be waiting for a third rank, in order,
// and would not look at its connection to us before that one has come. `cards` are Gloo's
// addresses, by rank; one that is none is passed over. Nobody home is no error. Blocks for a moment
// at most.
void Knock(const std::vector<std::string>& cards, int rank);

}  // namespace rackmark::gloo_internal
