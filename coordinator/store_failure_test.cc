// Every write that a coordinator makes fails once, at each place where it makes one: with the bytes
// on disk or not, for after a failed write nobody knows. The process must fence itself, and what
// was acked before must be there for the next one; on PostgreSQL, for the next leader.
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "coordinator/core/decide.h"
#include "coordinator/janitor.h"
#include "coordinator/loop.h"
#include "coordinator/reporter.h"
#include "coordinator/snapshot.h"
#include "coordinator/store/store_suite.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::UnorderedElementsAre;

// What outlives the process: stores that never fail, and the write that is to fail.
struct Disk {
  explicit Disk(SqlStores made) : stores(std::move(made)) {}
  EventStore& events() { return *stores.events; }
  SampleStore& samples() { return *stores.samples; }

  SqlStores stores;
  std::vector<v1::Event> log;  // every event that reached the disk
  int fail_at = 0;             // counted from 1
  bool lands = false;          // the failing write reaches the disk all the same

  template <typename Do>
  auto Write(const std::string& what, Do act) -> decltype(act()) {
    bool fails = false;
    {
      std::lock_guard lock(mutex);
      fails = ++writes == fail_at;
      if (fails) failed = what;
    }
    if (!fails) return act();
    if (lands) (void)act();
    return absl::InternalError("planted");
  }
  bool HasFailed() {
    std::lock_guard lock(mutex);
    return !failed.empty();
  }

  std::mutex mutex;
  int writes = 0;
  std::string failed;
};

class FaultyEvents : public EventStore {
 public:
  explicit FaultyEvents(Disk* disk) : disk_(*disk) {}
  const std::string& cluster_id() const override { return disk_.events().cluster_id(); }
  uint64_t last_seq() const override { return disk_.events().last_seq(); }
  History& history() override { return disk_.events().history(); }
  bool history_complete() const override { return false; }

 private:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    return disk_.Write("Append", [&] {
      disk_.log.insert(disk_.log.end(), events.begin(), events.end());
      return disk_.events().Append(events, ended);
    });
  }
  absl::Status DoLoad(uint64_t from, const EventVisitor& visit) override {
    return disk_.events().Load(from, visit);
  }
  absl::Status DoPutSnapshot(uint64_t, std::string_view bytes) override {
    return disk_.Write("PutSnapshot", [&] { return disk_.events().PutSnapshot(bytes); });
  }
  absl::StatusOr<std::vector<uint64_t>> DoSnapshots() override {
    return disk_.events().Snapshots();
  }
  absl::StatusOr<std::string> DoGetSnapshot(uint64_t seq) override {
    return disk_.events().GetSnapshot(seq);
  }
  absl::Status DoDropSnapshot(uint64_t seq) override {
    return disk_.Write("DropSnapshot", [&] { return disk_.events().DropSnapshot(seq); });
  }
  absl::StatusOr<uint64_t> DoTrim(uint64_t max) override {
    return disk_.Write("Trim", [&] { return disk_.events().Trim(max); });
  }
  absl::Status DoBackfill(std::span<const v1::EndedJob> ended, bool complete) override {
    return disk_.Write("Backfill", [&] { return disk_.events().Backfill(ended, complete); });
  }
  absl::StatusOr<uint64_t> DoDropHistory(int64_t before, uint64_t max) override {
    return disk_.Write("DropHistory", [&] { return disk_.events().DropHistory(before, max); });
  }
  Disk& disk_;
};

class FaultySamples : public SampleStore {
 public:
  explicit FaultySamples(Disk* disk) : disk_(*disk) {}

 private:
  absl::StatusOr<std::vector<StreamMark>> DoPutChunks(std::span<const v1::Chunk> chunks) override {
    return disk_.Write("PutChunks", [&] { return disk_.samples().PutChunks(chunks); });
  }
  absl::StatusOr<uint64_t> DoWatermark(const StreamKey& key) override {
    return disk_.samples().Watermark(key);
  }
  absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) override {
    return disk_.samples().BytesOf(run, attempt);
  }
  absl::Status DoForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) override {
    return disk_.samples().ForEachChunk(run, attempt, visit);
  }
  absl::StatusOr<std::vector<uint64_t>> DoNextRuns(uint64_t after, uint64_t max,
                                                   RunsWith what) override {
    return disk_.samples().NextRuns(after, max, what);
  }
  absl::StatusOr<uint64_t> DoDropChunks(uint64_t run, uint64_t max) override {
    return disk_.Write("DropChunks", [&] { return disk_.samples().DropChunks(run, max); });
  }
  absl::Status DoDropReport(uint64_t run) override {
    return disk_.Write("DropReport", [&] { return disk_.samples().DropReport(run); });
  }
  absl::StatusOr<uint64_t> DoUsedBytes() override { return disk_.samples().UsedBytes(); }
  absl::StatusOr<uint64_t> DoShrink(uint64_t max) override {
    return disk_.Write("Shrink", [&] { return disk_.samples().Shrink(max); });
  }
  absl::Status DoAdopt(std::string_view cluster_id, const Wanted& wanted) override {
    return disk_.Write("Adopt", [&] { return disk_.samples().Adopt(cluster_id, wanted); });
  }
  absl::Status DoPutReport(uint64_t run, std::string_view bytes) override {
    return disk_.Write("PutReport", [&] { return disk_.samples().PutReport(run, bytes); });
  }
  absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) override {
    return disk_.samples().GetReport(run);
  }
  Disk& disk_;
};

