// Nothing is lost: samples that were acked are stored, a run is judged as measured only with all of
// its samples there, a job that was acked is in the log, and one submission is one job.
#include <map>
#include <string>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class LossChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "loss"; }

  void Acked(const v1::SampleAck& ack) override {
    for (const v1::Watermark& mark : ack.watermarks()) {
      if (!mark.refused().empty()) continue;
      const StreamKey key{mark.run_id(), mark.attempt(), mark.kind(), mark.stream()};
      const uint64_t stored = world_.disk.Watermark(key);
      if (stored >= mark.seq()) continue;
      Fail(absl::StrCat("chunk ", mark.seq(), " of stream ", mark.stream(), " of run ",
                        mark.run_id(), " is acked, and ", stored, " are stored"));
    }
  }

  void Committed(const v1::Event& event, const HardState& before) override {
    if (event.has_job_submitted()) return Submitted_(event.job_submitted());
    if (!event.has_run_judging() || event.run_judging().has_failure()) return;
    const auto run = before.runs.find(RunId{event.run_judging().run_id()});
    if (run == before.runs.end()) return;
    for (const v1::RankPlace& place : run->second.placement.ranks()) {
      const StreamKey key{run->first.value, run->second.attempt, v1::STREAM_KIND_RANK,
                          place.rank()};
      if (world_.disk.HasWhole(key)) continue;
      Fail(absl::StrCat("run ", key.run, ", attempt ", key.attempt, ", is judged as measured, and ",
                        "samples of rank ", place.rank(), " are missing"));
    }
  }

  void Replied(const Command& command, const Reply& reply) override {
    const auto* submit = std::get_if<SubmitJob>(&command.body);
    const auto* submitted = std::get_if<Submitted>(&reply);
    if (submit == nullptr || submitted == nullptr) return;
    const auto job = jobs_.find(submit->submission_id);
    if (job != jobs_.end() && job->second == submitted->job.value) return;
    Fail(absl::StrCat("submission ", submit->submission_id, " is acked as job ",
                      submitted->job.value, ", which the log does not say"));
  }

 private:
  void Submitted_(const v1::JobSubmitted& job) {
    if (job.submission_id().empty()) return;  // of a suite
    if (jobs_.emplace(job.submission_id(), job.job_id()).second) return;
    Fail(absl::StrCat("submission ", job.submission_id(), " became two jobs"));
  }

  std::map<std::string, uint64_t> jobs_;  // by submission
};

}  // namespace

std::unique_ptr<Checker> MakeLossChecker(World* world) {
  return std::make_unique<LossChecker>(world);
}

}  // namespace rackmark::sim
