// Carries what was recorded to the daemon: every 100 ms it drains the recorder and the ended
// requests into frames below 1 MiB; once a second it adds the process's own memory and CPU time and
// sketches of the requests that ended since the last ones (for the live view). Owns its thread.
// Only between BeginRun and EndRun does anything leave. All methods are the runner thread's; of
// them EndRun alone may wait for the daemon.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "worker/rank/live_sketches.h"
#include "worker/rank/pipe.h"
#include "worker/rank/recorder.h"
#include "worker/rank/request_log.h"

namespace rackmark {

// A frame is cut when its payload may have reached this; the bound of the wire is 4 MiB.
constexpr size_t kSampleFrameBytes = 900 << 10;
constexpr Nanos kEmitInterval = 100 * kMillisecond;
constexpr Nanos kTelemetryInterval = kSecond;

class Emitter {
 public:
  // All outlive the emitter.
  Emitter(Pipe* pipe, Recorder* recorder, const Clock* clock);
  ~Emitter();
  Emitter(const Emitter&) = delete;
  Emitter& operator=(const Emitter&) = delete;

  // Drops what an earlier, abandoned run left in the recorder, then opens.
  void BeginRun(uint64_t run_id, uint32_t attempt);
  // Ended requests of this log are sent from here on, until the run ends.
  void WatchRequests(std::shared_ptr<RequestLog> log);
  // Sends everything that is left, then SamplesEnd. The runner records nothing meanwhile.
  absl::Status EndRun();
  // The run failed or was superseded: what was recorded until now leaves, without an end.
  void AbandonRun();

 private:
  void Loop();
  void Beat();
  // Whether there may be more.
  absl::StatusOr<bool> EmitLocked();
  absl::Status SendLocked(v1::ChunkPayload payload);
  size_t AddSamplesLocked(v1::ChunkPayload* payload);
  size_t AddRequestsLocked(v1::ChunkPayload* payload, size_t bytes);
  void AddTelemetryLocked(v1::ChunkPayload* payload);

  Pipe* const pipe_;
  Recorder* const recorder_;
  const Clock* const clock_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // All below are guarded by mutex_.
  bool stop_ = false;
  bool open_ = false;
  uint64_t run_id_ = 0;
  uint32_t attempt_ = 0;
  std::shared_ptr<RequestLog> log_;
  LiveSketches sketches_;
  Nanos next_telemetry_ = 0;
  Nanos next_beat_ = 0;

  std::thread thread_;  // last: everything that it uses exists before it
};

}  // namespace rackmark
