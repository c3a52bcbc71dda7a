// What a coordinator does turn by turn (PROTOCOL 3): takes up to 64 commands and reads, lets the
// core decide each, appends all events in one transaction, and only then releases replies, reads,
// desired states and judging work: nobody hears of what is not on disk. What is due by time alone
// is told before the commands of the same turn are decided, if nodes must hear of it. Owns State.
// Knows no thread and no clock but the one it is given, so that the loop's thread and the simulator
// drive the same code. One thread.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "coordinator/core/command.h"
#include "coordinator/core/state.h"
#include "coordinator/store/store.h"

namespace rackmark {

// What a command or read came to, after the commit. `state` is null only if the loop has stopped
// (status is UNAVAILABLE then).
struct Outcome {
  absl::Status status;
  Reply reply;
  const State* state = nullptr;
  Now now;
};
using Then = std::function<void(const Outcome&)>;

// Told after a commit, by who drives the turns; must not wait.
class LoopListener {
 public:
  virtual ~LoopListener() = default;
  virtual void DesiredChanged(NodeId node, const State& state) = 0;
  virtual void RunToJudge(RunId run) = 0;
  // The job has left State; this is all that is left of it. Before Committed.
  virtual void JobEnded(const v1::EndedJob&) {}
  virtual void Committed(const State& state, Now now) = 0;  // only if there were events
};

class Turns {
 public:
  struct Options {
    CoreConfig config;
    EventStore* events = nullptr;
    const Clock* clock = nullptr;
    // A snapshot is written when this much was logged since the last one.
    uint64_t snapshot_events = 10'000;
    uint64_t snapshot_bytes = 64 << 20;
    // Asked before anybody is answered, reads too. Not OK: another may lead. May be empty.
    std::function<absl::Status()> check_lead;
    // A node says that it has heard a later leader. Its word ends nobody but its own stream,
    // because any node may say so; whoever keeps the lead should ask the database. May be empty.
    std::function<void(const absl::Status&)> doubted;
  };
  struct Item {
    std::variant<Command, std::monostate> what;  // monostate: a read
    Then then;
  };
  // More would share a commit, but nobody hears of the first before the last is decided.
  static constexpr size_t kItemsMax = 64;

  explicit Turns(Options options);
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Loads the newest snapshot that is whole, replays the log after it, and takes the leadership,
  // durably. Once, before all others.
  absl::Status Recover(const std::string& boot_id, const std::string& incarnation);
  // The listeners must outlive this.
  void AddListener(LoopListener* listener) { listeners_.push_back(listener); }
  // Tells of the runs that were being judged when the last coordinator ended.
  void Begin();
  // At most kItemsMax. Not OK: the disk's state is unknown, or another coordinator leads; nobody
  // was told anything, and the process must end.
  absl::Status Run(std::vector<Item> items);
  // By the clock's Monotonic: when a turn is due though no command came.
  Nanos NextDue() const;

  const State& state() const { return state_; }

 private:
  struct Effects {
    std::vector<v1::Event> events;
    std::vector<v1::EndedJob> ended;
    std::set<NodeId> push;
    std::set<RunId> judge;
  };

  std::vector<Outcome> DecideAll(std::vector<Item>& items, Now now, Effects& effects);
  absl::StatusOr<Reply> Decide(Command command, Now now, Effects& effects);
  absl::Status Commit(const Effects& effects, Now now);
  void Release(std::vector<Item>& items, std::vector<Outcome>& outcomes, const Effects& effects);
  absl::Status SnapshotIfDue();
  Now ReadClock() const;

  const Options options_;
  std::vector<LoopListener*> listeners_;
  State state_;
};

}  // namespace rackmark
