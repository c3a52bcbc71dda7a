#include "common/gloo_card.h"

namespace rackmark {
namespace {

// A card begins with an address family, and no family has this number.
constexpr std::string_view kMark = "\xff\xff\xff\xff";
constexpr size_t kNumberBytes = 4;

// Where `owner` listens for `visitor`: one address for each other rank.
size_t PlaceOf(size_t owner, size_t visitor) { return visitor > owner ? visitor - 1 : visitor; }

std::string Number(uint32_t value) {
  std::string bytes;
  for (size_t i = 0; i < kNumberBytes; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

}  // namespace

std::string SliceGlooCard(std::string_view card, size_t world, size_t owner,
                          const std::vector<uint32_t>& receivers) {
  if (world < 2 || card.empty() || card.size() % (world - 1) != 0 || IsGlooSlice(card)) return "";
  const size_t each = card.size() / (world - 1);
  std::string slice(kMark);
  for (const uint32_t receiver : receivers) {
    if (receiver == owner || receiver >= world) continue;
    slice += Number(receiver);
    slice += card.substr(PlaceOf(owner, receiver) * each, each);
  }
  return slice;
}

bool IsGlooSlice(std::string_view bytes) { return bytes.substr(0, kMark.size()) == kMark; }

std::string WidenGlooSlice(std::string_view slice, size_t card_bytes, size_t world, size_t owner,
                           uint32_t receiver) {
  if (!IsGlooSlice(slice) || world < 2 || card_bytes % (world - 1) != 0) return "";
  const size_t each = card_bytes / (world - 1);
  const std::string number = Number(receiver);
  for (size_t at = kMark.size(); at + kNumberBytes + each <= slice.size();
       at += kNumberBytes + each) {
    if (slice.substr(at, kNumberBytes) != number) continue;
    std::string card(card_bytes, '\0');
    card.replace(PlaceOf(owner, receiver) * each, each, slice.substr(at + kNumberBytes, each));
    return card;
  }
  return "";
}

}  // namespace rackmark
