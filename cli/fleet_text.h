// Suites, schedules and states of nodes for people. Pure. All text from outside is escaped here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

// "1a2b3c4d-s3".
std::string DisplaySuite(std::string_view cluster_id, uint64_t suite_id);
// "PASS", "FAIL", "INCOMPLETE"; "-" while it is open.
std::string OutcomeText(v1::SuiteOutcome outcome);
// "cordoned, quarantined"; "-" if nothing is said of it.
std::string StateText(const v1::NodeStatus& node);

std::string SuitesTable(const v1::ListSuitesReply& reply);
// One suite: what was found, and its jobs.
std::string SuiteText(std::string_view cluster_id, const v1::SuiteStatus& suite);
std::string SchedulesTable(const v1::ListSchedulesReply& reply);
// What came of setting it.
std::string ScheduleText(const v1::ApplyScheduleReply& reply);
std::string NodeChangeText(const v1::ChangeNodeReply& reply);
std::string ForgottenText(const v1::ChangeNodeReply& reply);

// What is new of a suite since the last look, as lines that stay.
class SuiteNews {
 public:
  std::vector<std::string> Lines(const v1::SuiteStatus& suite, Nanos elapsed);

 private:
  std::map<uint64_t, std::string> known_;  // of each job
  bool checked_ = false;
};

}  // namespace rackmark
