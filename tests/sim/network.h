// The network between workers and coordinators: streams that delay, lose, repeat and reorder what
// is sent on them, as the knobs say; that break, each end hearing of it in its own time; and
// workers that are cut off without anybody being told. What was on its way when a stream broke may
// still arrive, late. Real streams are kinder. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <variant>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark::sim {

struct World;

struct Conn {
  uint64_t id = 0;
  uint32_t worker = 0;
  uint64_t daemon_life = 0;  // who dialled
  uint32_t coordinator = 0;
  uint64_t coordinator_life = 0;  // whom it reached
  bool samples = false;           // PushSamples; else Sync
  bool broken = false;
  Nanos last_up = 0, last_down = 0;  // of the last arrival each way: streams keep order
};
using ConnPtr = std::shared_ptr<Conn>;

// Nobody changes what another one may still get: a Report that comes twice is in both.
using Up = std::variant<std::shared_ptr<v1::Report>, std::shared_ptr<const v1::SampleBatch>>;

struct Reply_ {
  std::shared_ptr<v1::SyncReply> reply;
  uint64_t epoch = 0;  // in which it was truly made
};
using Down = std::variant<Reply_, std::shared_ptr<const v1::SampleAck>, absl::Status>;

class Network {
 public:
  explicit Network(World* world) : world_(*world) {}

  ConnPtr Dial(uint32_t worker, uint64_t daemon_life, uint32_t coordinator, bool samples);
  void Send(const ConnPtr& conn, Up message);
  void Send(const ConnPtr& conn, Down message);
  // By the network: both ends hear of it.
  void Break(const ConnPtr& conn);
  // By one end, which knows.
  void CloseByWorker(const ConnPtr& conn);
  void CloseByCoordinator(const ConnPtr& conn, absl::Status why);
  void Cut(uint32_t worker);
  void Mend(uint32_t worker);
  bool IsCut(uint32_t worker) const { return cut_.count(worker) != 0; }
  Nanos Delay();

 private:
  template <typename Message>
  void Carry(const ConnPtr& conn, Message message, Nanos& last);
  void Arrive(const ConnPtr& conn, Up message);
  void Arrive(const ConnPtr& conn, Down message);
  void TellWorker(const ConnPtr& conn, absl::Status why);
  void TellCoordinator(const ConnPtr& conn);
  Nanos NoticeAfter(uint32_t worker);

  World& world_;
  std::set<uint32_t> cut_;
  uint64_t last_ = 0;
};

}  // namespace rackmark::sim
