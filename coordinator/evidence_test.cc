// What the hash in the event log is of.
#include "coordinator/evidence.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rackmark {
namespace {

// A summary whose maps were filled in this order, after `ballast` other keys came and went, so that
// the hash tables differ in size too.
v1::RunSummary Filled(const std::vector<int>& order, int ballast) {
  v1::RunSummary summary;
  summary.set_run_id(1);
  auto& more = *summary.add_nodes()->mutable_environment()->mutable_more();
  for (int i = 0; i < ballast; ++i) more["ballast" + std::to_string(i)] = "";
  for (int i = 0; i < ballast; ++i) more.erase("ballast" + std::to_string(i));
  for (const int i : order) more["key" + std::to_string(i)] = std::to_string(i);
  return summary;
}

TEST(Evidence, MapsFilledInAnyOrderGiveTheSameBytes) {
  std::vector<int> up, down;
  for (int i = 0; i < 64; ++i) {
    up.push_back(i);
    down.insert(down.begin(), i);
  }
  const std::string bytes = EvidenceBytes(Filled(up, 0));
  EXPECT_EQ(EvidenceBytes(Filled(down, 0)), bytes);
  EXPECT_EQ(EvidenceBytes(Filled(down, 1000)), bytes);
  // And by name, not by luck.
  EXPECT_LT(bytes.find("key10"), bytes.find("key11"));
  EXPECT_LT(bytes.find("key19"), bytes.find("key2"));
}

TEST(Evidence, WhatIsReadBackIsWhatWasWritten) {
  const std::string bytes = EvidenceBytes(Filled({3, 1, 2}, 10));
  v1::RunSummary back;
  ASSERT_TRUE(back.ParseFromString(bytes));
  EXPECT_EQ(EvidenceBytes(back), bytes);
  back.set_attempt(2);
  EXPECT_NE(EvidenceBytes(back), bytes);
}

}  // namespace
}  // namespace rackmark
