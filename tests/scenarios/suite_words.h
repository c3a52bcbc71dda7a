// What scripts say of suites and schedules: parts and what they wait for, what is expected of the
// machines, rules of time. Options are the name=value words of a line. Test code only.
#pragma once

#include <string>
#include <vector>

#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/suite.pb.h"
#include "tests/scenarios/queue_words.h"

namespace rackmark {

// after=a,b:any gate=yes
void AddPart(const Options& options, v1::Job& job);

// nodes=a,b count= per_node= kind=gpu model= links= domain=one alike=yes driver= wait=
// label=key:value slots=n1/3:SERIAL,...
v1::Expectation MakeExpectation(const Options& options);

// serials=A,B,.. (slot = place in the list) links=18 or one for each device, driver=, gib=
void AddParts(const Options& options, v1::NodeInfo& info);

// when=0_2_*_*_* zone= policy=forbid deadline= jitter= suspend=yes closed=0_1_*_*_*/7200s
// budget=0_18_*_*_*/node-seconds keep=3/1; of what it submits nothing.
v1::Schedule MakeSchedule(const std::string& name, const Options& options);

// "2026-03-29T00:30:00Z"
Nanos ParseTime(const std::string& text);
std::string TimeText(Nanos unix_ns);

std::vector<std::string> DescribeSuite(const State& state, SuiteId suite);
std::string DescribeSchedule(const State& state, ScheduleId schedule, Now now);

// SuiteSubmitted to ScheduleDecided, one line.
bool IsSuiteEvent(const v1::Event& event);
std::string DescribeSuiteEvent(const v1::Event& event);
// Of HardState, all that is theirs.
std::string DescribeSuites(const HardState& hard);

}  // namespace rackmark
