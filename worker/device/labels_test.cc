#include "worker/device/labels.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(Labels, ComeOneByOneOrWithCommasBetween) {
  v1::NodeInfo node;
  ASSERT_TRUE(AddLabels({"pool=a", "zone=eu-1,team/owner=infra", "spare="}, &node).ok());
  EXPECT_THAT(node.labels(), UnorderedElementsAre(Pair("pool", "a"), Pair("zone", "eu-1"),
                                                  Pair("team/owner", "infra"), Pair("spare", "")));
}

TEST(Labels, WhatIsRefusedIsNamed) {
  const auto why = [](const std::string& text) {
    v1::NodeInfo node;
    return std::string(AddLabels({"pool=a", text}, &node).message());
  };
  EXPECT_THAT(why("zone"), HasSubstr("--label \"zone\": write KEY=VALUE"));
  EXPECT_THAT(why("=eu"), HasSubstr("write KEY=VALUE"));
  EXPECT_THAT(why("zone=e u"), HasSubstr("letters, digits"));
  EXPECT_THAT(why("zone=\x1b[31m"), HasSubstr("\\x1b"));
  EXPECT_THAT(why("pool=b"), HasSubstr("the key is there already"));
  EXPECT_THAT(why("zone=eu,,"), HasSubstr("write KEY=VALUE"));
  EXPECT_THAT(why("zone=" + std::string(200, 'x')), HasSubstr("128 characters at most"));
}

TEST(Labels, HaveABoundedNumber) {
  v1::NodeInfo node;
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(AddLabels({absl::StrCat("k", i, "=v")}, &node).ok());
  EXPECT_THAT(std::string(AddLabels({"one=more"}, &node).message()),
              HasSubstr("64 labels at most"));
}

TEST(Labels, ARackIsAName) {
  v1::NodeInfo node;
  ASSERT_TRUE(SetRack("row 4, rack 12", &node).ok());
  EXPECT_EQ(node.rack(), "row 4, rack 12");
  EXPECT_THAT(std::string(SetRack("a\nb", &node).message()), HasSubstr("\\n"));
  EXPECT_FALSE(SetRack(std::string(129, 'r'), &node).ok());
}

}  // namespace
}  // namespace rackmark