// One life of a coordinator: the loop, the reporter, the janitor, and somebody who writes down what
// was acked. Everything stops being asked once it has fenced itself.
class Life : public LoopListener {
 public:
  explicit Life(Disk* disk, uint64_t snapshot_events = 4) : events_(disk), samples_(disk) {
    Loop::Options options;
    options.events = &events_;
    options.clock = &SystemClock();
    options.inbox_max = 64;
    options.snapshot_events = snapshot_events;
    options.fatal = [this](const absl::Status&) { Fence(); };
    loop_ = std::make_unique<Loop>(options);
    Reporter::Options reporting;
    reporting.loop = loop_.get();
    reporting.samples = &samples_;
    reporting.history = &events_.history();
    reporting.report_bytes_max = 1 << 20;
    reporting.fatal = options.fatal;
    reporting.summarize = [](v1::RunSummary known, const ChunkSource&) {
      known.set_verdict(v1::VERDICT_CANCELLED);
      return absl::StatusOr<v1::RunSummary>(known);
    };
    reporter_ = std::make_unique<Reporter>(reporting);
    loop_->AddListener(reporter_.get());
    loop_->AddListener(this);
    if (!loop_->Recover("boot", "boot/1").ok()) {
      Fence();  // main ends with the error
      return;
    }
    loop_->Start();
  }
  ~Life() override { Stop(); }
  void Stop() {
    loop_->Stop();  // first: a loop that has fenced itself answers the reporter only now
    reporter_->Stop();
  }

  // A job with a chunk, from its submission to its end.
  void Work(const std::string& id) {
    const auto submitted = Ask(SubmitJob{MakeJob(), id});
    if (!submitted) return;
    const JobId job = std::get<Submitted>(*submitted).job;
    acked[id] = job;
    v1::Chunk chunk;
    chunk.mutable_header()->set_run(job.value);
    chunk.mutable_header()->set_attempt(1);
    chunk.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
    chunk.mutable_header()->set_seq(1);
    chunk.set_payload("samples");
    const auto marks = samples_.PutChunks({&chunk, 1});
    if (!marks.ok()) return Fence();  // as ingest does
    acked_chunks.insert(job.value);
    if (!Ask(CancelJob{job, "enough"})) return;
    std::unique_lock lock(mutex_);
    told_.wait(lock, [&] { return fenced_ || ended.count(job) > 0; });
  }
  // What ended until now is over its age.
  void LetGo() {
    // The turn that told of the last end may yet fail to write its snapshot.
    if (!Ask(Tick{})) return;
    ManualClock later(SystemClock().Unix() + 3600 * kSecond);
    Janitor::Options options;
    options.loop = loop_.get();
    options.events = &events_;
    options.samples = &samples_;
    options.clock = &later;
    options.storage.samples_keep = 3600 * kSecond;
    options.storage.reports_keep = 3600 * kSecond;
    options.storage.history_keep = 3600 * kSecond;
    Janitor::Progress fresh;
    // As Janitor::Run does.
    if (!Janitor::Sweep(
             options, [] { return true; }, fresh)
             .ok())
      Fence();
  }
  bool IsFenced() {
    std::lock_guard lock(mutex_);
    return fenced_;
  }

  void DesiredChanged(NodeId, const State&) override {}
  void RunToJudge(RunId) override {}
  void JobEnded(const v1::EndedJob& job) override {
    std::lock_guard lock(mutex_);
    ended.insert(JobId{job.job().job_id()});
    told_.notify_all();
  }
  void Committed(const State&, Now) override {}

  std::map<std::string, JobId> acked;
  std::set<uint64_t> acked_chunks;
  std::set<JobId> ended;  // as watchers were told

 private:
  void Fence() {
    std::lock_guard lock(mutex_);
    fenced_ = true;
    told_.notify_all();
  }
  // Missing: fenced before it was answered.
  template <typename Body>
  std::optional<Reply> Ask(Body body) {
    if (IsFenced()) return std::nullopt;
    auto answer = std::make_shared<std::optional<Reply>>();
    const absl::Status posted =
        loop_->Post({CorePrincipal(), std::move(body)}, [this, answer](const Outcome& outcome) {
          std::lock_guard lock(mutex_);
          if (!outcome.status.ok()) return;
          *answer = outcome.reply;
          told_.notify_all();
        });
    EXPECT_TRUE(posted.ok()) << posted;
    std::unique_lock lock(mutex_);
    told_.wait(lock, [&] { return fenced_ || answer->has_value(); });
    return *answer;
  }

