#include "coordinator/loop.h"

#include <algorithm>
#include <future>
#include <utility>

#include "common/log.h"

namespace rackmark {

Loop::Loop(Options options)
    : options_(std::move(options)),
      inbox_(options_.inbox_max),
      turns_({options_.config, options_.events, options_.clock, options_.snapshot_events,
              options_.snapshot_bytes, options_.check_lead, options_.doubted}) {}

Loop::~Loop() { Stop(); }

absl::Status Loop::Recover(const std::string& boot_id, const std::string& incarnation) {
  RETURN_IF_ERROR(turns_.Recover(boot_id, incarnation));
  cluster_id_ = turns_.state().hard.cluster_id;
  epoch_ = turns_.state().hard.epoch;
  return absl::OkStatus();
}

void Loop::Start() {
  RACKMARK_CHECK(epoch_ > 0 && !thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void Loop::Stop() {
  inbox_.Close();
  if (thread_.joinable()) thread_.join();
  for (Turns::Item& item : inbox_.PopUpTo(SIZE_MAX, 0)) {
    item.then({absl::UnavailableError("the coordinator is stopping"), {}, nullptr, {}});
  }
}

absl::Status Loop::Push(Turns::Item item) {
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
  turns_.Begin();
  while (!inbox_.closed()) {
    const Nanos wait = turns_.NextDue() - options_.clock->Monotonic();
    const absl::Status ran = turns_.Run(inbox_.PopUpTo(kTurnItemsMax, std::max<Nanos>(wait, 0)));
    if (ran.ok()) continue;
    options_.fatal(ran);
    return;
  }
}

}  // namespace rackmark
