#include "tests/sim/disk.h"

#include <utility>

#include "coordinator/core/decide.h"
#include "tests/sim/plants.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

constexpr uint64_t kTrimPortion = 500;

// What the log says has happened: for the figures, and so that a test sees that nothing was left
// out.
void CountEvent(World& world, const v1::Event& event) {
  if (event.has_run_judged()) {
    const std::string verdict = v1::Verdict_Name(event.run_judged().verdict());
    ++world.stats.happened[absl::StrCat("verdict ", verdict.substr(sizeof("VERDICT_") - 1))];
  }
  if (event.has_run_requeued()) world.Count("run requeued");
  if (event.has_lease_yielding()) world.Count("lease yielded");
  if (event.has_job_cancel_requested()) world.Count("job cancelled");
  if (event.has_suite_ended()) world.Count("suite ended");
  if (event.has_node_standing_changed() &&
      event.node_standing_changed().standing() == v1::STANDING_QUARANTINED) {
    world.Count("node quarantined");
  }
  if (event.has_lease_releasing() && event.lease_releasing().has_failure()) {
    const std::string kind = v1::FailureKind_Name(event.lease_releasing().failure().kind());
    ++world.stats
          .happened[absl::StrCat("lease failed: ", kind.substr(sizeof("FAILURE_KIND_") - 1))];
  }
}

}  // namespace

class Disk::Events : public EventStore {
 public:
  Events(Disk* disk, uint64_t term) : disk_(*disk), term_(term) {
    last_seq_ = disk_.events_.last_seq();
  }
  const std::string& cluster_id() const override { return disk_.events_.cluster_id(); }
  uint64_t last_seq() const override { return last_seq_; }
  History& history() override { return disk_.events_.history(); }
  bool history_complete() const override { return true; }

 private:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    RETURN_IF_ERROR(disk_.Write(term_, events, ended));
    last_seq_ = events.back().seq();
    return absl::OkStatus();
  }
  absl::Status DoLoad(uint64_t from, const EventVisitor& visit) override {
    return disk_.events_.DoLoad(from, visit);
  }
  absl::Status DoPutSnapshot(uint64_t seq, std::string_view bytes) override {
    RETURN_IF_ERROR(disk_.Fence(term_));
    const std::optional<bool> fails = disk_.Fails();
    if (!fails || *fails) {
      RETURN_IF_ERROR(disk_.events_.DoPutSnapshot(seq, bytes));
      ASSIGN_OR_RETURN(const uint64_t trimmed, disk_.events_.DoTrim(kTrimPortion));
      disk_.trimmed_ += trimmed;
    }
    return fails ? absl::InternalError("planted: the disk failed") : absl::OkStatus();
  }
  absl::StatusOr<std::vector<uint64_t>> DoSnapshots() override {
    return disk_.events_.DoSnapshots();
  }
  absl::StatusOr<std::string> DoGetSnapshot(uint64_t seq) override {
    disk_.world_.Count("state loaded from a snapshot");
    return disk_.events_.DoGetSnapshot(seq);
  }
  absl::Status DoDropSnapshot(uint64_t seq) override { return disk_.events_.DoDropSnapshot(seq); }
  absl::StatusOr<uint64_t> DoTrim(uint64_t max) override { return disk_.events_.DoTrim(max); }
  absl::Status DoBackfill(std::span<const v1::EndedJob> ended, bool complete) override {
    return disk_.events_.DoBackfill(ended, complete);
  }
  absl::StatusOr<uint64_t> DoDropHistory(int64_t before, uint64_t max) override {
    return disk_.events_.DoDropHistory(before, max);
  }

  Disk& disk_;
  const uint64_t term_;
  uint64_t last_seq_ = 0;
};

Disk::Disk(World* world)
    : world_(*world), clock_(&world->timeline, kSecond, world->knobs.drift_ppm, kSecond) {}

std::unique_ptr<EventStore> Disk::OpenEvents(uint64_t term) {
  return std::make_unique<Events>(this, term);
}

