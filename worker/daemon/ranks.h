// The live rank processes of this node: does what reconcile says, reads what they say, reaps them,
// and keeps LocalState true to it. Owns processes and pipes. Loop thread; never blocks.
#pragma once

#include <poll.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "worker/daemon/artifact_cache.h"
#include "worker/daemon/leftovers.h"
#include "worker/daemon/local_state.h"
#include "worker/daemon/process.h"
#include "worker/daemon/rank_link.h"
#include "worker/daemon/reconcile.h"

namespace rackmark {

// What ranks deliver, in their order. Called from within Service and Do.
class RankListener {
 public:
  virtual ~RankListener() = default;
  // The rank was told a run that it was not told before.
  virtual void OnTold(const RankRef& ref, const RunKey& run) = 0;
  virtual void OnSamples(const RankRef& ref, const RunKey& run,
                         const v1::ChunkPayload& payload) = 0;
  virtual void OnSamplesEnd(const RankRef& ref, const RunKey& run) = 0;
  // The rank delivers nothing more for that run: done, gone, or on to another one.
  virtual void OnOver(const RankRef& ref, const RunKey& run) = 0;
};

class Ranks {
 public:
  struct Options {
    v1::NodeInfo node;
    ProcessRunner* processes = nullptr;
    Leftovers* leftovers = nullptr;
    RankListener* listener = nullptr;
    ArtifactCache* artifacts = nullptr;
    MachineFiles files;
    std::function<v1::Identity()> identity;
    v1::TransportPolicy transport = v1::TRANSPORT_POLICY_AUTO;
    std::string interface = {};  // as in RankInit
  };
  Ranks(Options options, LocalState* state) : options_(std::move(options)), state_(state) {}

  // `dead_man`: that long without a frame of ours, and a rank ends itself; that long without one of
  // its own, and it has failed.
  void Do(const Action& action, Nanos dead_man, Nanos now);
  void AddPollFds(std::vector<pollfd>* fds) const;
  // Reads, writes and reaps whatever is ready.
  void Service(Nanos now);
  void KeepAlive();
  void ReadMemory();
  // SIGKILL to every process group that lives; `kind` is their failure unless they have one.
  void KillAll(v1::FailureKind kind, std::string_view detail, Nanos now);
  // A process has ended its pipe or was killed, and is still to be reaped: look again soon.
  bool Dying() const;

 private:
  struct Live {
    int pid;
    std::unique_ptr<RankLink> link;
    std::optional<Nanos> pipe_ended;
    Nanos silence_max;                             // the dead-man deadline, the other way round
    std::optional<Nanos> heard_at;                 // or first looked after
    std::unique_ptr<ArtifactFeed> feed = nullptr;  // what of it does not fit in the pipe yet
  };
  LocalRank* Find(const RankRef& ref);
  void Start(const StartRank& action, Nanos dead_man);
  void StartFeed(const FeedRank& action);
  void Feed(const RankRef& ref, Live* live, Nanos now);
  void Refuse(const RefuseRun& action, Nanos now);
  void Tell(const SendRun& action, Nanos now);
  void NoteTold(const RankRef& ref, const v1::DesiredRun& run);
  void SendTo(const RankRef& ref, v1::ToRank frame, Nanos now);
  void Kill(const RankRef& ref, Nanos now);
  void Fail(const RankRef& ref, v1::FailureKind kind, std::string_view detail);
  v1::Failure MakeFailure(const RankRef& ref, v1::FailureKind kind, std::string_view detail);
  void Receive(const RankRef& ref, Live* live, Nanos now);
  void ForgiveStall(Nanos now);
  void CheckSilence(const RankRef& ref, const Live& live, Nanos now);
  void Take(const RankRef& ref, v1::FromRank* frame, Nanos now);
  void TakeStatus(const RankRef& ref, v1::RankStatus* status, Nanos now);
  void Reaped(const RankRef& ref, std::string_view how);

  const Options options_;
  LocalState* state_;
  std::map<RankRef, Live> live_;
  std::optional<Nanos> serviced_at_;
};

}  // namespace rackmark
