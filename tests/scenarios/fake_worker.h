// A worker daemon without processes: follows its desired state one phase per step, and can be told
// to misbehave. Knows only the wire's messages.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

class FakeWorker {
 public:
  FakeWorker(std::string name, uint32_t cpus, uint32_t gpus);

  // A reply came: what it says is what will be done from the next Step on.
  void Hear(const v1::SyncReply& reply);
  // Every rank goes one phase towards what is desired; what is not desired is gone.
  void Step();
  v1::Report MakeReport(uint64_t report_number);
  // kill -9 and start: a new incarnation that knows nothing.
  void Restart();
  // The same with the machine under it: another boot.
  void Reboot();

  // What goes wrong, until it is undone.
  v1::RankPhase hold = v1::RANK_PHASE_EXITED;  // ranks go no further than this
  bool drains = true;
  bool releases = true;  // false: processes survive being unwanted
  bool forgets = false;  // starts no rank, and does not know why
  bool deaf = false;     // answers do not reach it
  bool frozen = false;   // its ranks live and get nothing done
  uint64_t dropped_results = 0;
  std::string refused;  // why the coordinator will never take the streams of its ranks
  std::map<uint32_t, std::string> unhealthy;  // device -> reason
  std::map<uint32_t, v1::Failure> broken;     // rank -> how it failed; RANK_DIED = exited

  const std::string& name() const { return info_.name(); }
  v1::NodeInfo& info() { return info_; }  // what the machine is, as it will report it

 private:
  struct Rank {
    uint32_t device = 0;
    v1::RankPhase phase = v1::RANK_PHASE_STARTING;
    uint64_t run = 0;
    uint32_t attempt = 0;
    std::optional<v1::Failure> failure;
    uint64_t progress = 0;
    // Of its runs, by run and attempt: whether they are closed. Gone when a later one is measured.
    std::map<std::pair<uint64_t, uint32_t>, bool> streams;
  };
  struct Lease {
    uint32_t generation = 0;
    std::map<uint32_t, Rank> ranks;
  };

  void StepRank(const v1::DesiredLease& desired, Rank& rank);
  void AddStreams(const Lease& lease, v1::Report& report) const;

  v1::NodeInfo info_;
  v1::Identity identity_;
  int incarnations_ = 0;
  int boots_ = 1;
  v1::DesiredState desired_;
  std::map<uint64_t, Lease> leases_;
};

}  // namespace rackmark
