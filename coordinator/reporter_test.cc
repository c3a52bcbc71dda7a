// From JUDGING to the verdict, and the job's report: with a summariser whose answers are known.
#include "coordinator/reporter.h"

#include <future>
#include <memory>
#include <string>

#include "common/ids.h"
#include "common/sha256.h"
#include "coordinator/core/decide.h"
#include "coordinator/store/memory_store.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Cancelled while it is queued, so that it goes to JUDGING without any worker.
struct Fixture {
  Fixture() {
    Loop::Options options;
    options.events = &events;
    options.clock = &SystemClock();
    options.inbox_max = 64;
    options.fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
    loop = std::make_unique<Loop>(options);
    EXPECT_TRUE(loop->Recover("boot", "boot/1").ok());
    Reporter::Options reporting;
    reporting.loop = loop.get();
    reporting.samples = &samples;
    reporting.history = &events.history();
    reporting.report_bytes_max = 1 << 20;
    reporting.fatal = options.fatal;
    reporting.summarize = [this](v1::RunSummary known, const ChunkSource&) {
      ++judged;
      known.set_verdict(v1::VERDICT_CANCELLED);
      known.add_reasons("because");
      return absl::StatusOr<v1::RunSummary>(known);
    };
    reporter = std::make_unique<Reporter>(reporting);
    loop->AddListener(reporter.get());
    loop->AddListener(&ended);
    loop->Start();
  }
  ~Fixture() {
    reporter->Stop();
    loop->Stop();
  }
  absl::StatusOr<v1::JobSummary> Report(JobId job) {
    std::promise<absl::StatusOr<v1::JobSummary>> promise;
    auto answer = promise.get_future();
    absl::Status asked;
    EXPECT_TRUE(loop->ReadAndWait([&](const State& state, Now) {
                      asked = reporter->Assemble(
                          state, job, [&](auto summary) { promise.set_value(std::move(summary)); });
                    })
                    .ok());
    RETURN_IF_ERROR(asked);
    return answer.get();
  }
  JobId SubmitAndCancel() {
    const JobId job = std::get<Submitted>(Do(SubmitJob{MakeJob(), "s1"})).job;
    Do(CancelJob{job, "enough"});
    return job;
  }
  template <typename Body>
  Reply Do(Body body) {
    std::promise<Reply> promise;
    EXPECT_TRUE(loop->Post({CorePrincipal(), body},
                           [&](const Outcome& outcome) {
                             EXPECT_TRUE(outcome.status.ok()) << outcome.status;
                             promise.set_value(outcome.reply);
                           })
                    .ok());
    return promise.get_future().get();
  }

  // Kept when the first job has its verdict.
  struct Ended : LoopListener {
    void DesiredChanged(NodeId, const State&) override {}
    void RunToJudge(RunId) override {}
    void JobEnded(const v1::EndedJob& job) override { promise.set_value(job.runs(0)); }
    void Committed(const State&, Now) override {}
    std::promise<v1::RunRecord> promise;
  };

  MemoryEventStore events{"c1"};
  MemorySampleStore samples;
  std::atomic<int> judged = 0;
  Ended ended;
  std::unique_ptr<Loop> loop;
  std::unique_ptr<Reporter> reporter;
};

TEST(Reporter, AVerdictComesBackWithTheHashOfWhatIsStored) {
  Fixture f;
  const JobId job = f.SubmitAndCancel();
  const v1::RunRecord run = f.ended.promise.get_future().get();
  EXPECT_EQ(run.verdict(), v1::VERDICT_CANCELLED);
  EXPECT_THAT(run.reasons(), ElementsAre("because"));
  const auto stored = f.samples.GetReport(run.run_id());
  ASSERT_TRUE(stored->has_value());
  EXPECT_EQ(run.evidence_sha256(), Sha256Hex(**stored));

  const auto report = f.Report(job);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->cluster_id(), "c1");
  EXPECT_EQ(report->source(), "the yaml");
  EXPECT_EQ(report->verdict(), v1::VERDICT_CANCELLED);
  ASSERT_EQ(report->runs_size(), 1);
  EXPECT_THAT(report->runs(0).reasons(), ElementsAre("because"));
}

TEST(Reporter, AStoredSummaryOfTheSameAttemptIsNotMadeAgain) {
  Fixture f;
  v1::RunSummary before;
  before.set_run_id(1);
  before.set_attempt(0);
  before.set_verdict(v1::VERDICT_CANCELLED);
  before.add_reasons("judged before the crash");
  ASSERT_TRUE(f.samples.PutReport(1, before.SerializeAsString()).ok());
  f.SubmitAndCancel();
  const v1::RunRecord run = f.ended.promise.get_future().get();
  EXPECT_EQ(f.judged, 0);
  EXPECT_EQ(run.evidence_sha256(), Sha256Hex(before.SerializeAsString()));
  EXPECT_THAT(run.reasons(), ElementsAre("judged before the crash"));
}

