#include "coordinator/core/expect.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using expect::Presence;
using expect::Seen;
using testing::ElementsAre;
using testing::IsEmpty;

// A node of GPUs with serials "<name>0", "<name>1", ... in slots 0, 1, ...
v1::NodeInfo Gpus(const std::string& name, uint32_t count) {
  v1::NodeInfo node;
  node.set_name(name);
  node.set_driver("580.65.06");
  for (uint32_t i = 0; i < count; ++i) {
    v1::Device* device = node.add_devices();
    device->set_index(i);
    device->set_kind(v1::DEVICE_KIND_GPU);
    device->set_model("NVIDIA H200");
    device->set_links(18);
    device->set_memory_bytes(uint64_t{140} << 30);
    device->set_nvlink_domain("u.1");
    device->set_slot(std::to_string(i));
    device->set_serial(name + std::to_string(i));
  }
  return node;
}

class ExpectTest : public testing::Test {
 protected:
  ExpectTest() {
    expected_.set_kind(v1::DEVICE_KIND_GPU);
    for (const char* name : {"a", "b", "c"}) nodes_.push_back(Gpus(name, 4));
  }

  void Slot(const std::string& node, const std::string& slot, const std::string& serial) {
    v1::ExpectedPart* part = expected_.add_slots();
    part->set_node(node);
    part->set_slot(slot);
    part->set_serial(serial);
  }

  std::vector<std::string> Look() const {
    std::vector<Seen> seen;
    for (const v1::NodeInfo& node : nodes_) {
      const auto at = presence_.find(node.name());
      const Presence presence = at == presence_.end() ? Presence::kThere : at->second;
      seen.push_back({&node, presence, presence == Presence::kThere ? "" : "set aside"});
    }
    std::vector<std::string> lines;
    for (const v1::Finding& finding : expect::Compare(expected_, seen)) {
      const std::string kind = v1::FindingKind_Name(finding.kind()).substr(13);
      lines.push_back(kind + " " + SentenceOf(finding));
    }
    return lines;
  }

  v1::Expectation expected_;
  std::vector<v1::NodeInfo> nodes_;
  std::map<std::string, Presence> presence_;
};

TEST_F(ExpectTest, NothingAskedNothingFound) { EXPECT_THAT(Look(), IsEmpty()); }

TEST_F(ExpectTest, AllThatIsAskedIsThere) {
  for (const char* name : {"a", "b", "c"}) expected_.add_nodes(name);
  expected_.set_devices_per_node(4);
  expected_.set_model("h200");
  expected_.set_links_per_device(18);
  expected_.set_one_domain(true);
  expected_.set_alike(true);
  expected_.set_driver("580");
  Slot("a", "0", "a0");
  for (int i = 0; i < 4; ++i) Slot("b", std::to_string(i), "b" + std::to_string(i));
  for (int i = 1; i < 4; ++i) Slot("a", std::to_string(i), "a" + std::to_string(i));
  EXPECT_THAT(Look(), IsEmpty());
}

TEST_F(ExpectTest, NodesByNameAndByCount) {
  expected_.add_nodes("a");
  expected_.add_nodes("b");
  expected_.add_nodes("d");
  EXPECT_THAT(Look(), ElementsAre("EXTRA node c is not expected", "MISSING node d is missing"));
  expected_.clear_nodes();
  expected_.set_node_count(4);
  EXPECT_THAT(Look(), ElementsAre("MISSING the fleet: nodes missing, expected 4, found 3"));
  expected_.set_node_count(2);
  EXPECT_THAT(Look(), ElementsAre("EXTRA the fleet: too many nodes, expected 2, found 3"));
}

