#include "common/sha256.h"

#include <gtest/gtest.h>

namespace rackmark {
namespace {

TEST(Sha256, StandardVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Any cut gives the hash of the whole: a piece may end inside of a block, on its border, or be
// empty.
TEST(Sha256, PiecesMakeTheHashOfTheWhole) {
  std::string text;
  for (int i = 0; i < 200; ++i) text.push_back(static_cast<char>(i));
  for (size_t first = 0; first <= text.size(); ++first) {
    for (const size_t second : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}}) {
      Sha256 hash;
      const std::string_view view = text;
      hash.Add(view.substr(0, first));
      hash.Add(view.substr(first, second));
      if (first + second < text.size()) hash.Add(view.substr(first + second));
      EXPECT_EQ(hash.Hex(), Sha256Hex(text)) << first << " + " << second;
    }
  }
}

TEST(Sha256, OnlyLowerCaseHexOf64DigitsIsAName) {
  EXPECT_TRUE(IsSha256Hex(Sha256Hex("")));
  EXPECT_FALSE(IsSha256Hex(""));
  EXPECT_FALSE(IsSha256Hex("../" + Sha256Hex("").substr(3)));
  EXPECT_FALSE(IsSha256Hex(Sha256Hex("") + "0"));
  EXPECT_FALSE(IsSha256Hex("E" + Sha256Hex("").substr(1)));
}

}  // namespace
}  // namespace rackmark
