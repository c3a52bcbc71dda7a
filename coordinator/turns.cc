#include "coordinator/turns.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/log.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/timers.h"
#include "coordinator/snapshot.h"

namespace rackmark {

Turns::Turns(Options options) : options_(std::move(options)) { state_.config = options_.config; }

Now Turns::ReadClock() const { return {options_.clock->Monotonic(), options_.clock->Unix()}; }

absl::Status Turns::Recover(const std::string& boot_id, const std::string& incarnation) {
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
  // A snapshot that is due is written after the first turn: the nodes wait for that one.
  return options_.events->Append(effects.events, effects.ended);
}

absl::Status Turns::SnapshotIfDue() {
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

void Turns::Begin() {
  for (const RunId run : RunsToJudge(state_)) {
    for (LoopListener* listener : listeners_) listener->RunToJudge(run);
  }
}

Nanos Turns::NextDue() const { return NextDeadline(state_); }

absl::StatusOr<Reply> Turns::Decide(Command command, Now now, Effects& effects) {
  auto result = Turn(state_, std::move(command), now);
  if (!result.ok()) return result.status();
  std::move(result->events.begin(), result->events.end(), std::back_inserter(effects.events));
  std::move(result->ended.begin(), result->ended.end(), std::back_inserter(effects.ended));
  effects.push.merge(result->push);
  effects.judge.merge(result->judge);
  return std::move(result->reply);
}

std::vector<Outcome> Turns::DecideAll(std::vector<Item>& items, Now now, Effects& effects) {
  std::vector<Outcome> outcomes;
  outcomes.reserve(items.size());
  for (Item& item : items) {
    Outcome outcome{absl::OkStatus(), {}, &state_, now};
    if (auto* command = std::get_if<Command>(&item.what)) {
      const bool report = std::holds_alternative<NodeReported>(command->body);
      auto reply = Decide(std::move(*command), now, effects);
      outcome.status = reply.status();
      if (reply.ok()) outcome.reply = *std::move(reply);
      const bool doubted = report && absl::IsAborted(outcome.status);  // it heard a later leader
      if (doubted && options_.doubted) options_.doubted(outcome.status);
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

absl::Status Turns::Commit(const Effects& effects, Now now) {
  const absl::Status appended = options_.events->Append(effects.events, effects.ended);
  RETURN_IF_ERROR(Annotate(appended, "writing the event log"));
  const Nanos took = options_.clock->Monotonic() - now.monotonic;
  if (took > options_.config.stall_after) {
    Log(LogLevel::kWarning,
        absl::StrCat("a turn took ", FormatDuration(took), ": the data folder's disk is slow"));
  }
  return options_.check_lead ? options_.check_lead() : absl::OkStatus();
}

absl::Status Turns::Run(std::vector<Item> items) {
  RACKMARK_CHECK(items.size() <= kItemsMax);
  Now now = ReadClock();
  Effects effects;
  if (items.empty() || NextDue() <= now.monotonic) {
    // A tick cannot be refused: it asks for nothing.
    RACKMARK_CHECK(Decide({CorePrincipal(), Tick{}}, now, effects).ok());
  }
  // A rack that is lost: its gangs' other nodes do not wait until as many Reports are decided.
  if (!effects.push.empty() && !items.empty()) {
    RETURN_IF_ERROR(Commit(effects, now));
    std::vector<Item> nobody;
    std::vector<Outcome> nothing;
    Release(nobody, nothing, std::exchange(effects, {}));
    now = ReadClock();
  }
  std::vector<Outcome> outcomes = DecideAll(items, now, effects);
  RETURN_IF_ERROR(Commit(effects, now));
  Release(items, outcomes, effects);
  return Annotate(SnapshotIfDue(), "writing a snapshot");  // nobody waits for it
}

void Turns::Release(std::vector<Item>& items, std::vector<Outcome>& outcomes,
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
