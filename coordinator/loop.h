// The one thread that owns State (PROTOCOL 3). A turn takes up to 256 commands and reads from a
// bounded inbox, lets the core decide each, appends all events in one transaction, and only then
// releases replies, reads, desired states and judging work: nobody hears of what is not on disk.
// A failed append leaves State ahead of the disk: `fatal` is called and nothing is released.
// Post and Read may be called from any thread; every callback below runs on the loop's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "common/bounded_queue.h"
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

// Told after a commit, on the loop's thread; must not wait.
class LoopListener {
 public:
  virtual ~LoopListener() = default;
  virtual void DesiredChanged(NodeId node, const State& state) = 0;
  virtual void RunToJudge(RunId run) = 0;
  // The job has left State; this is all that is left of it. Before Committed.
  virtual void JobEnded(const v1::EndedJob&) {}
  virtual void Committed(const State& state, Now now) = 0;  // only if there were events
};

class Loop {
 public:
  struct Options {
    CoreConfig config;
    EventStore* events = nullptr;
    const Clock* clock = nullptr;
    size_t inbox_max = 0;
    // A snapshot is written when this much was logged since the last one.
    uint64_t snapshot_events = 10'000;
    uint64_t snapshot_bytes = 64 << 20;
    // The disk's state is unknown, or another coordinator leads: must end the process.
    std::function<void(const absl::Status&)> fatal;
    // Asked before anybody is answered, reads too. Not OK: another may lead. May be empty.
    std::function<absl::Status()> check_lead;
  };
  static constexpr size_t kTurnItemsMax = 256;

  explicit Loop(Options options);
  ~Loop();  // Stop()
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Loads the newest snapshot that is whole, replays the log after it, and takes the leadership,
  // durably. Main's thread, once, before Start.
  absl::Status Recover(const std::string& boot_id, const std::string& incarnation);
  // The listeners must outlive the loop; before Start.
  void AddListener(LoopListener* listener) { listeners_.push_back(listener); }
  void Start();
  // Ends the thread; what still waits in the inbox is answered UNAVAILABLE. Any thread but ours.
  void Stop();

  // RESOURCE_EXHAUSTED (counted) if the inbox is full, UNAVAILABLE after Stop: `then` is dropped.
  absl::Status Post(Command command, Then then);
  absl::Status Read(Then then);
  // Waits for `read`. Never from the loop's own thread.
  absl::Status ReadAndWait(const std::function<void(const State&, Now)>& read);

  // Constant after Recover.
  const std::string& cluster_id() const { return cluster_id_; }
  uint64_t epoch() const { return epoch_; }
  uint64_t refused() const { return inbox_.refused(); }

 private:
  struct Item {
    std::variant<Command, std::monostate> what;  // monostate: a read
    Then then;
  };
  struct Effects {
    std::vector<v1::Event> events;
    std::vector<v1::EndedJob> ended;
    std::set<NodeId> push;
    std::set<RunId> judge;
  };

  absl::Status SnapshotIfDue();
  void Run();
  bool RunTurn(std::vector<Item> items);
  absl::StatusOr<Reply> Decide(const Command& command, Now now, Effects& effects);
  void Release(std::vector<Item>& items, std::vector<Outcome>& outcomes, const Effects& effects);
  absl::Status Push(Item item);
  Now ReadClock() const;

  const Options options_;
  BoundedQueue<Item> inbox_;
  std::vector<LoopListener*> listeners_;
  State state_;
  std::string cluster_id_;
  uint64_t epoch_ = 0;
  std::thread thread_;
};

}  // namespace rackmark
