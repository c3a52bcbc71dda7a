// Which sample stream a rank's samples belong to, and the node's own telemetry stream beside them:
// open from the moment that a rank here is told a run until no rank here delivers for it any more.
// Loop thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/time.h"
#include "worker/daemon/local_state.h"
#include "worker/daemon/ranks.h"
#include "worker/daemon/sample_streams.h"
#include "worker/device/telemetry.h"

namespace rackmark {

class RunStreams : public RankListener {
 public:
  RunStreams(SampleStreams* streams, Telemetry* telemetry, const LocalState* state,
             const Clock* clock)
      : streams_(streams), telemetry_(telemetry), state_(state), clock_(clock) {}

  void OnTold(const RankRef& ref, const RunKey& run) override;
  void OnSamples(const RankRef& ref, const RunKey& run, const v1::ChunkPayload& payload) override;
  void OnSamplesEnd(const RankRef& ref, const RunKey& run) override;
  void OnOver(const RankRef& ref, const RunKey& run) override;

  // Telemetry into every node stream that is open.
  void Tick(Nanos now);
  std::optional<Nanos> NextTick() const;
  Interest InterestIn(const StreamKey& key) const;

 private:
  struct NodeStream {
    StreamKey key;
    std::set<uint32_t> working;  // ranks here that still deliver
  };
  SampleStreams* streams_;
  Telemetry* telemetry_;
  const LocalState* state_;
  const Clock* clock_;
  std::map<std::pair<uint64_t, RunKey>, NodeStream> node_streams_;  // by lease and run
  std::map<RunKey, uint64_t> lease_of_;  // of runs that were told on leases that are still here
};

}  // namespace rackmark
