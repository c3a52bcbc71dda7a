#include "tests/scenarios/script.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/view.h"
#include "coordinator/core/why.h"
#include "tests/scenarios/describe.h"
#include "tests/scenarios/queue_words.h"
#include "tests/scenarios/sim.h"
#include "tests/scenarios/suite_words.h"

namespace rackmark {
namespace {

// One command line: words, and name=value options.
struct Line {
  std::string verb;
  std::vector<std::string> words;
  std::map<std::string, std::string> options;

  std::string Word(size_t i) const { return i < words.size() ? words[i] : ""; }
  std::string Text(const std::string& name, const std::string& otherwise) const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second;
  }
  uint32_t Count(const std::string& name, uint32_t otherwise) const {
    uint32_t value = otherwise;
    if (options.count(name) != 0) RACKMARK_CHECK(absl::SimpleAtoi(options.at(name), &value));
    return value;
  }
};

Line Parse(const std::string& text) {
  Line line;
  std::istringstream in(text);
  in >> line.verb;
  for (std::string word; in >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      line.words.push_back(word);
    } else {
      line.options[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  return line;
}

Nanos Duration(const std::string& text) { return ParseDuration(text); }

uint64_t Number(const std::string& id) {
  uint64_t value = 0;
  RACKMARK_CHECK(absl::SimpleAtoi(id.substr(1), &value));
  return value;
}

// "PLACED:5s".
void AddHold(const std::string& text, v1::NullWorkload& workload) {
  const size_t colon = text.find(':');
  v1::HoldPhase phase = v1::HOLD_PHASE_UNKNOWN;
  RACKMARK_CHECK(v1::HoldPhase_Parse("HOLD_PHASE_" + text.substr(0, colon), &phase));
  workload.mutable_hold()->set_phase(phase);
  workload.mutable_hold()->set_duration_ns(Duration(text.substr(colon + 1)));
}

v1::Job MakeJob(const Line& line) {
  v1::Job job;
  job.set_name(line.Word(0));
  v1::Gang& gang = *job.mutable_spec()->mutable_gang();
  gang.set_devices(line.Count("gang", 1));
  if (line.options.count("per_node") != 0) gang.set_per_node(line.Count("per_node", 1));
  gang.set_quarantined(line.Text("quarantined", "") == "yes");
  gang.set_kind(line.Text("kind", "cpu") == "gpu" ? v1::DEVICE_KIND_GPU : v1::DEVICE_KIND_CPU);
  v1::Limits& limits = *job.mutable_spec()->mutable_limits();
  limits.set_setup_ns(Duration(line.Text("setup", "20s")));
  limits.set_prepare_ns(Duration(line.Text("prepare", "20s")));
  limits.set_measure_ns(Duration(line.Text("measure", "60s")));
  limits.set_drain_ns(Duration(line.Text("drain", "10s")));
  limits.set_attempts(line.Count("attempts", 2));
  if (line.options.count("stall") != 0) limits.set_stall_ns(Duration(line.options.at("stall")));
  AddWishes(line.options, *job.mutable_spec());
  for (uint32_t i = 0; i < line.Count("runs", 1); ++i) {
    v1::RunSpec* run = job.mutable_spec()->add_runs();
    run->set_repetition(i);
    run->mutable_null()->set_samples_per_step(1);
    if (line.options.count("hold") != 0) AddHold(line.options.at("hold"), *run->mutable_null());
  }
  return job;
}

class Script {
 public:
  Script();
  absl::StatusOr<std::string> Run(std::string_view text);
  const std::vector<v1::Event>& log() const { return sim_.log(); }

 private:
  using Handler = std::function<void(const Line&)>;

  void AddCommands();
  void AddFaults();
  void AddNodeWords();
  void AddSuiteWords();
  void AddScheduleWords();
  bool JudgeAll(const Line& line);
  void Finish(const Line& line);
  void Change(const Line& line, v1::NodeChange change);
  void Trace();
  void Say(std::string_view text) { absl::StrAppend(&out_, "> ", ToAbsl(text), "\n"); }
  void SyncNodes(const std::vector<std::string>& names, uint32_t times);
  void Report(const absl::Status& status);
  void Advance(const Line& line);
  std::vector<std::string> Names(const Line& line, size_t from) const;

  Sim sim_;
  size_t traced_ = 0;
  std::string out_;
  std::map<std::string, Handler> handlers_;
  v1::Suite suite_;  // as it is being written
};

void Script::Trace() {
  for (; traced_ < sim_.log().size(); ++traced_) Say(DescribeEvent(sim_.log()[traced_]));
}

void Script::Report(const absl::Status& status) {
  Trace();
  if (!status.ok()) Say(absl::StrCat("error ", status.ToString()));
}

std::vector<std::string> Script::Names(const Line& line, size_t from) const {
  std::vector<std::string> names;
  for (size_t i = from; i < line.words.size(); ++i) names.push_back(line.words[i]);
  return names.empty() ? sim_.names() : names;
}

void Script::SyncNodes(const std::vector<std::string>& names, uint32_t times) {
  for (uint32_t i = 0; i < times; ++i) {
    for (const std::string& name : names) Report(sim_.Sync(name));
  }
}

// Time passes in ticks of a second; `with` nodes report in each, the others are silent.
void Script::Advance(const Line& line) {
  const Nanos step = sim_.state().config.tick_max;
  std::vector<std::string> with;
  if (line.options.count("with") != 0) {
    with = absl::StrSplit(line.options.at("with"), ',');
  }
  for (Nanos left = Duration(line.Word(0)); left > 0; left -= step) {
    sim_.Advance(std::min(left, step));
    Report(sim_.Do({{}, Tick{}}).status());
    SyncNodes(with, 1);
  }
}

void Script::AddCommands() {
  handlers_["lead"] = [this](const Line&) { Report(sim_.Lead().status()); };
  handlers_["node"] = [this](const Line& line) {
    FakeWorker& worker = sim_.AddWorker(line.Word(0), line.Count("cpu", 0), line.Count("gpu", 0));
    AddFacts(line.options, worker.info());
    AddParts(line.options, worker.info());
    Report(sim_.Sync(line.Word(0)));
  };
  handlers_["submit"] = [this](const Line& line) {
    Command command{{}, SubmitJob{MakeJob(line), line.Text("id", line.Word(0))}};
    command.by.set_name(line.Text("by", "tester"));
    auto result = sim_.Do(std::move(command));
    Report(result.status());
    if (!result.ok()) return;
    const Submitted& reply = std::get<Submitted>(result->reply);
    if (reply.already) Say(absl::StrCat("already submitted as j", reply.job.value));
    if (!reply.note.empty()) Say(absl::StrCat("note ", reply.note));
  };
  handlers_["cancel"] = [this](const Line& line) {
    auto result = sim_.Do({{}, CancelJob{JobId{Number(line.Word(0))}, line.Text("reason", "")}});
    Report(result.status());
    if (result.ok()) Say(std::get<Cancelled>(result->reply).was_running ? "was open" : "was over");
  };
  handlers_["judge"] = [this](const Line& line) {
    v1::Verdict verdict = v1::VERDICT_UNKNOWN;
    v1::Verdict_Parse("VERDICT_" + line.Word(1), &verdict);
    const RunId run{Number(line.Word(0))};
    const auto at = sim_.state().hard.runs.find(run);
    const bool open = at != sim_.state().hard.runs.end();
    const uint32_t attempt = line.Count("attempt", open ? at->second.attempt : 0);
    Report(sim_.Do({{}, JudgeRun{run, attempt, verdict, "hash", {}}}).status());
  };
  // Ingest has all of the run's streams on disk to their end.
  handlers_["stored"] = [this](const Line& line) {
    const RunState& run = sim_.state().hard.runs.at(RunId{Number(line.Word(0))});
    StreamsStored stored;
    std::set<uint64_t> nodes;
    for (const v1::RankPlace& place : run.placement.ranks()) {
      const uint32_t attempt = line.Count("attempt", run.attempt);
      stored.streams.push_back({run.id, attempt, v1::STREAM_KIND_RANK, place.rank()});
      if (!nodes.insert(place.node_id()).second) continue;
      stored.streams.push_back({run.id, attempt, v1::STREAM_KIND_NODE, place.rank()});
    }
    Report(sim_.Do({{}, stored}).status());
  };
  handlers_["sync"] = [this](const Line& line) { SyncNodes(Names(line, 0), line.Count("x", 1)); };
  handlers_["advance"] = [this](const Line& line) { Advance(line); };
  handlers_["stall"] = [this](const Line& line) {
    sim_.Advance(Duration(line.Word(0)));
    Report(sim_.Do({{}, Tick{}}).status());
  };
  handlers_["why"] = [this](const Line& line) {
    for (const std::string& reason : WaitingReasons(sim_.state(), JobId{Number(line.Word(0))})) {
      Say(reason);
    }
  };
  handlers_["queue"] = [this](const Line&) {
    for (const std::string& text : DescribeQueue(sim_.state(), sim_.now())) Say(text);
  };
  handlers_["summary"] = [this](const Line& line) {
    Say(WhyJob(sim_.state(), JobId{Number(line.Word(0))}, sim_.now()).summary());
  };
  handlers_["desired"] = [this](const Line& line) {
    const NodeId node = sim_.state().hard.node_by_name.at(line.Word(0));
    Say(DescribeDesired(DesiredOf(sim_.state(), node)));
  };
  handlers_["run"] = [this](const Line& line) {
    const RunId id{Number(line.Word(0))};
    const v1::RunStatus run = ViewRun(sim_.state(), id, sim_.now());
    const std::vector<RunId> asked = RunsToJudge(sim_.state());
    const bool judged = std::find(asked.begin(), asked.end(), id) != asked.end();
    Say(absl::StrCat(v1::RunPhase_Name(run.phase()).substr(10),
                     run.note().empty() ? "" : absl::StrCat(", ", run.note()),
                     judged ? ", the reporter is asked" : ""));
  };
  handlers_["devices"] = [this](const Line& line) {
    const NodeId node = sim_.state().hard.node_by_name.at(line.Word(0));
    const v1::NodeStatus status = ViewNode(sim_.state(), node, sim_.now());
    for (const v1::DeviceStatus& device : status.devices()) {
      Say(absl::StrCat(device.index(), device.healthy() ? "" : " unhealthy",
                       device.lease_id() == 0 ? " free" : absl::StrCat(" l", device.lease_id())));
    }
  };
}

void Script::AddFaults() {
  handlers_["restart"] = [this](const Line&) {
    sim_.Restart(sim_.log().size());
    Report(sim_.Lead().status());
  };
  handlers_["break"] = [this](const Line& line) {
    sim_.BreakStream(line.Word(0));
    Trace();
  };
  handlers_["reboot"] = [this](const Line& line) {
    FakeWorker& worker = *sim_.Find(line.Word(0));
    line.Word(1) == "machine" ? worker.Reboot() : worker.Restart();
    sim_.Redial(line.Word(0));
    Report(sim_.Sync(line.Word(0)));
  };
  handlers_["hold"] = [this](const Line& line) {
    v1::RankPhase phase = v1::RANK_PHASE_UNKNOWN;
    RACKMARK_CHECK(v1::RankPhase_Parse("RANK_PHASE_" + line.Word(1), &phase));
    sim_.Find(line.Word(0))->hold = phase;
  };
  handlers_["fail"] = [this](const Line& line) {
    v1::Failure failure;
    v1::FailureKind kind = v1::FAILURE_KIND_UNKNOWN;
    RACKMARK_CHECK(v1::FailureKind_Parse("FAILURE_KIND_" + line.Word(1), &kind));
    failure.set_kind(kind);
    failure.set_detail(line.Text("detail", ""));
    const std::string culprit = line.Text("blames", std::to_string(line.Count("rank", 0)));
    if (culprit != "nobody") failure.set_rank(static_cast<uint32_t>(std::stoul(culprit)));
    sim_.Find(line.Word(0))->broken[line.Count("rank", 0)] = failure;
  };
  handlers_["heal"] = [this](const Line& line) {
    FakeWorker& worker = *sim_.Find(line.Word(0));
    worker.hold = v1::RANK_PHASE_EXITED;
    worker.drains = worker.releases = true;
    worker.forgets = worker.deaf = worker.frozen = false;
    worker.dropped_results = 0;
    worker.refused.clear();
    worker.broken.clear();
    worker.unhealthy.clear();
  };
  handlers_["spool"] = [this](const Line& line) {
    sim_.Find(line.Word(0))->drains = line.Word(1) != "stuck";
    sim_.Find(line.Word(0))->dropped_results = line.Count("dropped", 0);
    sim_.Find(line.Word(0))->refused = line.Text("refused", "");
  };
  handlers_["leftover"] = [this](const Line& line) { sim_.Find(line.Word(0))->releases = false; };
  handlers_["freeze"] = [this](const Line& line) { sim_.Find(line.Word(0))->frozen = true; };
  handlers_["deaf"] = [this](const Line& line) { sim_.Find(line.Word(0))->deaf = true; };
  handlers_["forget"] = [this](const Line& line) { sim_.Find(line.Word(0))->forgets = true; };
  handlers_["resend"] = [this](const Line& line) { Report(sim_.Resend(line.Word(0))); };
  handlers_["late-break"] = [this](const Line& line) {
    sim_.BreakFirstStream(line.Word(0));
    Trace();
  };
  handlers_["sick"] = [this](const Line& line) {
    sim_.Find(line.Word(0))->unhealthy[line.Count("device", 0)] = "ECC";
  };
}

void Script::Change(const Line& line, v1::NodeChange change) {
  ChangeNode command{line.Word(0), change, line.Text("reason", ""), std::nullopt};
  if (line.options.count("grace") != 0) command.grace = Duration(line.options.at("grace"));
  auto result = sim_.Do({{}, command});
  Report(result.status());
  if (result.ok() && !std::get<NodeAltered>(result->reply).changed) Say("nothing changed");
}

// What people ask of a node, and what it looks like to them.
void Script::AddNodeWords() {
  const std::pair<const char*, v1::NodeChange> changes[] = {
      {"cordon", v1::NODE_CHANGE_CORDON},     {"drain", v1::NODE_CHANGE_DRAIN},
      {"uncordon", v1::NODE_CHANGE_UNCORDON}, {"quarantine", v1::NODE_CHANGE_QUARANTINE},
      {"readmit", v1::NODE_CHANGE_READMIT},   {"forget-node", v1::NODE_CHANGE_FORGET}};
  for (const auto& [word, change] : changes) {
    handlers_[word] = [this, change = change](const Line& line) { Change(line, change); };
  }
  handlers_["standing"] = [this](const Line& line) {
    const NodeId node = sim_.state().hard.node_by_name.at(line.Word(0));
    const v1::NodeStatus status = ViewNode(sim_.state(), node, sim_.now());
    Say(absl::StrCat(v1::Standing_Name(status.standing()).substr(9), ", ", status.offences(),
                     status.offences() == 1 ? " offence" : " offences",
                     status.drain()      ? ", drains"
                     : status.cordoned() ? ", cordoned"
                                         : "",
                     status.standing_reason().empty() ? "" : ": ", status.standing_reason()));
  };
  handlers_["config"] = [this](const Line& line) {
    CoreConfig& config = sim_.state().config;
    config.quarantine_offences = line.Count("offences", config.quarantine_offences);
    config.quarantine_percent = line.Count("percent", config.quarantine_percent);
    config.probation_runs = line.Count("probation", config.probation_runs);
    if (line.options.count("window") != 0) {
      config.quarantine_window = Duration(line.options.at("window"));
    }
    RACKMARK_CHECK(CheckConfig(config).ok());
  };
}

// The reporter's verdict on all that waits for one: PASS, or what the line says of it (r3=FAIL).
bool Script::JudgeAll(const Line& line) {
  const std::vector<RunId> runs = RunsToJudge(sim_.state());
  for (RunId id : runs) {
    const RunState& run = sim_.state().hard.runs.at(id);
    v1::Verdict verdict = v1::VERDICT_PASS;
    if (run.failure.has_value()) {
      switch (run.failure->kind()) {
        case v1::FAILURE_KIND_DEPENDENCY:
        case v1::FAILURE_KIND_EXPECTATION: verdict = v1::VERDICT_SKIPPED; break;
        case v1::FAILURE_KIND_CANCELLED: verdict = v1::VERDICT_CANCELLED; break;
        default: verdict = v1::VERDICT_ERROR; break;
      }
    }
    const std::string said = line.Text(absl::StrCat("r", id.value), "");
    if (!said.empty()) RACKMARK_CHECK(v1::Verdict_Parse("VERDICT_" + said, &verdict));
    Report(sim_.Do({{}, JudgeRun{id, run.attempt, verdict, "hash", {}}}).status());
  }
  return !runs.empty();
}

// Workers and reporter go on until nothing more happens.
void Script::Finish(const Line& line) {
  for (int quiet = 0; quiet < 3;) {
    const size_t before = sim_.log().size();
    SyncNodes(sim_.names(), 1);
    JudgeAll(line);
    quiet = sim_.log().size() == before ? quiet + 1 : 0;
  }
}

void Script::AddSuiteWords() {
  handlers_["suite"] = [this](const Line& line) {
    suite_.Clear();
    suite_.set_name(line.Word(0));
  };
  handlers_["part"] = [this](const Line& line) {
    v1::Job job = MakeJob(line);
    AddPart(line.options, job);
    *suite_.add_jobs() = std::move(job);
  };
  handlers_["expect"] = [this](const Line& line) {
    *suite_.mutable_expect() = MakeExpectation(line.options);
  };
  handlers_["submit-suite"] = [this](const Line& line) {
    auto result = sim_.Do({{}, SubmitSuite{suite_, line.Text("id", suite_.name())}});
    Report(result.status());
    if (!result.ok()) return;
    const SuiteAccepted& reply = std::get<SuiteAccepted>(result->reply);
    if (reply.already) Say(absl::StrCat("already submitted as s", reply.suite.value));
    for (const std::string& note : reply.notes) Say(absl::StrCat("note ", note));
  };
  handlers_["show"] = [this](const Line& line) {
    const SuiteId suite{Number(line.Word(0))};
    for (const std::string& text : DescribeSuite(sim_.state(), suite)) Say(text);
  };
  handlers_["finish"] = [this](const Line& line) { Finish(line); };
}

void Script::AddScheduleWords() {
  handlers_["schedule"] = [this](const Line& line) {
    v1::Schedule schedule = MakeSchedule(line.Word(0), line.options);
    if (line.Text("of", "") == "suite") {
      *schedule.mutable_suite() = suite_;
    } else {
      *schedule.mutable_job() = MakeJob(line);
    }
    auto result = sim_.Do({{}, ApplySchedule{schedule}});
    Report(result.status());
    if (result.ok() && !std::get<ScheduleApplied>(result->reply).changed) Say("nothing changed");
  };
  handlers_["unschedule"] = [this](const Line& line) {
    Report(sim_.Do({{}, RemoveSchedule{line.Word(0)}}).status());
  };
  handlers_["schedules"] = [this](const Line&) {
    for (const auto& [id, schedule] : sim_.state().hard.schedules) {
      Say(DescribeSchedule(sim_.state(), id, sim_.clocks()));
    }
  };
  // What the clock on the wall shows; `every`: it gets there in such steps.
  handlers_["clock"] = [this](const Line& line) {
    const Nanos to = ParseTime(line.Word(0));
    const Nanos step = Duration(line.Text("every", "1s"));
    Nanos at = line.options.count("every") != 0 ? sim_.clocks().wall : to;
    do {
      at = std::min(to, at + step);
      sim_.SetWall(at);
      Report(sim_.Do({{}, Tick{}}).status());
    } while (at < to);
  };
}

Script::Script() {
  AddCommands();
  AddFaults();
  AddNodeWords();
  AddSuiteWords();
  AddScheduleWords();
}

absl::StatusOr<std::string> Script::Run(std::string_view text) {
  int number = 0;
  std::istringstream in{std::string(text)};
  for (std::string raw; std::getline(in, raw);) {
    ++number;
    if (raw.rfind("> ", 0) == 0) continue;
    absl::StrAppend(&out_, raw, "\n");
    if (raw.empty() || raw[0] == '#') continue;
    const Line line = Parse(raw);
    const auto handler = handlers_.find(line.verb);
    if (handler == handlers_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": no command \"", line.verb, "\""));
    }
    handler->second(line);
  }
  return out_;
}

}  // namespace

absl::StatusOr<std::string> RunScript(std::string_view text) { return Script().Run(text); }

absl::StatusOr<std::vector<v1::Event>> LogOfScript(std::string_view text) {
  Script script;
  RETURN_IF_ERROR(script.Run(text).status());
  return script.log();
}

}  // namespace rackmark
