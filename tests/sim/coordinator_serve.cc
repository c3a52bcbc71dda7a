// The half of the coordinator that speaks with workers (coordinator/serve).
#include <utility>

#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "rpc/identity.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/world.h"

namespace rackmark::sim {

void SimCoordinator::Hear(const ConnPtr& conn, Up message) {
  Settle([this, conn, message = std::move(message)]() mutable {
    if (turns_ == nullptr) {
      return world_.network.CloseByCoordinator(conn, absl::UnavailableError("not the leader"));
    }
    if (!conn->broken) conns_[conn->id] = conn;
    if (auto* report = std::get_if<std::shared_ptr<v1::Report>>(&message)) {
      return HearReport(conn, std::move(*report));
    }
    batches_.emplace_back(conn, std::get<std::shared_ptr<const v1::SampleBatch>>(message));
    // One transaction for what comes at about the same time.
    if (batches_.size() == 1) Later(world_.Between(1, 20) * kMillisecond, [this] { Ingest(); });
  });
}

void SimCoordinator::HearReport(const ConnPtr& conn, std::shared_ptr<v1::Report> report) {
  const Stamps stamps{report->report_number(), report->worker_send_ns(), clock_.Monotonic()};
  uint64_t& stream = streams_[conn->id];
  if (stream == 0) stream = ++last_stream_;
  world_.trace.Line(world_.now(), Who::kCoordinator, index_, "report", conn->worker, stamps.number,
                    stream);
  // Only of one that comes twice there is another one on its way.
  NodeReported heard{v1::Report(), stream};
  if (report.use_count() == 1) {
    heard.report = std::move(*report);
  } else {
    heard.report = *report;
  }
  const bool posted =
      Post({CorePrincipal(), std::move(heard)},
           [this, conn, stamps](const Outcome& outcome) { Answer(conn, stamps, outcome); });
  if (!posted) {
    world_.Count("inbox full");
    world_.network.CloseByCoordinator(conn, absl::ResourceExhaustedError("the inbox is full"));
  }
}

void SimCoordinator::Answer(const ConnPtr& conn, const Stamps& stamps, const Outcome& outcome) {
  if (!outcome.status.ok()) {
    world_.Count("report refused");
    return world_.network.CloseByCoordinator(conn, outcome.status);
  }
  const NodeId node = std::get<Heard>(outcome.reply).node;
  node_of_[conn->id] = node;
  ConnPtr& attached = attached_[node];
  if (attached != nullptr && attached != conn) {
    const bool newer = streams_[attached->id] > streams_[conn->id];
    world_.network.CloseByCoordinator(newer ? conn : attached, absl::AbortedError("a newer one"));
    if (newer) return;
  }
  attached = conn;
  auto reply = ReplyFor(node, *outcome.state);
  version_sent_[conn->id] = DesiredOf(*outcome.state, node).version();
  reply->set_answers_report(stamps.number);
  reply->set_worker_send_ns(stamps.sent);
  reply->set_coordinator_receive_ns(stamps.received);
  SendReply(conn, std::move(reply));
}

std::shared_ptr<v1::SyncReply> SimCoordinator::ReplyFor(NodeId node, const State& state) const {
  auto reply = std::make_shared<v1::SyncReply>();
  *reply->mutable_identity() =
      MakeIdentity(state.hard.cluster_id, state.hard.epoch, state.hard.incarnation);
  if (!KnowsDesired(state, node)) *reply->mutable_desired() = DesiredOf(state, node);
  reply->set_coordinator_boot_id(boot_id_);
  reply->mutable_timing()->set_sync_interval_ns(state.config.sync_interval);
  reply->mutable_timing()->set_fence_ns(state.config.fence_after);
  reply->set_node_id(node.value);
  return reply;
}

void SimCoordinator::SendReply(const ConnPtr& conn, std::shared_ptr<v1::SyncReply> reply) {
  reply->set_coordinator_send_ns(clock_.Monotonic());
  const uint64_t epoch = reply->identity().epoch();
  world_.Tell([&](Checker& checker) { checker.OnTold({*reply, epoch}); });
  if (world_.knobs.plant == Plant::kEarlyMeasure) {
    for (v1::DesiredLease& lease : *reply->mutable_desired()->mutable_leases()) {
      if (lease.has_run()) lease.mutable_run()->set_goal(v1::RUN_GOAL_DONE);
    }
  }
  world_.network.Send(conn, Down(Reply_{std::move(reply), epoch}));
}

void SimCoordinator::DesiredChanged(NodeId node, const State& state) {
  const auto attached = attached_.find(node);
  if (attached == attached_.end()) return;
  auto reply = ReplyFor(node, state);
  uint64_t& sent = version_sent_[attached->second->id];
  if (reply->desired().version() == sent) return;
  sent = reply->desired().version();
  SendReply(attached->second, std::move(reply));
}

void SimCoordinator::ConnEnded(const ConnPtr& conn) {
  if (conn->coordinator_life != life_) return;
  Settle([this, conn] {
    conns_.erase(conn->id);
    const uint64_t stream = streams_[conn->id];  // kept: what is late is of this stream still
    version_sent_.erase(conn->id);
    const auto known = node_of_.find(conn->id);
    if (known == node_of_.end()) return;
    const NodeId node = known->second;
    node_of_.erase(known);
    const auto attached = attached_.find(node);
    if (attached != attached_.end() && attached->second == conn) attached_.erase(attached);
    (void)Post({CorePrincipal(), StreamBroken{node, stream}}, [](const Outcome&) {});
  });
}

// Whether that attempt was ever started (what ingest asks main for).
bool SimCoordinator::Knows(const v1::ChunkHeader& header) const {
  const HardState& hard = turns_->state().hard;
  if (header.run() == 0 || header.run() > hard.last_run) return false;
  const auto run = hard.runs.find(RunId{header.run()});
  return run == hard.runs.end() || header.attempt() <= run->second.attempt;
}

void SimCoordinator::Ingest() {
  const auto batches = std::exchange(batches_, {});
  std::vector<v1::Chunk> good;
  for (const auto& [conn, batch] : batches) {
    for (const v1::Chunk& chunk : batch->chunks()) {
      if (Knows(chunk.header())) good.push_back(chunk);
    }
  }
  const auto marks = world_.disk.PutChunks(leadership_ ? leadership_->term() : 0, good);
  if (!marks.ok()) return Die(marks.status());
  std::map<StreamKey, uint64_t> stored;
  for (const StreamMark& mark : *marks) stored[mark.key] = mark.seq;
  StreamsStored ended;
  for (const v1::Chunk& chunk : good) {
    const StreamKey key = KeyOf(chunk.header());
    if (!chunk.header().last() || stored.at(key) < chunk.header().seq()) continue;
    ended.streams.push_back({RunId{key.run}, key.attempt, key.kind, key.stream});
  }
  if (!ended.streams.empty()) (void)Post({CorePrincipal(), ended}, [](const Outcome&) {});
  for (const auto& [conn, batch] : batches) {
    std::map<StreamKey, bool> keys;  // whether it is refused
    for (const v1::Chunk& chunk : batch->chunks()) {
      keys[KeyOf(chunk.header())] = !Knows(chunk.header());
    }
    auto ack = std::make_shared<v1::SampleAck>();
    for (const auto& [key, refused] : keys) {
      v1::Watermark& mark = *ack->add_watermarks();
      mark.set_run_id(key.run);
      mark.set_attempt(key.attempt);
      mark.set_kind(key.kind);
      mark.set_stream(key.stream);
      if (refused) mark.set_refused("no such attempt was ever started");
      if (!refused) mark.set_seq(stored.at(key));
    }
    if (leadership_ && clock_.Boottime() >= leadership_->leads_until()) {
      return Die(absl::FailedPreconditionError("the time of this lead is over"));
    }
    world_.Tell([&](Checker& checker) { checker.Acked(*ack); });
    world_.network.Send(conn, Down(std::shared_ptr<const v1::SampleAck>(std::move(ack))));
  }
}

}  // namespace rackmark::sim
