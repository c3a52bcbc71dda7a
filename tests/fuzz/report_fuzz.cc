// What comes from workers into the core: Reports, between commands that give them something to
// speak of. Input: records, each with 4 bytes of length before it, the first byte of each says what
// it is. Whatever is said, State stays one that a snapshot keeps, the log has all of it, and no
// event is one that the log refuses.
#include "common/status.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/record.h"
#include "coordinator/core/timers.h"
#include "coordinator/snapshot.h"
#include "tests/fuzz/target.h"
#include "tests/scenarios/fake_worker.h"

namespace rackmark::fuzz {
namespace {

constexpr int kRecordsMax = 400;

std::string Record(char what, std::string_view body) {
  std::string record;
  const size_t size = body.size() + 1;
  for (int shift = 0; shift < 32; shift += 8) record += static_cast<char>((size >> shift) & 0xff);
  record += what;
  return record + std::string(body);
}

v1::Job MakeJob(uint32_t devices, int runs) {
  v1::Job job;
  job.set_name("fuzzed");
  job.mutable_spec()->mutable_gang()->set_devices(devices);
  job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits& limits = *job.mutable_spec()->mutable_limits();
  for (auto set : {&v1::Limits::set_setup_ns, &v1::Limits::set_prepare_ns,
                   &v1::Limits::set_measure_ns, &v1::Limits::set_drain_ns}) {
    (limits.*set)(20 * kSecond);
  }
  limits.set_attempts(2);
  for (int i = 0; i < runs; ++i) {
    job.mutable_spec()->add_runs()->mutable_null()->set_samples_per_step(1);
  }
  return job;
}

// A coordinator that is told records, and checks itself after each.
class Core {
 public:
  Core() { Do({{}, TakeLeadership{"c0ffee00", "coordinator/1", "boot"}}); }

  void Hear(std::string_view record) {
    if (record.empty()) return;
    const std::string body(record.substr(1));
    const auto number = [&](size_t at) {
      return at < body.size() ? static_cast<unsigned char>(body[at]) : 0U;
    };
    switch (record[0]) {
      case 'r': return Report(number(0), body.substr(std::min<size_t>(1, body.size())));
      case 't': now_ += number(0) * kSecond / 4; return Do({CorePrincipal(), Tick{}});
      case 'j':
        for (const RunId run : RunsToJudge(state_)) {
          const uint32_t attempt = state_.hard.runs.at(run).attempt + number(0) % 2;
          Do({CorePrincipal(), JudgeRun{run, attempt, v1::VERDICT_PASS, "hash", {}}});
        }
        return;
      case 's': {
        v1::Job job;
        if (!job.ParseFromString(body)) return;
        return Do({{}, SubmitJob{job, absl::StrCat("s", ++submissions_)}});
      }
      case 'b': return Do({{}, StreamBroken{NodeId{number(0)}, number(1)}});
      case 'c': return Do({{}, CancelJob{JobId{number(0)}, "fuzzed"}});
      case 'l':
        return Do({{}, TakeLeadership{"c0ffee00", absl::StrCat("coordinator/l", now_), "boot"}});
      default: return;
    }
  }

  // Compares what events made with what a second State makes of them, and of a snapshot.
  void Check() {
    const std::string bytes = SnapshotBytes(state_.hard);
    RACKMARK_CHECK(bytes == SnapshotBytes(replayed_));
    v1::Snapshot snapshot;
    RACKMARK_CHECK(snapshot.ParseFromString(bytes));
    const auto again = FromSnapshot(snapshot);
    RACKMARK_CHECK(again.ok() && SnapshotBytes(*again) == bytes);
  }

  State& state() { return state_; }

 private:
  void Report(uint64_t stream, const std::string& bytes) {
    NodeReported command;
    if (!command.report.Fresh().ParseFromString(bytes)) return;
    command.stream = stream;
    Do({{}, std::move(command)});
  }

  void Do(const Command& command) {
    ++now_;
    const auto turn = Turn(state_, command, Now{now_, now_});
    if (!turn.ok()) return;
    for (const v1::Event& event : turn->events) {
      const std::string bytes = event.SerializeAsString();
      v1::Event read;
      RACKMARK_CHECK(read.ParseFromString(bytes));
      RACKMARK_CHECK(CheckEvent(replayed_, read).ok());
      Apply(replayed_, read);
    }
    for (const NodeId node : turn->push) RACKMARK_CHECK(DesiredOf(state_, node).version() > 0);
    RACKMARK_CHECK(NextDeadline(state_) > now_);
  }

  State state_;
  HardState replayed_;
  Nanos now_ = 1000 * kSecond;
  uint64_t submissions_ = 0;
};

// A cluster of fake workers whose life is written down.
std::string Play(uint32_t devices, int runs, int rounds) {
  Core core;
  std::string tape;
  const auto tell = [&](char what, const std::string& body) {
    const std::string record = Record(what, body);
    tape += record;
    core.Hear(std::string_view(record).substr(4));
  };
  std::vector<FakeWorker> workers;
  workers.emplace_back("a", 2, 0);
  workers.emplace_back("b", 2, 1);
  tell('s', MakeJob(devices, runs).SerializeAsString());
  tell('s', MakeJob(1, 1).SerializeAsString());
  for (int round = 1; round <= rounds; ++round) {
    tell('t', "\x04");
    for (size_t i = 0; i < workers.size(); ++i) {
      workers[i].Step();
      const v1::Report report = workers[i].MakeReport(static_cast<uint64_t>(round));
      tell('r', std::string(1, static_cast<char>(i + 1)) + report.SerializeAsString());
      v1::SyncReply reply;
      reply.mutable_identity()->set_cluster_id(core.state().hard.cluster_id);
      reply.mutable_identity()->set_epoch(core.state().hard.epoch);
      const auto node = core.state().hard.node_by_name.find(workers[i].name());
      if (node == core.state().hard.node_by_name.end()) continue;
      *reply.mutable_desired() = DesiredOf(core.state(), node->second);
      workers[i].Hear(reply);
    }
    tell('j', std::string(1, '\0'));
    if (round == 5) tell('b', "\x01\x01");
    if (round == 9) tell('c', "\x02");
  }
  return tape;
}

}  // namespace

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (int rounds = 2; rounds <= 14; rounds += 2) seeds.push_back(Play(4, 2, rounds));
  seeds.push_back(Play(2, 1, 12));
  return seeds;
}

}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  std::string_view bytes = fuzz::AsText(data, size);
  fuzz::Core core;
  for (int i = 0; i < fuzz::kRecordsMax && bytes.size() >= 4; ++i) {
    size_t length = 0;
    for (size_t byte = 0; byte < 4; ++byte) {
      length |= static_cast<size_t>(static_cast<unsigned char>(bytes[byte])) << (8 * byte);
    }
    bytes.remove_prefix(4);
    length = std::min(length, bytes.size());
    core.Hear(bytes.substr(0, length));
    bytes.remove_prefix(length);
    if (i % 8 == 0) core.Check();
  }
  core.Check();
  return 0;
}
