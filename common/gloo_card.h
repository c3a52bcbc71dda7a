// The Gloo addresses on a rank's address card: one for each other rank, in order of rank, all of
// one size. Of a large gang each receiver is sent only its slice: what its own ranks need of each
// card. Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

// A meeting opens as many connections as there are pairs, and each rank holds what the widened
// cards hold: of more ranks than this it would cost more than any run.
constexpr size_t kGlooRanksMax = 512;
constexpr size_t kGlooAddressBytes = 136;  // of one address, about: for bounds

// Of owner's card, in a gang of `world` ranks: what these ranks need, each under its number. Empty
// if the card is none.
std::string SliceGlooCard(std::string_view card, size_t world, size_t owner,
                          const std::vector<uint32_t>& receivers);
bool IsGlooSlice(std::string_view bytes);
// A slice as a card of `card_bytes` again, in which only the receiver's address stands. Empty if
// the slice has none for it.
std::string WidenGlooSlice(std::string_view slice, size_t card_bytes, size_t world, size_t owner,
                           uint32_t receiver);

}  // namespace rackmark