TEST_F(ExpectTest, WhoIsGoneIsMissedOnlyWhereNobodyCameInItsPlace) {
  expected_.set_node_count(2);
  presence_["a"] = Presence::kAbsent;
  EXPECT_THAT(Look(), IsEmpty());  // c came in place of a
  presence_["b"] = Presence::kAbsent;
  EXPECT_THAT(Look(), ElementsAre("EXCLUDED node b is excluded: set aside"));  // the last to come
  presence_["a"] = Presence::kSilent;
  EXPECT_THAT(Look(), ElementsAre("EXCLUDED node a is excluded: set aside"));  // it may yet report
  presence_["a"] = Presence::kSetAside;  // there, and not to be used
  EXPECT_THAT(Look(), ElementsAre("EXCLUDED node a is excluded: set aside"));
  expected_.set_node_count(4);
  EXPECT_THAT(Look(), ElementsAre("MISSING the fleet: nodes missing, expected 4, found 3",
                                  "EXCLUDED node a is excluded: set aside",
                                  "EXCLUDED node b is excluded: set aside"));
  expected_.set_node_count(1);
  EXPECT_THAT(Look(), ElementsAre("EXTRA the fleet: too many nodes, expected 1, found 2",
                                  "EXCLUDED node a is excluded: set aside"));
  EXPECT_FALSE(expect::Meant(expected_).Complete({}, 0));
  EXPECT_TRUE(expect::Meant(expected_).Complete({}, 1));
}

TEST_F(ExpectTest, DevicesThatNothingIsPlacedOnAreExcluded) {
  v1::Device* cpu = nodes_[0].add_devices();
  cpu->set_index(4);
  cpu->set_kind(v1::DEVICE_KIND_CPU);
  const std::map<uint32_t, std::string> unusable = {{1, "unhealthy: ECC"}, {4, "unhealthy"}};
  const std::vector<Seen> seen = {{&nodes_[0], Presence::kThere, "", unusable}};
  const auto found = expect::Compare(expected_, seen);
  ASSERT_EQ(found.size(), 1u);  // the CPU slot is not meant
  EXPECT_EQ(found[0].kind(), v1::FINDING_KIND_EXCLUDED);
  EXPECT_EQ(found[0].device(), 1u);
  EXPECT_EQ(SentenceOf(found[0]), "node a slot 1 (serial a1) is excluded: unhealthy: ECC");
  expected_.add_nodes("z");
  EXPECT_TRUE(expect::Excluded(expected_, seen).empty());  // a is too many, and not excluded
  expected_.add_nodes("a");
  EXPECT_EQ(expect::Compare(expected_, seen).size(), 2u);
  EXPECT_EQ(expect::Excluded(expected_, seen).size(), 1u);
}

TEST_F(ExpectTest, LabelsSayWhoIsMeant) {
  (*nodes_[1].mutable_labels())["rack"] = "r1";
  (*expected_.mutable_labels())["rack"] = "r1";
  expected_.set_node_count(1);
  nodes_[0].mutable_devices(0)->set_links(1);  // of a node that is not meant
  expected_.set_links_per_device(18);
  EXPECT_THAT(Look(), IsEmpty());
}

TEST_F(ExpectTest, AMissingDeviceIsNamedByTheSlotThatOthersHave) {
  expected_.set_devices_per_node(4);
  nodes_[2].mutable_devices()->DeleteSubrange(2, 1);
  EXPECT_THAT(Look(), ElementsAre("MISSING node c slot 2: devices missing, expected 4, found 3"));
}

TEST_F(ExpectTest, OddOnesOutBySerialAndSlot) {
  expected_.set_links_per_device(18);
  nodes_[1].mutable_devices(3)->set_links(12);
  nodes_[1].mutable_devices(0)->clear_links();
  EXPECT_THAT(Look(),
              ElementsAre("ODD_ONE_OUT node b slot 0 (serial b0): links is unknown, expected 18",
                          "ODD_ONE_OUT node b slot 3 (serial b3): links is 12, expected 18"));
}

TEST_F(ExpectTest, ANodeThatDiffersAsAWholeIsOneFinding) {
  expected_.set_alike(true);
  nodes_[0] = Gpus("a", 4);
  for (v1::Device& device : *nodes_[0].mutable_devices()) device.set_model("NVIDIA H100");
  nodes_[0].set_driver("570.1");
  EXPECT_THAT(Look(), ElementsAre("ODD_ONE_OUT node a: model is NVIDIA H100, expected NVIDIA H200",
                                  "ODD_ONE_OUT node a: driver is 570.1, expected 580.65.06"));
}

