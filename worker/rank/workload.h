// What a rank can do in a run, and the table of all such things. A workload owns its run's buffers;
// it is made for one (run, attempt), used by the runner's thread only, and knows neither frames nor
// processes. It never starts a collective before Measure: Prepare must be able to fail alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/run.pb.h"
#include "worker/rank/artifacts.h"
#include "worker/rank/emitter.h"
#include "worker/rank/gang.h"
#include "worker/rank/recorder.h"

namespace rackmark {

// How a workload tells how far it is, and learns that it should end.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void Phase(v1::RankPhase phase) = 0;
  // For the progress view. It takes a lock and sends: never inside a timed loop.
  virtual void Note(std::string_view note) = 0;
  // The run was stopped or superseded: return CANCELLED soon.
  virtual bool Cancelled() const = 0;
};

// What a run may use. All of it outlives the workload.
struct RunContext {
  Gang* gang = nullptr;
  Recorder* recorder = nullptr;
  Emitter* emitter = nullptr;
  const Clock* clock = nullptr;
  Progress* progress = nullptr;
  const Artifacts* artifacts = nullptr;
};

class Workload {
 public:
  virtual ~Workload() = default;
  // Weights, buffers, instrument; no collective.
  virtual absl::Status Prepare() = 0;
  // Warm-up, calibration, the measured window.
  virtual absl::Status Measure() = 0;
  // Checks data outside the timed region and records what it found.
  virtual absl::Status Verify() = 0;
  // What Prepare takes from this rank's memory, for the sentence when it cannot have it.
  virtual uint64_t BytesWanted() const = 0;
};

struct WorkloadEntry {
  v1::RunSpec::WorkloadCase which;
  std::string_view name;
  bool on_gpus;  // whether it runs on them too
  // Whether this gang can run it at all; a sentence with the remedy if not.
  absl::Status (*check)(const v1::RunSpec& spec, const Gang& gang);
  std::unique_ptr<Workload> (*make)(const v1::RunSpec& spec, const RunContext& context);
};

// UNIMPLEMENTED for a workload that this build does not know.
absl::StatusOr<const WorkloadEntry*> FindWorkload(const v1::RunSpec& spec);

}  // namespace rackmark