// The reporter of the coordinator before this one died between JUDGING and the verdict.
TEST(Reporter, ARunLeftInJudgingIsJudgedAfterARestart) {
  Fixture f;
  f.reporter->Stop();  // nobody judges
  const JobId job = f.SubmitAndCancel();
  f.loop->Stop();
  Loop::Options options;
  options.events = &f.events;
  options.clock = &SystemClock();
  options.inbox_max = 64;
  Loop again(options);
  ASSERT_TRUE(again.Recover("boot", "boot/2").ok());
  Reporter::Options reporting;
  reporting.loop = &again;
  reporting.samples = &f.samples;
  reporting.history = &f.events.history();
  reporting.summarize = [](v1::RunSummary, const ChunkSource&) {
    return absl::StatusOr<v1::RunSummary>(absl::DataLossError("planted: a torn chunk"));
  };
  Reporter reporter(reporting);
  Fixture::Ended ended;
  again.AddListener(&reporter);
  again.AddListener(&ended);
  again.Start();
  const v1::RunRecord run = ended.promise.get_future().get();
  EXPECT_EQ(run.job_id(), job.value);
  // Damaged samples are an ERROR of the run, with the reason, and no trouble of the coordinator's.
  EXPECT_EQ(run.verdict(), v1::VERDICT_ERROR);
  EXPECT_THAT(run.reasons(), ElementsAre(HasSubstr("torn chunk")));
  reporter.Stop();
  again.Stop();
}

// Its samples fail as the test says, a number of times.
class FailingSamples : public MemorySampleStore {
 public:
  FailingSamples(absl::Status with, int times) : with_(std::move(with)), left_(times) {}

 protected:
  absl::Status DoForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) override {
    if (left_-- > 0) return with_;
    return MemorySampleStore::DoForEachChunk(run, attempt, visit);
  }

 private:
  const absl::Status with_;
  std::atomic<int> left_;
};

// A run in JUDGING, and who judges it from `samples`; the verdict, or what was fatal.
std::pair<v1::RunRecord, absl::Status> JudgedFrom(SampleStore& samples) {
  Fixture f;
  f.reporter->Stop();  // nobody judges
  std::promise<absl::Status> over;
  struct First : Fixture::Ended {
    explicit First(std::promise<absl::Status>* to) : told(to) {}
    void JobEnded(const v1::EndedJob& job) override {
      run = job.runs(0);
      told->set_value(absl::OkStatus());
    }
    std::promise<absl::Status>* const told;
    v1::RunRecord run;
  } first(&over);
  Reporter::Options reporting;
  reporting.samples = &samples;
  reporting.history = &f.events.history();
  reporting.read_again = kMillisecond;
  reporting.fatal = [&](const absl::Status& status) { over.set_value(status); };
  reporting.summarize = [](v1::RunSummary known,
                           const ChunkSource& chunks) -> absl::StatusOr<v1::RunSummary> {
    RETURN_IF_ERROR(chunks([](v1::Chunk) { return absl::OkStatus(); }));
    known.set_verdict(v1::VERDICT_CANCELLED);
    return known;
  };
  f.SubmitAndCancel();
  f.loop->Stop();
  Loop::Options options;
  options.events = &f.events;
  options.clock = &SystemClock();
  options.inbox_max = 64;
  Loop again(options);
  EXPECT_TRUE(again.Recover("boot", "boot/2").ok());
  reporting.loop = &again;
  Reporter judge(reporting);
  again.AddListener(&judge);
  again.AddListener(&first);
  again.Start();
  const absl::Status status = over.get_future().get();
  judge.Stop();
  again.Stop();
  return {first.run, status};
}

TEST(Reporter, SamplesThatCannotBeReadJustNowAreNoVerdict) {
  for (const absl::Status& passing :
       {absl::UnavailableError("planted"), absl::DeadlineExceededError("planted"),
        absl::AbortedError("planted"), absl::ResourceExhaustedError("planted")}) {
    FailingSamples samples(passing, 3);
    const auto [run, fatal] = JudgedFrom(samples);
    EXPECT_TRUE(fatal.ok()) << fatal;
    EXPECT_EQ(run.verdict(), v1::VERDICT_CANCELLED) << passing;
  }
}

TEST(Reporter, DamagedSamplesAreTheRunsErrorAndAnythingElseEndsTheProcess) {
  FailingSamples damaged(absl::DataLossError("planted"), 1);
  EXPECT_EQ(JudgedFrom(damaged).first.verdict(), v1::VERDICT_ERROR);
  FailingSamples broken(absl::InternalError("planted"), 1);
  EXPECT_TRUE(absl::IsInternal(JudgedFrom(broken).second));
  EXPECT_FALSE(broken.GetReport(1)->has_value());
}

// Retention has taken the summary, or never: what the log said is left.
TEST(Reporter, AReportWithoutItsSummaryTellsWhatTheLogSaid) {
  Fixture f;
  const JobId job = f.SubmitAndCancel();
  const v1::RunRecord run = f.ended.promise.get_future().get();
  ASSERT_TRUE(f.samples.DropReport(run.run_id()).ok());
  const auto report = f.Report(job);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->runs_size(), 1);
  EXPECT_EQ(report->runs(0).verdict(), v1::VERDICT_CANCELLED);
  EXPECT_EQ(report->runs(0).failure().detail(), "enough");
  EXPECT_TRUE(report->runs(0).spec().has_null());
  EXPECT_THAT(report->runs(0).missing(0).reason(), HasSubstr("samples.db"));
  ASSERT_TRUE(f.events.DropHistory(INT64_MAX, 100).ok());
  EXPECT_THAT(std::string(f.Report(job).status().message()), HasSubstr("no longer kept"));
}

TEST(Reporter, NoReportBeforeTheEndAndNoneOfAnUnknownJob) {
  Fixture f;
  const JobId job = std::get<Submitted>(f.Do(SubmitJob{MakeJob(), "s1"})).job;
  EXPECT_EQ(f.Report(job).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(f.Report(JobId{77}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace rackmark
