// The half of the daemon that speaks with coordinators.
#include <algorithm>

#include "tests/sim/daemon.h"
#include "tests/sim/world.h"
#include "worker/daemon/report_builder.h"

namespace rackmark::sim {
namespace {

constexpr size_t kUnansweredMax = 8;  // as in worker/daemon/daemon.cc
constexpr int kChunksInBatch = 64;

}  // namespace

void SimDaemon::Dial() {
  if (sync_ == nullptr && Clock() >= dial_at_) {
    sync_ = world_.network.Dial(machine_.index(), machine_.life(), coordinator_, false);
    session_.StreamOpened();
    sent_at_.clear();
    opened_ = true;
  }
  if (samples_ == nullptr && streams().HasUnsent() && Clock() >= dial_samples_at_) {
    samples_ = world_.network.Dial(machine_.index(), machine_.life(), coordinator_, true);
    streams().Reconnected();
  }
}

void SimDaemon::ConnEnded(const ConnPtr& conn, const absl::Status&) {
  if (conn == sync_) {
    sync_ = nullptr;
    dial_at_ = Clock() + backoff_.Next();
    // The next address, as clients and workers with several do.
    coordinator_ = static_cast<uint32_t>((coordinator_ + 1) % world_.coordinators.size());
  } else if (conn == samples_) {
    samples_ = nullptr;
    dial_samples_at_ = Clock() + 500 * kMillisecond;
    streams().Reconnected();
  }
  Turn();
}

void SimDaemon::Hear(const ConnPtr& conn, const Down& message) {
  if (const auto* reply = std::get_if<Reply_>(&message)) {
    OnReply(*reply);
  } else if (const auto* ack = std::get_if<std::shared_ptr<const v1::SampleAck>>(&message)) {
    streams().OnAck(**ack);
    changed_ = true;
  } else {
    return ConnEnded(conn, std::get<absl::Status>(message));
  }
  Turn();
}

void SimDaemon::OnReply(const Reply_& heard) {
  const v1::SyncReply& reply = *heard.reply;
  const auto outcome = session_.OnReply(reply, Clock(), state_.AnyProcess());
  world_.trace.Line(world_.now(), Who::kWorker, machine_.index(), "hears", reply.answers_report(),
                    reply.desired().version(), heard.epoch);
  if (!outcome.ok()) {
    world_.Count("reply refused by the worker");
    if (sync_ != nullptr) {  // and dial again
      world_.network.CloseByWorker(sync_);
      sync_ = nullptr;
      dial_at_ = Clock() + backoff_.Next();
    }
    return;
  }
  backoff_.Reset();
  world_.Tell([&](Checker& checker) {
    checker.OnObeyed({machine_, machine_.life(), heard.epoch});
  });
  changed_ = changed_ || outcome->new_desired || outcome->new_cluster;
  if (!outcome->answered) return;
  const auto sent = sent_at_.find(reply.answers_report());
  if (sent == sent_at_.end()) return;
  heard_at_ = std::max(heard_at_, sent->second);
  sent_at_.erase(sent_at_.begin(), std::next(sent));
}

void SimDaemon::SendReport() {
  if (sync_ == nullptr) return;
  const bool plant = world_.knobs.plant == Plant::kPileOfReports;
  const Nanos now = Clock();
  const bool regular = opened_ || now - reported_at_ >= session_.sync_interval();
  if (!regular && !changed_ && !plant) return;
  if (!regular && !plant && session_.unanswered() >= kUnansweredMax) return;
  v1::Report report = BuildReport(state_, streams().Reports(), now);
  report.set_reflects_version(session_.desired().version());
  for (const uint32_t device : machine_.sick()) {
    v1::DeviceReport& line = *report.mutable_devices(static_cast<int>(device));
    line.set_healthy(false);
    line.set_unhealthy_reason("drawn");
  }
  std::string fingerprint = Fingerprint(report);
  changed_ = false;
  if (!regular && !plant && fingerprint == last_fingerprint_) return;
  *report.mutable_node() = machine_.info();
  session_.StampReport({now, now}, &report);
  sent_at_[report.report_number()] = world_.now();
  world_.trace.Line(world_.now(), Who::kWorker, machine_.index(), "reports", report.report_number(),
                    report.reflects_version(), sync_->id);
  world_.Tell([&](Checker& checker) {
    checker.OnReported({machine_, report, session_.unanswered(), regular});
  });
  world_.network.Send(sync_, Up(std::make_shared<v1::Report>(std::move(report))));
  last_fingerprint_ = std::move(fingerprint);
  reported_at_ = now;
  opened_ = false;
}

void SimDaemon::Push() {
  while (samples_ != nullptr && streams().HasUnsent()) {
    auto batch =
        std::make_shared<v1::SampleBatch>(streams().Next(session_.cluster_id(), kChunksInBatch));
    world_.trace.Line(world_.now(), Who::kWorker, machine_.index(), "pushes",
                      static_cast<uint64_t>(batch->chunks_size()));
    world_.network.Send(samples_, Up(std::shared_ptr<const v1::SampleBatch>(batch)));
  }
}

Nanos SimDaemon::NextWake() const {
  const Nanos now = Clock();
  Nanos next = now + 10 * kSecond;
  const auto consider = [&next](Nanos at) { next = std::min(next, at); };
  if (!live_.empty()) consider(beat_at_);
  if (const auto at = NextReconcile(state_)) consider(*at);
  if (!state_.leftovers.empty()) consider(leftovers_at_);
  consider(sync_ == nullptr ? dial_at_ : reported_at_ + session_.sync_interval());
  if (samples_ == nullptr && machine_.streams().HasUnsent()) consider(dial_samples_at_);
  if (const auto fence = session_.FenceAt(); fence && !fenced_) consider(*fence);
  return std::max(next, now + kMillisecond);
}

void SimDaemon::ScheduleWake() {
  const Nanos at = machine_.clock().When(NextWake());
  if (wake_at_ && *wake_at_ <= at && *wake_at_ > world_.now()) return;
  wake_at_ = at;
  machine_.Later(at, [this, at] {
    if (wake_at_ != at) return;
    wake_at_.reset();
    Turn();
  });
}

}  // namespace rackmark::sim
