#include "tests/sim/network.h"

#include <utility>

#include "tests/sim/coordinator.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

// What was on its way when the stream broke and arrives all the same.
constexpr double kSurvives = 0.2;
constexpr Nanos kKeepalive = 15 * kSecond;  // rpc/limits.h: ping, and wait for its answer

}  // namespace

Nanos Network::Delay() {
  const Knobs& knobs = world_.knobs;
  if (world_.healed) return knobs.delay_min;
  // Mostly short: the long ones overtake nobody if all are long.
  const bool is_long = world_.Chance(0.05);
  return world_.Between(knobs.delay_min, is_long ? knobs.delay_max : knobs.delay_min * 2);
}

ConnPtr Network::Dial(uint32_t worker, uint64_t daemon_life, uint32_t coordinator, bool samples) {
  auto conn = std::make_shared<Conn>();
  conn->id = ++last_;
  conn->worker = worker;
  conn->daemon_life = daemon_life;
  conn->coordinator = coordinator;
  conn->samples = samples;
  conn->coordinator_life = world_.coordinators[coordinator]->life();
  if (IsCut(worker) || world_.coordinators[coordinator]->stopped()) {
    world_.timeline.After(kKeepalive, [this, conn] {
      if (IsCut(conn->worker) || world_.coordinators[conn->coordinator]->stopped()) Break(conn);
    });
    return conn;
  }
  if (world_.coordinators[coordinator]->is_serving()) return conn;
  // Nobody listens there.
  world_.timeline.After(Delay(), [this, conn] {
    if (conn->broken) return;
    conn->broken = true;
    TellWorker(conn, absl::UnavailableError("connection refused"));
  });
  return conn;
}

template <typename Message>
void Network::Carry(const ConnPtr& conn, Message message, Nanos& last) {
  const Knobs& knobs = world_.knobs;
  ++world_.stats.messages;
  if (conn->broken) return;
  const bool faulty = !world_.healed;
  if (faulty && !conn->samples && world_.Chance(knobs.loss)) return world_.Count("message lost");
  const int copies = faulty && !conn->samples && world_.Chance(knobs.copies) ? 2 : 1;
  const bool survives = faulty && world_.Chance(kSurvives);
  for (int i = 0; i < copies; ++i) {
    Nanos at = world_.now() + Delay();
    if (!faulty || !knobs.reorder || conn->samples) at = std::max(at, last + 1);
    last = std::max(last, at);
    Message one = i + 1 == copies ? std::move(message) : message;
    world_.timeline.At(at, [this, conn, one = std::move(one), survives]() mutable {
      if (conn->broken && !survives) return;
      if (IsCut(conn->worker)) return conn->samples ? Break(conn) : void();
      Arrive(conn, std::move(one));
    });
  }
}

void Network::Send(const ConnPtr& conn, Up message) {
  Carry(conn, std::move(message), conn->last_up);
}

void Network::Send(const ConnPtr& conn, Down message) {
  Carry(conn, std::move(message), conn->last_down);
}

void Network::Arrive(const ConnPtr& conn, Up message) {
  SimCoordinator& coordinator = *world_.coordinators[conn->coordinator];
  if (coordinator.life() == conn->coordinator_life) {
    return coordinator.Hear(conn, std::move(message));
  }
  CloseByCoordinator(conn, absl::UnavailableError("connection reset"));
}

void Network::Arrive(const ConnPtr& conn, Down message) {
  if (world_.knobs.plant == Plant::kOldEpoch) {
    const auto* reply = std::get_if<Reply_>(&message);
    if (reply != nullptr) reply->reply->mutable_identity()->set_epoch(world_.durable.epoch);
  }
  world_.machines[conn->worker]->Hear(conn, std::move(message));
}

// A cut tells nobody; then it takes the pings until it is noticed.
Nanos Network::NoticeAfter(uint32_t worker) {
  const bool silent = IsCut(worker) || (!world_.healed && world_.Chance(0.1));
  return silent ? world_.Between(kSecond, kKeepalive) : Delay();
}

void Network::TellWorker(const ConnPtr& conn, absl::Status why) {
  world_.machines[conn->worker]->ConnEnded(conn, why);
}

void Network::TellCoordinator(const ConnPtr& conn) {
  world_.coordinators[conn->coordinator]->ConnEnded(conn);
}

void Network::Break(const ConnPtr& conn) {
  if (conn->broken) return;
  conn->broken = true;
  world_.Count("stream broken");
  world_.timeline.After(NoticeAfter(conn->worker), [this, conn] {
    TellWorker(conn, absl::UnavailableError("the connection broke"));
  });
  world_.timeline.After(NoticeAfter(conn->worker), [this, conn] { TellCoordinator(conn); });
}

void Network::CloseByWorker(const ConnPtr& conn) {
  if (conn->broken) return;
  conn->broken = true;
  world_.timeline.After(NoticeAfter(conn->worker), [this, conn] { TellCoordinator(conn); });
}

void Network::CloseByCoordinator(const ConnPtr& conn, absl::Status why) {
  if (conn->broken) return;
  conn->broken = true;
  world_.timeline.After(0, [this, conn] { TellCoordinator(conn); });
  world_.timeline.After(NoticeAfter(conn->worker),
                        [this, conn, why = std::move(why)] { TellWorker(conn, why); });
}

void Network::Cut(uint32_t worker) {
  cut_.insert(worker);
  world_.Count("worker cut off");
  world_.timeline.After(world_.Between(kKeepalive / 2, kKeepalive), [this, worker] {
    if (!IsCut(worker)) return;
    for (const ConnPtr& conn : world_.machines[worker]->Conns()) Break(conn);
  });
}

void Network::Mend(uint32_t worker) { cut_.erase(worker); }

}  // namespace rackmark::sim