TEST_F(ExpectTest, MemoryMayDifferByWhatTheKernelKeeps) {
  expected_.set_alike(true);
  nodes_[0].mutable_devices(0)->set_memory_bytes((uint64_t{140} << 30) - (1 << 30));
  EXPECT_THAT(Look(), IsEmpty());
  nodes_[0].mutable_devices(0)->set_memory_bytes(uint64_t{80} << 30);
  EXPECT_EQ(Look().size(), 1u);
  nodes_[0].mutable_devices(0)->clear_memory_bytes();
  EXPECT_THAT(Look(), ElementsAre("ODD_ONE_OUT node a slot 0 (serial a0): memory is unknown, "
                                  "expected 150323855360 bytes"));
}

// Sizes that differ a little are one size: eight good parts of as many sizes against two bad ones.
TEST_F(ExpectTest, MemoryIsThatOfMostWithinTheTolerance) {
  expected_.set_alike(true);
  for (int n = 0; n < 3; ++n) {
    for (int i = 0; i < 4; ++i) {
      const uint64_t kept = static_cast<uint64_t>(4 * n + i) << 20;
      nodes_[static_cast<size_t>(n)].mutable_devices(i)->set_memory_bytes((140ull << 30) - kept);
    }
  }
  for (int i = 0; i < 2; ++i) nodes_[2].mutable_devices(i)->set_memory_bytes(80ull << 30);
  const std::vector<std::string> found = Look();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].substr(0, 47), "ODD_ONE_OUT node c slot 0 (serial c0): memory i");
  EXPECT_EQ(found[1].substr(0, 47), "ODD_ONE_OUT node c slot 1 (serial c1): memory i");
  for (v1::NodeInfo& node : nodes_) {
    for (v1::Device& device : *node.mutable_devices()) device.set_memory_bytes(0);
  }
  EXPECT_THAT(Look(), IsEmpty());
}

TEST_F(ExpectTest, WhatMostDoNotSayIsNoMajority) {
  expected_.set_alike(true);
  for (v1::NodeInfo& node : nodes_) {
    node.clear_driver();
    for (v1::Device& device : *node.mutable_devices()) {
      device.clear_links();
      device.clear_model();
      device.clear_memory_bytes();
    }
  }
  EXPECT_THAT(Look(), IsEmpty());
  nodes_[0] = Gpus("a", 4);
  EXPECT_THAT(Look(),
              ElementsAre("ODD_ONE_OUT node b: model is unknown, expected NVIDIA H200",
                          "ODD_ONE_OUT node c: model is unknown, expected NVIDIA H200",
                          "ODD_ONE_OUT node b: links is unknown, expected 18",
                          "ODD_ONE_OUT node c: links is unknown, expected 18",
                          "ODD_ONE_OUT node b: memory is unknown, expected 150323855360 bytes",
                          "ODD_ONE_OUT node c: memory is unknown, expected 150323855360 bytes",
                          "ODD_ONE_OUT node b: driver is unknown, expected 580.65.06",
                          "ODD_ONE_OUT node c: driver is unknown, expected 580.65.06"));
}

TEST_F(ExpectTest, OneDomain) {
  expected_.set_one_domain(true);
  nodes_[0].mutable_devices(1)->set_nvlink_domain("u.2");
  for (v1::Device& device : *nodes_[2].mutable_devices()) device.clear_nvlink_domain();
  EXPECT_THAT(Look(),
              ElementsAre("ODD_ONE_OUT node a slot 1 (serial a1): domain is u.2, expected u.1",
                          "ODD_ONE_OUT node c: domain is none, expected u.1"));
}

TEST_F(ExpectTest, NoDomainAtAllIsNoDomain) {
  expected_.set_one_domain(true);
  for (v1::NodeInfo& node : nodes_) {
    for (v1::Device& device : *node.mutable_devices()) device.clear_nvlink_domain();
  }
  EXPECT_EQ(Look().size(), 3u);
}

TEST_F(ExpectTest, DriverAsAWholeOrUpToADot) {
  expected_.set_driver("580.6");
  EXPECT_EQ(Look().size(), 3u);
  expected_.set_driver("580.65");
  EXPECT_THAT(Look(), IsEmpty());
  nodes_[0].clear_driver();
  EXPECT_THAT(Look(), ElementsAre("ODD_ONE_OUT node a: driver is unknown, expected 580.65"));
}

