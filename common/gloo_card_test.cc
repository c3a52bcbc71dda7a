#include "common/gloo_card.h"

#include "gtest/gtest.h"

namespace rackmark {
namespace {

// "0>1 0>2 ": where the owner listens for each other rank.
std::string Card(size_t owner, size_t world) {
  std::string card;
  for (size_t visitor = 0; visitor < world; ++visitor) {
    if (visitor == owner) continue;
    card += std::to_string(owner) + ">" + std::to_string(visitor) + " ";
  }
  return card;
}

TEST(GlooCard, EachReceiverFindsItsOwnAddressInItsPlaceAndNoOther) {
  constexpr size_t kWorld = 5;
  const std::vector<uint32_t> receivers = {1, 3};
  for (size_t owner = 0; owner < kWorld; ++owner) {
    const std::string card = Card(owner, kWorld);
    const std::string slice = SliceGlooCard(card, kWorld, owner, receivers);
    EXPECT_TRUE(IsGlooSlice(slice));
    EXPECT_FALSE(IsGlooSlice(card));
    for (uint32_t receiver = 0; receiver < kWorld; ++receiver) {
      const std::string wide = WidenGlooSlice(slice, card.size(), kWorld, owner, receiver);
      if (receiver == owner || (receiver != 1 && receiver != 3)) {
        EXPECT_EQ(wide, "");
        continue;
      }
      ASSERT_EQ(wide.size(), card.size());
      for (size_t at = 0; at < card.size(); at += 4) {
        const std::string there = card.substr(at, 4);
        const bool mine = there == std::to_string(owner) + ">" + std::to_string(receiver) + " ";
        EXPECT_EQ(wide.substr(at, 4), mine ? there : std::string(4, '\0')) << owner << receiver;
      }
    }
  }
}

TEST(GlooCard, WhatIsNoCardHasNoSlice) {
  EXPECT_EQ(SliceGlooCard("", 3, 0, {1}), "");
  EXPECT_EQ(SliceGlooCard("odd", 3, 0, {1}), "");
  EXPECT_EQ(SliceGlooCard("solo", 1, 0, {0}), "");
  EXPECT_EQ(WidenGlooSlice("no slice", 8, 3, 0, 1), "");
  EXPECT_EQ(WidenGlooSlice("\xff\xff\xff\xff\x01", 8, 3, 0, 1), "");  // cut off
}

}  // namespace
}  // namespace rackmark
