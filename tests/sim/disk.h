// The durable bytes that coordinators share, and what goes wrong with them. Each coordinator
// process opens stores of its own over it, fenced by its term where there are several coordinators
// (PROTOCOL 9): a write may fail before or after its bytes are down, and the process never learns
// which. Everything that does get down is played into the world's `durable`. One thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/store/memory_leadership.h"
#include "coordinator/store/memory_store.h"
#include "tests/sim/timeline.h"

namespace rackmark::sim {

struct World;

class Disk {
 public:
  explicit Disk(World* world);

  // `term`: the leadership's under which it writes; 0 = there is no other coordinator.
  std::unique_ptr<EventStore> OpenEvents(uint64_t term);
  absl::StatusOr<std::vector<StreamMark>> PutChunks(uint64_t term,
                                                    std::span<const v1::Chunk> chunks);
  // Whether a stream is there to its end.
  bool HasWhole(const StreamKey& key);
  uint64_t Watermark(const StreamKey& key);
  MemoryLeaderRow& leader() { return leader_; }
  const std::string& cluster_id() const { return events_.cluster_id(); }
  uint64_t trimmed() const { return trimmed_; }

 private:
  class Events;
  // Its protected half is what a store that fails on purpose needs.
  class Bytes : public MemoryEventStore {
   public:
    using MemoryEventStore::MemoryEventStore;
    friend class Events;
    friend class Disk;
  };
  struct Pending {
    std::vector<v1::Event> events;
    std::vector<v1::EndedJob> ended;
  };

  absl::Status Write(uint64_t term, std::span<const v1::Event> events,
                     std::span<const v1::EndedJob> ended);
  absl::Status WriteBehind(std::span<const v1::Event> events, std::span<const v1::EndedJob> ended);
  absl::Status Land(std::span<const v1::Event> events, std::span<const v1::EndedJob> ended);
  absl::Status Fence(uint64_t term) const;
  // Whether this write fails, and if so whether its bytes are down all the same.
  std::optional<bool> Fails();

  World& world_;
  SimClock clock_;  // the database's own
  MemoryLeaderRow leader_{&clock_};
  Bytes events_{"c0ffee00c0ffee00c0ffee00c0ffee00"};
  MemorySampleStore samples_;
  std::map<StreamKey, uint64_t> last_chunk_;  // of streams whose end has come
  std::deque<Pending> behind_;                // only with Plant::kWriteBehind
  uint64_t trimmed_ = 0;
};

}  // namespace rackmark::sim