TEST_F(ExpectTest, SwappedReplacedEmptyAndUnread) {
  Slot("a", "0", "a1");
  Slot("a", "1", "a0");
  Slot("a", "2", "z9");
  Slot("a", "3", "b0");
  Slot("a", "7", "y1");
  EXPECT_THAT(
      Look(),
      ElementsAre("SWAPPED node a slot 0 (serial a0): swapped, expected a1, found a0 (it is in a "
                  "slot 1)",
                  "SWAPPED node a slot 1 (serial a1): swapped, expected a0, found a1 (it is in a "
                  "slot 0)",
                  "MISSING node a slot 2 (serial a2): serial missing, expected z9, found a2",
                  "SWAPPED node a slot 3 (serial a3): swapped, expected b0, found a3 (it is in b "
                  "slot 0)",
                  "MISSING node a slot 7: serial missing, expected y1, found an empty slot"));
  nodes_[0].mutable_devices(2)->clear_serial();
  EXPECT_THAT(Look()[2], "ODD_ONE_OUT node a slot 2: serial is unknown, expected z9");
}

TEST_F(ExpectTest, AnExtraPartInAMappedNode) {
  for (int i = 0; i < 3; ++i) Slot("a", std::to_string(i), "a" + std::to_string(i));
  EXPECT_THAT(Look(), ElementsAre("EXTRA node a slot 3 (serial a3) is not expected"));
}

// A driver may count several devices as one slot, or know of none.
TEST_F(ExpectTest, SeveralDevicesInASlotAndOneInNone) {
  for (v1::Device& device : *nodes_[0].mutable_devices()) device.set_slot("module 0");
  Slot("a", "module 0", "a2");
  EXPECT_THAT(Look(), ElementsAre("EXTRA node a slot module 0 (serial a0) is not expected",
                                  "EXTRA node a slot module 0 (serial a1) is not expected",
                                  "EXTRA node a slot module 0 (serial a3) is not expected"));
  nodes_[0].mutable_devices()->DeleteSubrange(1, 3);
  nodes_[0].mutable_devices(0)->set_slot("");
  v1::Device* cpu = nodes_[0].add_devices();  // no part
  cpu->set_index(7);
  cpu->set_kind(v1::DEVICE_KIND_CPU);
  EXPECT_THAT(
      Look(),
      ElementsAre("MISSING node a slot module 0: serial missing, expected a2, found an empty "
                  "slot",
                  "EXTRA node a device 0 (serial a0) is not expected"));
}

TEST_F(ExpectTest, OfExcludedNodesNothingIsSaid) {
  for (const char* name : {"a", "b"}) expected_.add_nodes(name);
  expected_.set_devices_per_node(4);
  Slot("a", "0", "z0");
  nodes_[0].clear_devices();
  presence_["a"] = Presence::kSetAside;
  presence_["c"] = Presence::kAbsent;  // neither named nor there
  EXPECT_THAT(Look(), ElementsAre("EXCLUDED node a is excluded: set aside"));
}

TEST_F(ExpectTest, FaultsComeFirstAndTheListIsBounded) {
  nodes_.clear();
  for (int i = 0; i < 600; ++i) nodes_.push_back(Gpus("n" + std::to_string(1000 + i), 1));
  for (int i = 0; i < 300; ++i) presence_["n" + std::to_string(1000 + i)] = Presence::kAbsent;
  expected_.set_links_per_device(4);
  const std::vector<std::string> found = Look();
  ASSERT_EQ(found.size(), expect::kFindingsMax);
  EXPECT_EQ(found.front().substr(0, 11), "ODD_ONE_OUT");
  EXPECT_EQ(found.back(), "ODD_ONE_OUT the fleet: findings is 345 more");
}

TEST_F(ExpectTest, WhatNodesSayIsCutToWholeCharacters) {
  expected_.set_driver("580");
  std::string driver = "x";
  for (int i = 0; i < 1000; ++i) driver += "\xc3\xa4";
  nodes_[0].set_driver(driver);
  const std::vector<std::string> found = Look();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0],
            "ODD_ONE_OUT node a: driver is " + driver.substr(0, 253) + "..., expected 580");
  nodes_[0].set_driver("y" + driver);
  EXPECT_EQ(Look()[0],
            "ODD_ONE_OUT node a: driver is " + ("y" + driver).substr(0, 252) + "..., expected 580");
}

}  // namespace
}  // namespace rackmark