  FaultyEvents events_;
  FaultySamples samples_;
  std::mutex mutex_;
  std::condition_variable told_;
  bool fenced_ = false;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Reporter> reporter_;
};

std::string BytesOfAll(const std::vector<v1::Event>& log) {
  State state;
  for (const v1::Event& event : log) EXPECT_TRUE(Replay(state, event).ok());
  return SnapshotBytes(state.hard);
}

// The next process finds what the one before has acked; `gone`: jobs that retention was asked to
// let go of.
void CheckNothingLost(Disk& disk, Life& before, const std::set<std::string>& gone) {
  disk.fail_at = 0;
  {
    State state;
    const absl::Status recovered = RecoverState(disk.events(), state);
    ASSERT_TRUE(recovered.ok()) << recovered;
    EXPECT_EQ(SnapshotBytes(state.hard), BytesOfAll(disk.log));
    for (const auto& [id, job] : before.acked) {
      EXPECT_EQ(state.hard.submissions.at(id), job);
      const bool open = state.hard.jobs.count(job) > 0;
      EXPECT_TRUE(open || HasEnded(state.hard, job)) << id;
      EXPECT_FALSE(open && before.ended.count(job) > 0) << id;
      if (gone.count(id) > 0) continue;
      EXPECT_NE(open, (*disk.events().history().Job(job.value)).has_value()) << id;
      if (before.acked_chunks.count(job.value) > 0) {
        EXPECT_GT(*disk.samples().BytesOf(job.value, 1), 0U) << id;
      }
      EXPECT_TRUE(open || (*disk.samples().GetReport(job.value)).has_value()) << id;
    }
  }
  Life after(&disk);
  EXPECT_FALSE(after.IsFenced());
  after.Work("next");
  EXPECT_EQ(after.ended.count(after.acked.at("next")), 1U);
}

// Plays the script with its k-th write failing, and lets the next process find what is left. Empty:
// there are fewer writes.
template <typename Maker>
std::string FailWrite(int k, bool lands, Maker maker) {
  SCOPED_TRACE(absl::StrCat("write ", k, lands ? ", which lands" : ""));
  std::string why;
  Disk disk(*maker.Make(why));
  disk.fail_at = k;
  disk.lands = lands;
  Life life(&disk);
  life.Work("old1");
  life.Work("old2");
  life.LetGo();
  life.Work("new1");
  life.Work("new2");
  life.Stop();
  EXPECT_EQ(life.IsFenced(), disk.HasFailed());
  if (!disk.HasFailed()) return "";
  if constexpr (std::is_same_v<Maker, PgMaker>) disk.stores = maker.NextTerm();
  CheckNothingLost(disk, life, {"old1", "old2"});
  return disk.failed;
}

TEST(StoreFailure, WhicheverWriteFailsNothingAckedIsLostAndTheProcessIsFenced) {
  std::set<std::string> kinds;
  for (const bool lands : {false, true}) {
    for (int k = 1;; ++k) {
      const std::string failed = FailWrite(k, lands, MemoryMaker());
      if (HasFailure()) return;
      if (failed.empty()) {
        EXPECT_GT(k, 20);
        break;
      }
      kinds.insert(failed);
    }
  }
  EXPECT_THAT(kinds,
              UnorderedElementsAre("Append", "Backfill", "DropChunks", "DropHistory", "DropReport",
                                   "PutChunks", "PutReport", "PutSnapshot", "Shrink", "Trim"));
}

// Some of the same: each needs a database of its own.
TEST(StoreFailure, OnPostgresTheNextLeaderFindsWhatWasAcked) {
  RACKMARK_PG_OR_SKIP(server);
  std::set<std::string> kinds;
  for (const bool lands : {false, true}) {
    for (int k = lands ? 1 : 3;; k += 5) {
      const std::string failed = FailWrite(k, lands, PgMaker());
      if (HasFailure()) return;
      if (failed.empty()) break;
      kinds.insert(failed);
    }
  }
  EXPECT_EQ(kinds.count("Append"), 1U);
  EXPECT_GT(kinds.size(), 3U);
}

TEST(StoreFailure, ADamagedSnapshotThatCannotBeRemovedEndsTheStart) {
  std::string why;
  Disk disk(*MemoryMaker().Make(why));
  {
    Life life(&disk, 1000);
    life.Work("s");
  }
  ASSERT_TRUE(disk.events().PutSnapshot("damaged").ok());
  disk.fail_at = disk.writes + 1;
  EXPECT_TRUE(Life(&disk, 1000).IsFenced());
  EXPECT_EQ(disk.failed, "DropSnapshot");
}

}  // namespace
}  // namespace rackmark
