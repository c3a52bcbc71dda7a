#include "common/interfaces.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rackmark {
namespace {

const std::vector<NetworkInterface> kThere = {
    {"eth0", true, true}, {"eth1", false, true}, {"eth2", true, false}, {"lo", true, true}};

std::string Complaint(std::string_view name, const std::vector<NetworkInterface>& there = kThere) {
  const absl::Status status = CheckInterfaceAmong(name, there);
  EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
  return std::string(status.message());
}

TEST(Interfaces, OneThatIsUpAndHasAnAddressWillDo) {
  EXPECT_EQ(Complaint("eth0"), "");
  EXPECT_EQ(Complaint("lo"), "");
}

TEST(Interfaces, AnyOtherIsNamedWithThoseThatWouldDo) {
  EXPECT_EQ(Complaint("nope0"),
            "nope0: there is no such network interface here; use one of eth0, lo");
  EXPECT_EQ(Complaint("eth1"), "eth1: this network interface is down; use one of eth0, lo");
  EXPECT_EQ(Complaint("eth2"), "eth2: this network interface has no address; use one of eth0, lo");
  EXPECT_EQ(Complaint("lo", {}),
            "lo: there is no such network interface here; no other one is up and has an address");
}

TEST(Interfaces, TheKernelsListHasEachOnce) {
  const auto there = NetworkInterfaces();
  ASSERT_TRUE(there.ok()) << there.status();
  ASSERT_FALSE(there->empty());
  std::vector<std::string> names;
  for (const NetworkInterface& interface : *there) {
    names.push_back(interface.name);
    const bool usable = interface.up && interface.has_address;
    EXPECT_EQ(CheckInterface(interface.name).ok(), usable) << interface.name;
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace rackmark
