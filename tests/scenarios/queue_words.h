// What scripts say of scheduling: what a job asks for, what a machine is, and how the queue stands.
// Options are the name=value words of a line. Test code only.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"
#include "coordinator/core/state.h"
#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

using Options = std::map<std::string, std::string>;

// "15s", "200ms".
Nanos ParseDuration(const std::string& text);

// priority= preemptible=yes grace= lease_max= wall= node_seconds= within=node|domain|rack
// preferred=yes exclusive=yes model= label=key:value nodes=a,b
void AddWishes(const Options& options, v1::JobSpec& spec);

// domain= rack= model= label=key:value
void AddFacts(const Options& options, v1::NodeInfo& info);

// One line per job that waits, in order, and one of the last look at the queue.
std::vector<std::string> DescribeQueue(const State& state, Nanos now);

}  // namespace rackmark
