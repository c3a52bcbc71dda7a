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

absl::Status Loop::Push(Turns::Item item, bool patient) {
  if (inbox_.TryPush(std::move(item), patient)) return absl::OkStatus();
  if (inbox_.closed()) return absl::UnavailableError("the coordinator is stopping");
  const uint64_t refused = inbox_.refused();
  if ((refused & (refused - 1)) == 0) {
    Log(LogLevel::kWarning, absl::StrCat("the inbox is full; ", refused, " commands were refused"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the coordinator has ", options_.inbox_max, " commands waiting; try again"));
}

absl::Status Loop::Post(Command command, Then then) {
  const bool report = std::holds_alternative<NodeReported>(command.body);
  return Push({std::move(command), std::move(then)}, report);
}

absl::Status Loop::Read(Then then) { return Push({std::monostate(), std::move(then)}, false); }

absl::Status Loop::ReadAndWait(const std::function<void(const State&, Now)>& read) {
  std::promise<absl::Status> done;
  auto answer = done.get_future();
  RETURN_IF_ERROR(Read([&](const Outcome& outcome) {
    if (outcome.status.ok()) read(*outcome.state, outcome.now);
    done.set_value(outcome.status);
  }));
  return answer.get();
}

Nanos Loop::Gather(size_t items) {
  const Nanos now = options_.clock->Monotonic();
  if (now - second_began_ >= kSecond) {
    const bool quiet = now - second_began_ >= 2 * kSecond;
    last_second_ = quiet ? 0 : this_second_;
    this_second_ = 0;
    second_began_ = now;
  }
  this_second_ += items;
  return last_second_ >= options_.gather_from ? options_.gather : 0;
}

void Loop::Run() {
  turns_.Begin();
  Nanos gather = 0;
  while (!inbox_.closed()) {
    const Nanos wait = turns_.NextDue() - options_.clock->Monotonic();
    std::vector<Turns::Item> items =
        inbox_.PopUpTo(kTurnItemsMax, std::max<Nanos>(wait, 0), gather);
    gather = Gather(items.size());
    const absl::Status ran = turns_.Run(std::move(items));
    if (ran.ok()) continue;
    options_.fatal(ran);
    return;
  }
}

}  // namespace rackmark
