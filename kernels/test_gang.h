// For tests: a gang of real processes, wired in one of the ways that collectives can travel, which
// this process watches over. Not part of any program.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/collective.h"
#include "kernels/host_channel.h"
#include "kernels/tree_plan.h"

namespace rackmark {

constexpr Nanos kPlenty = 120 * kSecond;  // of time, for what must not fail on a busy machine

enum class Wiring {
  kShm,          // one host
  kGloo,         // as many hosts as ranks
  kTwoHosts,     // the lower half of the ranks on one host, the rest on another
  kInterleaved,  // even ranks on one host, odd ones on another: no subtree shares a host
};
std::string NameOf(Wiring wiring);
HostGroups GroupsOf(Wiring wiring, int world);

// What a rank's body may use.
struct TestRank {
  Collective* collective = nullptr;
  HostChannel* channel = nullptr;
  std::function<void()> abort;           // all of it, from any thread
  std::function<void()> announce;        // to the parent: I block next
  std::function<void()> await_go;        // until the parent lets this rank go on
  std::function<void(std::string)> say;  // collected by the parent
};
using RankBody = std::function<absl::Status(int rank, TestRank& self)>;

struct GangScript {
  // When all of these have announced and sleep, `release` may go on.
  std::set<int> blocked = {};
  std::optional<int> release = {};
  // This rank's process dies. Then one survivor on each host that shares memory aborts, from
  // another of its threads; hosts of one rank must notice by themselves.
  std::optional<int> dies = {};
};
struct RankEnd {
  absl::Status status;
  bool killed = false;
  std::vector<std::string> said;
};

// One process per rank; returns when all have ended.
std::vector<RankEnd> RunGang(Wiring wiring, int world, const RankBody& body,
                             const GangScript& script = {});

}  // namespace rackmark
