#include "common/zone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackmark {
namespace {

using testing::HasSubstr;

TEST(FindZone, KnowsIanaNames) {
  for (const char* name : {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5",
                           "America/Port-au-Prince", "GMT0"}) {
    const auto zone = FindZone(name);
    ASSERT_TRUE(zone.ok()) << zone.status();
    EXPECT_EQ(zone->name(), name);
  }
  const auto berlin = FindZone("Europe/Berlin");
  EXPECT_EQ(berlin->At(absl::FromUnixSeconds(1'782'000'000)).offset, 7200);  // a day of June 2026
}

TEST(FindZone, RefusesWithTheNearestName) {
  const auto zone = FindZone("Europe/Berln");
  EXPECT_EQ(zone.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FromAbsl(zone.status().message()),
            "there is no time zone \"Europe/Berln\"; did you mean Europe/Berlin?");
  EXPECT_THAT(std::string(FindZone("").status().message()),
              HasSubstr("write an IANA name, for example Europe/Berlin or UTC"));
}

// Each of these would make the library read a file that is no zone, or one that other machines have
// another of.
TEST(FindZone, OpensNothingButNamesOfTheDatabase) {
  for (const std::string name :
       {"localtime", "Local", "/usr/share/zoneinfo/UTC", "../zoneinfo/UTC", "Europe/../UTC",
        "posix/UTC", "right/UTC", "posixrules", "file:/etc/passwd", "Fixed/UTC+05:30:00", "UTC ",
        "zone1970.tab", "Europe", "Europe/", "Europe/Berlin\n"}) {
    const auto zone = FindZone(name);
    EXPECT_EQ(zone.status().code(), absl::StatusCode::kNotFound) << name;
  }
  EXPECT_FALSE(FindZone(std::string_view("UTC\0", 4)).ok());
  EXPECT_FALSE(FindZone("A" + std::string(10'000, 'a')).ok());
}

}  // namespace
}  // namespace rackmark
