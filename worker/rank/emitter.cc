#include "worker/rank/emitter.h"

#include <chrono>
#include <utility>

#include "samples/chunk_codec.h"
#include "worker/rank/self_stats.h"

namespace rackmark {
namespace {

// Upper bounds of what one item adds to a serialised payload.
constexpr size_t kPointBytes = 18;     // a varint of at most 10 and a double
constexpr size_t kRequestBytes = 160;  // stamps and counts, without gaps
constexpr size_t kGapBytes = 10;

bool IsEmpty(const v1::ChunkPayload& payload) {
  return payload.columns_size() == 0 && payload.requests_size() == 0 &&
         payload.sketches_size() == 0 && payload.dropped_results() == 0 &&
         payload.dropped_telemetry() == 0;
}

}  // namespace

Emitter::Emitter(Pipe* pipe, Recorder* recorder, const Clock* clock)
    : pipe_(pipe), recorder_(recorder), clock_(clock), thread_([this] { Loop(); }) {}

Emitter::~Emitter() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void Emitter::BeginRun(uint64_t run_id, uint32_t attempt) {
  std::lock_guard lock(mutex_);
  Sample left_over;
  while (recorder_->Pop(&left_over)) {
  }
  recorder_->TakeDropped();
  log_.reset();
  sketches_.Clear();
  next_telemetry_ = 0;
  run_id_ = run_id;
  attempt_ = attempt;
  open_ = true;
}

void Emitter::WatchRequests(std::shared_ptr<RequestLog> log) {
  std::lock_guard lock(mutex_);
  log_ = std::move(log);
}

absl::Status Emitter::EndRun() {
  std::lock_guard lock(mutex_);
  RACKMARK_CHECK(open_);
  next_telemetry_ = 0;  // the last memory and CPU figures, and the rest of the sketches
  bool more = true;
  // The run is over for this rank and its peers: now, and only now, its thread may wait here.
  while (more) {
    ASSIGN_OR_RETURN(more, EmitLocked());
    RETURN_IF_ERROR(pipe_->Flush());
  }
  open_ = false;
  log_.reset();
  v1::FromRank frame;
  frame.mutable_samples_end()->set_run_id(run_id_);
  frame.mutable_samples_end()->set_attempt(attempt_);
  return pipe_->Send(std::move(frame));
}

void Emitter::AbandonRun() {
  std::lock_guard lock(mutex_);
  // If the daemon is gone, nobody wants them.
  if (open_) EmitLocked().IgnoreError();
  open_ = false;
  log_.reset();
}

void Emitter::Loop() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    // A late tick is not caught up: the next one comes a whole interval after this one's work.
    wake_.wait_for(lock, std::chrono::nanoseconds(kEmitInterval), [this] { return stop_; });
    if (stop_) continue;
    if (!open_) {
      Beat();
      continue;
    }
    const absl::StatusOr<bool> more = EmitLocked();
    lock.unlock();
    // While the daemon reads nothing, nothing more is taken out of the recorder: it fills, and
    // counts what it drops. The runner does not wait for the daemon, so it must not for us.
    const bool gone = !more.ok() || !pipe_->Flush().ok();
    lock.lock();
    if (gone) return;  // the link ends the process
  }
}

// A daemon that hears nothing for long takes this process for stopped. Within a run the telemetry
// is sign enough.
void Emitter::Beat() {
  const Nanos now = clock_->Monotonic();
  if (now < next_beat_) return;
  next_beat_ = now + kTelemetryInterval;
  pipe_->SayAgain();
}

absl::StatusOr<bool> Emitter::EmitLocked() {
  bool more = true;
  // Bounded: a producer as fast as we are must not keep us here for ever, nor fill the pipe's
  // queue.
  for (size_t sent = 0; more && sent < recorder_->capacity();) {
    v1::ChunkPayload payload;
    const size_t points = AddSamplesLocked(&payload);
    const size_t requests = AddRequestsLocked(&payload, points * kPointBytes);
    const Recorder::Dropped dropped = recorder_->TakeDropped();
    payload.set_dropped_results(dropped.results);
    payload.set_dropped_telemetry(dropped.telemetry);
    more = points + requests > 0;
    sent += points + requests;
    if (!IsEmpty(payload)) RETURN_IF_ERROR(SendLocked(std::move(payload)));
  }
  if (clock_->Monotonic() < next_telemetry_) return more;
  // Last, so that the sketches have what was just sent.
  v1::ChunkPayload telemetry;
  AddTelemetryLocked(&telemetry);
  RETURN_IF_ERROR(SendLocked(std::move(telemetry)));
  return more;
}

absl::Status Emitter::SendLocked(v1::ChunkPayload payload) {
  v1::FromRank frame;
  *frame.mutable_samples() = std::move(payload);
  return pipe_->Send(std::move(frame));
}

size_t Emitter::AddSamplesLocked(v1::ChunkPayload* payload) {
  constexpr size_t kPointsMax = kSampleFrameBytes / kPointBytes;
  PayloadBuilder builder(payload);
  Sample sample;
  size_t points = 0;
  while (points < kPointsMax && recorder_->Pop(&sample)) {
    builder.Add(sample.series, sample.t_ns, sample.value);
    ++points;
  }
  return points;
}

size_t Emitter::AddRequestsLocked(v1::ChunkPayload* payload, size_t bytes) {
  if (log_ == nullptr) return 0;
  size_t requests = 0;
  uint32_t index = 0;
  while (bytes < kSampleFrameBytes && log_->PopEnded(&index)) {
    const RequestTable& rows = log_->ended_rows();
    v1::RequestRecord* record = payload->add_requests();
    *record = rows.Record(index);
    bytes += kRequestBytes + kGapBytes * rows.lengths(index).output_tokens;
    sketches_.Add(*record);
    ++requests;
  }
  return requests;
}

void Emitter::AddTelemetryLocked(v1::ChunkPayload* payload) {
  const Nanos now = clock_->Monotonic();
  next_telemetry_ = now + kTelemetryInterval;
  PayloadBuilder builder(payload);
  if (const auto rss = ResidentBytes()) {
    builder.Add(SeriesId::kRankRss, now, static_cast<double>(*rss));
  }
  if (const auto cpu = CpuSeconds()) builder.Add(SeriesId::kRankCpu, now, *cpu);
  sketches_.MoveTo(payload);
}

}  // namespace rackmark
