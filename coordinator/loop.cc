#include "coordinator/loop.h"

#include <algorithm>
#include <future>
#include <utility>

#include "common/log.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/timers.h"
#include "coordinator/snapshot.h"

namespace rackmark {

Loop::Loop(Options options) : options_(std::move(options)), inbox_(options_.inbox_max) {
  state_.config = options_.config;
}

Loop::~Loop() { Stop(); }

Now Loop::ReadClock() const { return {options_.clock->Monotonic(), options_.clock->Unix()}; }

absl::Status Loop::Recover(const std::string& boot_id, const std::string& incarnation) {
  RETURN_IF_ERROR(CheckConfig(options_.config));
  RETURN_IF_ERROR(RecoverState(*options_.events, state_));
  const std::string& stored = options_.events->cluster_id();
  if (state_.hard.last_seq != 0 && state_.hard.cluster_id != stored) {
    return absl::DataLossError(
        "the event log and its file speak of different clusters; restore events.db from a backup");
  }
  Effects effects;
  const Command command = {CorePrincipal(), TakeLeadership{stored, incarnation, boot_id}};
  RETURN_IF_ERROR(Decide(command, ReadClock(), effects));
  RETURN_IF_ERROR(options_.events->Append(effects.events, effects.ended));
  RETURN_IF_ERROR(SnapshotIfDue());
  cluster_id_ = state_.hard.cluster_id;
  epoch_ = state_.hard.epoch;
  return absl::OkStatus();
}

absl::Status Loop::SnapshotIfDue() {
  EventStore& events = *options_.events;
  if (events.tail_events() < options_.snapshot_events &&
      events.tail_bytes() < options_.snapshot_bytes) {
    return absl::OkStatus();
  }
  const Nanos began = options_.clock->Monotonic();
  const std::string bytes = SnapshotBytes(state_.hard);
  const absl::Status put = events.PutSnapshot(bytes);
  if (absl::IsOutOfRange(put)) {  // only: a restart replays more
    Log(LogLevel::kWarning, absl::StrCat("no snapshot after event ", state_.hard.last_seq, ": ",
                                         put.message(), "; the log grows until jobs have ended"));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(put);
  Log(LogLevel::kInfo,
      absl::StrCat("snapshot after event ", state_.hard.last_seq, ": ", bytes.size(), " bytes in ",
                   FormatDuration(options_.clock->Monotonic() - began)));
  return absl::OkStatus();
}

void Loop::Start() {
  RACKMARK_CHECK(epoch_ > 0 && !thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void Loop::Stop() {
  inbox_.Close();
  if (thread_.joinable()) thread_.join();
  for (Item& item : inbox_.PopUpTo(SIZE_MAX, 0)) {
    item.then({absl::UnavailableError("the coordinator is stopping"), {}, nullptr, {}});
  }
}

absl::Status Loop::Push(Item item) {
  if (inbox_.TryPush(std::move(item))) return absl::OkStatus();
  if (inbox_.closed()) return absl::UnavailableError("the coordinator is stopping");
  const uint64_t refused = inbox_.refused();
  if ((refused & (refused - 1)) == 0) {
    Log(LogLevel::kWarning, absl::StrCat("the inbox is full; ", refused, " commands were refused"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the coordinator has ", options_.inbox_max, " commands waiting; try again"));
}

absl::Status Loop::Post(Command command, Then then) {
  return Push({std::move(command), std::move(then)});
}

absl::Status Loop::Read(Then then) { return Push({std::monostate(), std::move(then)}); }

absl::Status Loop::ReadAndWait(const std::function<void(const State&, Now)>& read) {
  std::promise<absl::Status> done;
  auto answer = done.get_future();
  RETURN_IF_ERROR(Read([&](const Outcome& outcome) {
    if (outcome.status.ok()) read(*outcome.state, outcome.now);
    done.set_value(outcome.status);
  }));
  return answer.get();
}

void Loop::Run() {
  // Runs that were being judged when the last coordinator ended.
  for (const RunId run : RunsToJudge(state_)) {
    for (LoopListener* listener : listeners_) listener->RunToJudge(run);
  }
  while (!inbox_.closed()) {
    const Nanos wait = NextDeadline(state_) - options_.clock->Monotonic();
    if (!RunTurn(inbox_.PopUpTo(kTurnItemsMax, std::max<Nanos>(wait, 0)))) return;
  }
}

absl::StatusOr<Reply> Loop::Decide(const Command& command, Now now, Effects& effects) {
  auto result = Turn(state_, command, now);
  if (!result.ok()) return result.status();
  std::move(result->events.begin(), result->events.end(), std::back_inserter(effects.events));
  std::move(result->ended.begin(), result->ended.end(), std::back_inserter(effects.ended));
  effects.push.merge(result->push);
  effects.judge.merge(result->judge);
  return std::move(result->reply);
}

// False: the process is to end; nothing was told to anybody.
bool Loop::RunTurn(std::vector<Item> items) {
  const Now now = ReadClock();
  Effects effects;
  std::vector<Outcome> outcomes;
  outcomes.reserve(items.size());
  if (items.empty() || NextDeadline(state_) <= now.monotonic) {
    // A tick cannot be refused: it asks for nothing.
    RACKMARK_CHECK(Decide({CorePrincipal(), Tick{}}, now, effects).ok());
  }
  for (const Item& item : items) {
    Outcome outcome{absl::OkStatus(), {}, &state_, now};
    if (const auto* command = std::get_if<Command>(&item.what)) {
      auto reply = Decide(*command, now, effects);
      outcome.status = reply.status();
      if (reply.ok()) outcome.reply = *std::move(reply);
      const bool report = std::holds_alternative<NodeReported>(command->body);
      if (report && absl::IsAborted(outcome.status)) {
        options_.fatal(outcome.status);  // a node has seen a later leader
        return false;
      }
    }
    outcomes.push_back(std::move(outcome));
  }
  const absl::Status appended = options_.events->Append(effects.events, effects.ended);
  if (!appended.ok()) {
    options_.fatal(Annotate(appended, "writing the event log"));
    return false;
  }
  const Nanos took = options_.clock->Monotonic() - now.monotonic;
  if (took > options_.config.stall_after) {
    Log(LogLevel::kWarning,
        absl::StrCat("a turn took ", FormatDuration(took), ": the data folder's disk is slow"));
  }
  const absl::Status leads = options_.check_lead ? options_.check_lead() : absl::OkStatus();
  if (!leads.ok()) {
    options_.fatal(leads);
    return false;
  }
  Release(items, outcomes, effects);
  const absl::Status saved = SnapshotIfDue();  // nobody waits for it
  if (!saved.ok()) options_.fatal(Annotate(saved, "writing a snapshot"));
  return saved.ok();
}

void Loop::Release(std::vector<Item>& items, std::vector<Outcome>& outcomes,
                   const Effects& effects) {
  for (size_t i = 0; i < items.size(); ++i) items[i].then(outcomes[i]);
  for (LoopListener* listener : listeners_) {
    for (const NodeId node : effects.push) listener->DesiredChanged(node, state_);
    for (const RunId run : effects.judge) listener->RunToJudge(run);
    for (const v1::EndedJob& job : effects.ended) listener->JobEnded(job);
    if (!effects.events.empty())
      listener->Committed(state_, outcomes.empty() ? ReadClock() : outcomes[0].now);
  }
}

}  // namespace rackmark
