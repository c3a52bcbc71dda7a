// The sample streams of one node, as worker/daemon's run_streams, sample_streams and spool keep
// them, without files: chunks are numbers. What is sealed outlives the daemon and not the machine.
// One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "coordinator/store/store.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/daemon/local_state.h"
#include "worker/daemon/reconcile.h"

namespace rackmark::sim {

class Streams {
 public:
  // A new daemon: what is sealed is still there, what was open is not.
  void NewDaemon();
  void Lose() { spool_.clear(); }

  void OnTold(const LocalState& state, const RankRef& ref, const RunKey& run);
  void OnSamples(const RankRef& ref, const RunKey& run);
  void OnSamplesEnd(const RankRef& ref, const RunKey& run);
  void OnOver(const RankRef& ref, const RunKey& run);

  std::vector<v1::StreamReport> Reports() const;
  void Drop(const LocalState& state, Nanos now);

  // A new PushSamples stream: everything unacked goes again.
  void Reconnected();
  // Chunks that were not sent on it yet, at most `max`.
  v1::SampleBatch Next(const std::string& cluster_id, int max);
  void OnAck(const v1::SampleAck& ack);
  bool HasUnsent() const;
  uint64_t unacked() const;

 private:
  struct Spooled {
    uint64_t sealed = 0, acked = 0, sent = 0;
    bool closed = false;  // the last sealed one is marked `last`
    std::string refused;
    bool of_this_daemon = false;
    std::optional<Nanos> over_at;
    bool drained() const { return closed && acked == sealed; }
  };
  struct NodeStream {
    StreamKey key;
    std::set<uint32_t> working;
  };
  void Open(const StreamKey& key);
  void Close(const StreamKey& key);
  bool StillWanted(const LocalState& state, const StreamKey& key, Nanos over_at, Nanos now) const;

  std::map<StreamKey, Spooled> spool_;
  std::map<std::pair<uint64_t, RunKey>, NodeStream> node_streams_;  // by lease and run
  std::map<RunKey, uint64_t> lease_of_;
};

}  // namespace rackmark::sim
