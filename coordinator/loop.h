// The one thread that owns State (PROTOCOL 3): a bounded inbox in front of the coordinator's turns
// (turns.h), which it runs when commands or reads wait, or when time asks for one. After a turn
// that failed State is ahead of the disk: `fatal` is called and nothing is released. Post and Read
// may be called from any thread; every callback below runs on the loop's thread.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"
#include "common/time.h"
#include "coordinator/turns.h"

namespace rackmark {

class Loop {
 public:
  struct Options {
    CoreConfig config;
    EventStore* events = nullptr;
    const Clock* clock = nullptr;
    size_t inbox_max = 0;
    // As in Turns::Options.
    uint64_t snapshot_events = 10'000;
    uint64_t snapshot_bytes = 64 << 20;
    // Reports may wait so long for others, to be decided and answered in one turn, once this many
    // things come in a second: in a large fleet the threads' waking and waiting costs more than
    // the turns. Nothing else waits.
    Nanos gather = 4 * kMillisecond;
    uint64_t gather_from = 500;
    // The disk's state is unknown, or another coordinator leads: must end the process.
    std::function<void(const absl::Status&)> fatal;
    // As in Turns::Options.
    std::function<absl::Status()> check_lead;
    std::function<void(const absl::Status&)> doubted;
  };
  static constexpr size_t kTurnItemsMax = Turns::kItemsMax;

  explicit Loop(Options options);
  ~Loop();  // Stop()
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Turns::Recover. Main's thread, once, before Start.
  absl::Status Recover(const std::string& boot_id, const std::string& incarnation);
  // The listeners must outlive the loop; before Start.
  void AddListener(LoopListener* listener) { turns_.AddListener(listener); }
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
  void Run();
  absl::Status Push(Turns::Item item, bool patient);
  // How long the next turn's Reports may wait, after one that took `items`.
  Nanos Gather(size_t items);

  const Options options_;
  BoundedQueue<Turns::Item> inbox_;
  Turns turns_;
  Nanos second_began_ = 0;    // the loop's thread
  uint64_t this_second_ = 0;  // items
  uint64_t last_second_ = 0;
  std::string cluster_id_;
  uint64_t epoch_ = 0;
  std::thread thread_;
};

}  // namespace rackmark
