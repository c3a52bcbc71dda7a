#include "coordinator/core/config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

TEST(Config, DefaultsHold) { EXPECT_TRUE(CheckConfig(CoreConfig{}).ok()); }

TEST(Config, DevicesAreNeverReusedBeforeTheFence) {
  CoreConfig config;
  config.release_after = config.fence_after;
  EXPECT_THAT(CheckConfig(config).ToString(), HasSubstr("fence_after (30 s) must be less than "
                                                        "release_after (30 s)"));
}

TEST(Config, EachRelationIsChecked) {
  const auto broken = [](auto change) {
    CoreConfig config;
    change(config);
    return !CheckConfig(config).ok();
  };
  EXPECT_TRUE(broken([](CoreConfig& c) { c.sync_interval = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.sync_interval = 7 * kSecond; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.suspect_after = c.lost_after; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.lost_after = c.fence_after; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.tick_max = c.stall_after; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.stall_after = c.suspect_after; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.setup_attempts = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.lease_kills = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.quarantine_offences = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.quarantine_offences = kQuarantineOffencesMax + 1; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.quarantine_percent = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.quarantine_percent = 101; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.probation_runs = 0; }));
  EXPECT_TRUE(broken([](CoreConfig& c) { c.quarantine_window = c.release_after; }));
}

}  // namespace
}  // namespace rackmark
