// Typed counters that do not mix: a RunId is no JobId. Counted by the coordinator's State from 1;
// 0 is "none" on the wire only. Plus the random identities of PROTOCOL 1.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace rackmark {

template <typename Tag>
struct Id {
  uint64_t value = 0;
  auto operator<=>(const Id&) const = default;
  bool IsNone() const { return value == 0; }
};

using NodeId = Id<struct NodeTag>;
using JobId = Id<struct JobTag>;
using RunId = Id<struct RunTag>;
using LeaseId = Id<struct LeaseTag>;

// What people see: "<first 8 of cluster_id>-r17" for a run, -j3 for a job.
std::string DisplayRun(std::string_view cluster_id, RunId run);
std::string DisplayJob(std::string_view cluster_id, JobId job);

// n random bytes of the kernel's generator as 2n hex digits.
std::string RandomHex(int bytes);

// Protocol versions that this build speaks.
constexpr uint32_t kProtocolMin = 1;
constexpr uint32_t kProtocolMax = 1;

}  // namespace rackmark