absl::Status Disk::Fence(uint64_t term) const {
  if (term == 0 || term == leader_.term) return absl::OkStatus();
  return absl::FailedPreconditionError("another coordinator leads");
}

std::optional<bool> Disk::Fails() {
  if (++world_.stats.writes == world_.knobs.fail_write) {
    world_.Count("write failed");
    return world_.knobs.fail_lands;
  }
  if (world_.healed || !world_.Chance(world_.knobs.append_fails)) return std::nullopt;
  const bool landed = world_.Chance(0.5);
  world_.Count(landed ? "write failed after it landed" : "write failed");
  return landed;
}

absl::Status Disk::Write(uint64_t term, std::span<const v1::Event> events,
                         std::span<const v1::EndedJob> ended) {
  RETURN_IF_ERROR(Fence(term));
  const bool behind = world_.knobs.plant == Plant::kWriteBehind && world_.now() > 5 * kSecond;
  if (behind) return WriteBehind(events, ended);
  const std::optional<bool> fails = Fails();
  if (!fails || *fails) RETURN_IF_ERROR(Land(events, ended));
  return fails ? absl::InternalError("planted: the disk failed") : absl::OkStatus();
}

absl::Status Disk::WriteBehind(std::span<const v1::Event> events,
                               std::span<const v1::EndedJob> ended) {
  behind_.push_back({{events.begin(), events.end()}, {ended.begin(), ended.end()}});
  world_.timeline.After(50 * kMillisecond, [this] {
    const Pending next = std::move(behind_.front());
    behind_.pop_front();
    RACKMARK_CHECK(Land(next.events, next.ended).ok());
  });
  return absl::OkStatus();
}

absl::Status Disk::Land(std::span<const v1::Event> events, std::span<const v1::EndedJob> ended) {
  std::vector<v1::Event> down(events.begin(), events.end());
  for (v1::Event& event : down) {
    Spoil(world_.knobs.plant, world_.durable, event);
    world_.trace.Line(world_.now(), Who::kWorld, 0, "event", event.seq(),
                      static_cast<uint64_t>(event.change_case()));
    ++world_.stats.events;
    if (world_.tape != nullptr) world_.tape->push_back(event);
    CountEvent(world_, event);
    world_.Tell([&](Checker& checker) { checker.Committed(event, world_.durable); });
    const absl::Status fits = CheckEvent(world_.durable, event);
    if (!fits.ok() && !world_.violation) {
      world_.violation = {"commit", world_.now(),
                          absl::StrCat("event ", event.seq(), " does not fit the log: ",
                                       fits.message(), ": ", event.ShortDebugString())};
    }
    if (fits.ok()) Apply(world_.durable, event);
  }
  return events_.DoAppend(down, ended);
}

absl::StatusOr<std::vector<StreamMark>> Disk::PutChunks(uint64_t term,
                                                        std::span<const v1::Chunk> chunks) {
  RETURN_IF_ERROR(Fence(term));
  const std::optional<bool> fails = Fails();
  absl::StatusOr<std::vector<StreamMark>> marks = std::vector<StreamMark>();
  const bool lost = world_.knobs.plant == Plant::kLateSamples;
  if (lost) {
    for (const v1::Chunk& chunk : chunks) {
      marks->push_back({KeyOf(chunk.header()), chunk.header().seq()});
    }
  } else if (!fails || *fails) {
    marks = samples_.PutChunks(chunks);
    for (const v1::Chunk& chunk : chunks) {
      if (chunk.header().last()) last_chunk_[KeyOf(chunk.header())] = chunk.header().seq();
    }
  }
  if (fails) return absl::InternalError("planted: the disk failed");
  return marks;
}

uint64_t Disk::Watermark(const StreamKey& key) { return samples_.Watermark(key).value_or(0); }

bool Disk::HasWhole(const StreamKey& key) {
  const auto last = last_chunk_.find(key);
  return last != last_chunk_.end() && Watermark(key) >= last->second;
}

}  // namespace rackmark::sim
