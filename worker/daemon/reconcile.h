// What must be done so that the local state becomes the desired one (law 4). Pure and idempotent:
// applied again after its actions are done, it answers nothing. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/daemon/local_state.h"

namespace rackmark {

constexpr Nanos kStopGrace = 2 * kSecond;  // from RankStop to SIGKILL

struct RankRef {
  uint64_t lease_id = 0;
  uint32_t rank = 0;
  auto operator<=>(const RankRef&) const = default;
};

struct StartRank {
  RankRef ref;
  uint32_t generation;
  uint32_t world_size;
  uint32_t device;
  v1::DeviceKind kind;
  std::optional<v1::Hold> hold;
  bool whole_gang = false;  // no rank of the gang is on another node
};
struct SendConnect {
  RankRef ref;
  v1::RankConnect connect;
};
struct SendRun {
  RankRef ref;
  v1::DesiredRun run;
};
struct FeedRank {  // a file that its next run refers to
  RankRef ref;
  std::string sha256;
};
struct RefuseRun {  // its file cannot be had: the rank counts as failed in this run
  RankRef ref;
  v1::DesiredRun run;
  std::string detail;
};
struct StopRank {  // RankStop; SIGKILL follows after kStopGrace
  RankRef ref;
};
struct KillRank {  // SIGKILL to the process group
  RankRef ref;
};
struct ForgetLease {  // nothing is left of it
  uint64_t lease_id;
};
using Action = std::variant<StartRank, SendConnect, SendRun, FeedRank, RefuseRun, StopRank,
                            KillRank, ForgetLease>;

std::vector<Action> Reconcile(const v1::DesiredState& desired, const LocalState& local, Nanos now);

// The file to fetch: the first one that a rank here waits for and that is not here.
std::optional<std::string> WantedArtifact(const v1::DesiredState& desired, const LocalState& local);

// When Reconcile has something new to say though nothing else changed: the next end of a grace.
std::optional<Nanos> NextReconcile(const LocalState& local);

}  // namespace rackmark
