// What a node says of itself stays in State and log for as long as it is known: all of it is
// bounded.
#include "coordinator/core/validate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

v1::Report Said() {
  v1::Report report;
  report.mutable_identity()->set_incarnation("i");
  report.mutable_node()->set_name("n1");
  report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_GPU);
  return report;
}

TEST(ValidateReport, EachWordOfANodeIsBounded) {
  const std::string fits(253, 'x'), longer(254, 'x');
  using Set = void (*)(v1::NodeInfo&, const std::string&);
  const Set sets[] = {
      [](v1::NodeInfo& node, const std::string& s) { node.set_boot_id(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.set_host_id(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.set_rack(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.set_driver(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.mutable_devices(0)->set_model(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.mutable_devices(0)->set_uuid(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.mutable_devices(0)->set_serial(s); },
      [](v1::NodeInfo& node, const std::string& s) { node.mutable_devices(0)->set_slot(s); },
      [](v1::NodeInfo& node, const std::string& s) {
        node.mutable_devices(0)->set_nvlink_domain(s);
      }};
  for (const Set set : sets) {
    v1::Report report = Said();
    set(*report.mutable_node(), fits);
    EXPECT_TRUE(ValidateReport(report).ok()) << ValidateReport(report);
    set(*report.mutable_node(), longer);
    EXPECT_EQ(ValidateReport(report).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ValidateReport, SoAreListsAndTheEnvironment) {
  v1::Report report = Said();
  v1::Environment& environment = *report.mutable_node()->mutable_environment();
  (*environment.mutable_more())["cpu_flags"] = std::string(8000, 'x');
  EXPECT_TRUE(ValidateReport(report).ok());
  (*environment.mutable_more())["cpu_flags"] = std::string(70000, 'x');
  EXPECT_THAT(ValidateReport(report).ToString(), HasSubstr("environment"));
  report = Said();
  for (uint32_t cpu = 0; cpu < 8192; ++cpu)
    report.mutable_node()->mutable_devices(0)->add_cpus(cpu);
  EXPECT_TRUE(ValidateReport(report).ok());
  report.mutable_node()->mutable_devices(0)->add_cpus(0);
  EXPECT_THAT(ValidateReport(report).ToString(), HasSubstr("devices[0].cpus"));
  report.mutable_node()->mutable_devices(0)->mutable_cpus()->RemoveLast();
  for (uint32_t i = 1; i < 16; ++i) {
    v1::Device device = report.node().devices(0);
    device.set_index(i);
    *report.mutable_node()->add_devices() = device;
  }
  EXPECT_TRUE(ValidateReport(report).ok());
  v1::Device* more = report.mutable_node()->add_devices();
  more->set_index(16);
  more->set_kind(v1::DEVICE_KIND_CPU);
  more->add_cpus(0);
  EXPECT_THAT(ValidateReport(report).ToString(), HasSubstr("131072 at most"));
}

}  // namespace
}  // namespace rackmark
