#include "coordinator/core/blame.h"

#include <algorithm>
#include <set>

#include "coordinator/core/observe.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

std::string PhaseWord(v1::RankPhase phase) {
  const std::string name = v1::RankPhase_Name(phase);
  return name.substr(std::string_view("RANK_PHASE_").size());
}

v1::RankPhase PhaseOfRank(const State& state, const LeaseState& lease, const v1::RankPlace& place) {
  const v1::RankReport* rank = RankOf(state, lease, place);
  return rank == nullptr ? v1::RANK_PHASE_UNKNOWN : rank->phase();
}

void Blame(const State& state, const LeaseState& lease, const v1::RankPlace& place,
           v1::Failure& failure) {
  failure.set_rank(place.rank());
  failure.set_node(place.node());
  failure.set_device(place.device());
  failure.set_phase(PhaseOfRank(state, lease, place));
}

constexpr size_t kNamesBytes = 100;

std::string Names(const std::set<std::string>& nodes) {
  std::string names;
  for (const std::string& node : nodes) {
    if (names.size() > kNamesBytes) return names + " and others";
    absl::StrAppend(&names, names.empty() ? "" : ", ", node);
  }
  return names;
}

// Nodes of one switch, or of one power supply, fall silent within a report of each other.
bool IsSilentToo(const State& state, const NodeState& node, Nanos now) {
  const CoreConfig& config = state.config;
  return node.phase != v1::NODE_PHASE_UP ||
         SilenceOf(state, node.id, now) >= config.lost_after - config.sync_interval;
}

std::optional<v1::Failure> FindLostNode(const State& state, const LeaseState& lease, Nanos now) {
  const NodeState* lost = nullptr;
  std::set<std::string> silent;
  for (NodeId id : NodesOf(lease.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    if (lost == nullptr && node.phase == v1::NODE_PHASE_LOST) lost = &node;
    if (IsSilentToo(state, node, now)) silent.insert(node.info.name());
  }
  if (lost == nullptr) return std::nullopt;
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_NODE_LOST);
  failure.set_detail(absl::StrCat("node ", lost->info.name(), " was lost: ", lost->reason));
  if (silent.size() == 1) {
    failure.set_node(lost->info.name());
  } else {
    failure.set_detail(absl::StrCat(silent.size(), " nodes (", Names(silent),
                                    ") fell silent together, none is to blame; ",
                                    failure.detail()));
  }
  return failure;
}

// Its node says so, whatever the rank on it says or does: nobody waits for its peers to notice.
std::optional<v1::Failure> FindSickDevice(const State& state, const LeaseState& lease) {
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const v1::Report* report = ReportOf(state, NodeId{place.node_id()});
    if (report == nullptr) continue;
    for (const v1::DeviceReport& device : report->devices()) {
      if (device.index() != place.device() || device.healthy()) continue;
      v1::Failure failure;
      failure.set_kind(v1::FAILURE_KIND_DEVICE);
      Blame(state, lease, place, failure);
      failure.set_detail(absl::StrCat("device ", place.device(), " of ", place.node(),
                                      " became unhealthy: ", device.unhealthy_reason()));
      return failure;
    }
  }
  return std::nullopt;
}

v1::Failure DeathOf(const State& state, const LeaseState& lease, const v1::RankPlace& place,
                    const v1::RankReport* rank) {
  v1::Failure failure;
  if (rank != nullptr) failure = rank->failure();
  if (rank == nullptr) {
    failure.set_detail("the worker no longer knows the rank's process");
  } else if (failure.detail().empty()) {
    failure.set_detail("the rank's process ended");
  }
  if (failure.kind() == v1::FAILURE_KIND_UNKNOWN) failure.set_kind(v1::FAILURE_KIND_RANK_DIED);
  // Where it was when it died is the daemon's to say; "EXITED" would tell nobody anything.
  const v1::RankPhase phase = failure.phase();
  Blame(state, lease, place, failure);
  failure.set_phase(phase);
  if (failure.kind() != v1::FAILURE_KIND_FENCED) return failure;
  // No rank's doing; and if we were away ourselves, not its node's either.
  failure.clear_rank();
  failure.clear_device();
  if (state.soft.now - state.soft.listening_since < state.config.fence_after) failure.clear_node();
  return failure;
}

v1::Failure FailureOf(const State& state, const LeaseState& lease, const v1::RankPlace& place,
                      const v1::RankReport& rank) {
  v1::Failure failure = rank.failure();
  if (failure.kind() == v1::FAILURE_KIND_UNKNOWN) failure.set_kind(v1::FAILURE_KIND_RANK_FAILED);
  if (failure.detail().empty()) failure.set_detail("the rank failed without saying why");
  const v1::RankPhase phase = failure.phase();
  Blame(state, lease, place, failure);
  if (phase != v1::RANK_PHASE_UNKNOWN) failure.set_phase(phase);
  return failure;
}

// Nobody is blamed: the detail says who noticed, and whom it missed.
v1::Failure WordOf(const v1::RankPlace& bystander, const v1::RankReport& rank) {
  v1::Failure failure = rank.failure();
  if (failure.kind() == v1::FAILURE_KIND_UNKNOWN) failure.set_kind(v1::FAILURE_KIND_RANK_FAILED);
  failure.clear_node();
  failure.clear_device();
  failure.set_detail(absl::StrCat(
      "rank ", bystander.rank(), " on ", bystander.node(),
      " gave up: ", failure.detail().empty() ? "it did not say why" : failure.detail()));
  return failure;
}

// One cause may have ended ranks of several nodes in one Report's time: that is no node's.
v1::Failure CommonDeath(v1::Failure first, const std::set<std::string>& nodes) {
  if (nodes.size() < 2) return first;
  first.set_detail(absl::StrCat("ranks on ", nodes.size(), " nodes (", Names(nodes),
                                ") ended, none is to blame; first rank ", first.rank(), " on ",
                                first.node(), ": ", first.detail()));
  first.clear_rank();
  first.clear_node();
  first.clear_device();
  return first;
}

std::optional<v1::Failure> FindBadRank(const State& state, const LeaseState& lease, Nanos now) {
  std::optional<v1::Failure> died, failed, bystander;
  std::set<std::string> graves;
  size_t bystanders = 0;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const v1::RankReport* rank = RankOf(state, lease, place);
    if (rank == nullptr && !IsMissing(state, lease, place)) continue;
    if (rank == nullptr || rank->phase() == v1::RANK_PHASE_EXITED) {
      if (!died.has_value()) died = DeathOf(state, lease, place, rank);
      graves.insert(place.node());
    } else if (IsBystander(*rank)) {
      ++bystanders;
      if (!bystander.has_value()) bystander = WordOf(place, *rank);
    } else if (rank->phase() == v1::RANK_PHASE_FAILED && !failed.has_value()) {
      failed = FailureOf(state, lease, place, *rank);
    }
  }
  if (died.has_value()) return CommonDeath(*std::move(died), graves);
  if (failed.has_value() || !bystander.has_value()) return failed;
  // Word of the culprit may still be on its way, by another node or behind its last samples.
  const bool all = bystanders == static_cast<size_t>(lease.placement.ranks_size());
  const auto deadline = BlameDeadline(state, lease);
  if (all || !deadline.has_value() || now >= *deadline) return bystander;
  return std::nullopt;
}

// What it does for another run is idleness in this one.
v1::RankPhase Progress(const State& state, const LeaseState& lease, const v1::RankPlace& place) {
  const v1::RankReport* rank = RankOf(state, lease, place);
  if (rank == nullptr || !lease.run.has_value()) return PhaseOfRank(state, lease, place);
  const RunState& run = state.hard.runs.at(*lease.run);
  const bool same = rank->run_id() == run.id.value && rank->attempt() == run.attempt;
  return same ? rank->phase() : v1::RANK_PHASE_READY;
}

// Whoever is furthest behind held up the others. Where the whole gang is equally far it is slow as
// a whole, and to name one rank would be a lie.
v1::Failure Timeout(const State& state, const LeaseState& lease, v1::FailureKind kind,
                    const std::vector<const v1::RankPlace*>& waiting) {
  v1::Failure failure;
  failure.set_kind(kind);
  if (waiting.empty()) return failure;
  const auto phase = [&](const v1::RankPlace* place) { return Progress(state, lease, *place); };
  const v1::RankPlace& first =
      **std::min_element(waiting.begin(), waiting.end(),
                         [&](const auto* a, const auto* b) { return phase(a) < phase(b); });
  std::set<std::string> nodes;
  const auto level = std::count_if(waiting.begin(), waiting.end(), [&](const auto* p) {
    if (phase(p) != phase(&first)) return false;
    nodes.insert(p->node());
    return true;
  });
  if (level > 1 && level == lease.placement.ranks_size()) {
    failure.set_phase(phase(&first));
    failure.set_detail(failure.phase() == v1::RANK_PHASE_UNKNOWN
                           ? absl::StrCat("none of ", level, " ranks had been heard of")
                           : absl::StrCat("all ", level, " ranks were ", PhaseWord(phase(&first))));
    return failure;
  }
  Blame(state, lease, first, failure);
  if (nodes.size() > 1) {
    failure.set_detail(absl::StrCat(level, " ranks on ", nodes.size(), " nodes (", Names(nodes),
                                    ") were ", PhaseWord(failure.phase()), ", none is to blame"));
    failure.clear_rank();
    failure.clear_node();
    failure.clear_device();
    return failure;
  }
  std::string detail = absl::StrCat("rank ", first.rank(), " on ", first.node(), " device ",
                                    first.device(), " was ", PhaseWord(failure.phase()));
  if (failure.phase() == v1::RANK_PHASE_UNKNOWN) {
    detail = absl::StrCat("rank ", first.rank(), " on ", first.node(), " had not been heard of");
  }
  if (waiting.size() > 1) {
    absl::StrAppend(&detail, ", and ", waiting.size() - 1, " more of ",
                    lease.placement.ranks_size(), " ranks were not there");
  }
  failure.set_detail(detail);
  return failure;
}

std::optional<v1::Failure> FindSetupTimeout(const State& state, const LeaseState& lease,
                                            Nanos now) {
  if (lease.phase == v1::LEASE_PHASE_ACTIVE || now < LeaseClock(state, lease).deadline) {
    return std::nullopt;
  }
  return Timeout(state, lease, v1::FAILURE_KIND_SETUP_TIMEOUT,
                 Laggards(lease, [&](const auto& place) { return IsReady(state, lease, place); }));
}

std::optional<v1::Failure> FindRunTimeout(const State& state, const LeaseState& lease, Nanos now) {
  const RunState& run = state.hard.runs.at(*lease.run);
  if (now < RunClock(state, run).deadline) return std::nullopt;
  const bool preparing = run.phase == v1::RUN_PHASE_PREPARING;
  const v1::RankPhase goal = preparing ? v1::RANK_PHASE_PREPARED : v1::RANK_PHASE_DONE;
  return Timeout(
      state, lease, preparing ? v1::FAILURE_KIND_PREPARE_TIMEOUT : v1::FAILURE_KIND_MEASURE_TIMEOUT,
      Laggards(lease, [&](const auto& place) { return HasReached(state, run, place, goal); }));
}

// Phases in which healthy ranks have nothing to tell: what is not measured is not recorded. Warm-up
// and calibration last as long as the job says; how long the check of the data lasts only
// limits.measure says.
std::optional<Nanos> QuietTime(const State& state, const LeaseState& lease, const RunState& run) {
  const v1::Load& load = SpecOf(state.hard, run).serve().load();
  bool working = false, warming = false;
  for (const v1::RankPlace& place : lease.placement.ranks()) {
    const v1::RankPhase phase = Progress(state, lease, place);
    working = working || phase < v1::RANK_PHASE_VERIFYING;
    warming = warming || phase == v1::RANK_PHASE_WARMING || phase == v1::RANK_PHASE_CALIBRATING;
  }
  if (!working) return std::nullopt;
  return warming ? load.warmup_ns() + load.auto_().calibration_ns() : 0;
}

// Concluded from a Report of each node that came after the limit, and says nothing new: so a limit
// below the time between Reports is kept as well as Reports allow, and a silent node's silence is
// judged by its own deadline.
std::optional<v1::Failure> FindStall(const State& state, const LeaseState& lease) {
  const RunState& run = state.hard.runs.at(*lease.run);
  auto deadline = StallDeadline(state, run);
  if (!deadline.has_value() || state.soft.now < *deadline) return std::nullopt;
  const auto quiet = QuietTime(state, lease, run);
  if (!quiet.has_value()) return std::nullopt;
  *deadline += *quiet;
  for (NodeId node : NodesOf(lease.placement)) {
    const auto soft = state.soft.nodes.find(node);
    const bool heard = soft != state.soft.nodes.end() && soft->second.reported;
    if (!heard || soft->second.last_report < *deadline) return std::nullopt;
  }
  v1::Failure failure =
      Timeout(state, lease, v1::FAILURE_KIND_STALLED, Laggards(lease, [&](const auto& place) {
                return HasReached(state, run, place, v1::RANK_PHASE_DONE);
              }));
  const Nanos limit = state.hard.jobs.at(run.job).job.spec().limits().stall_ns();
  failure.set_detail(
      absl::StrCat("nobody got on for ", FormatDuration(limit), ": ", failure.detail()));
  return failure;
}

}  // namespace

std::optional<v1::Failure> FindFault(const State& state, const LeaseState& lease, Nanos now) {
  if (auto failure = FindLostNode(state, lease, now)) return failure;
  // A rank that ends after DONE has handed over everything: its samples may still drain. A fault of
  // the next run's preparation is found, and is that run's, when this one has drained.
  if (lease.draining.has_value()) return std::nullopt;
  if (auto failure = FindSickDevice(state, lease)) return failure;
  if (auto failure = FindBadRank(state, lease, now)) return failure;
  if (lease.phase != v1::LEASE_PHASE_ACTIVE) return FindSetupTimeout(state, lease, now);
  if (!lease.run.has_value()) return std::nullopt;
  if (auto failure = FindRunTimeout(state, lease, now)) return failure;
  return FindStall(state, lease);
}

std::optional<v1::Failure> FindDrainTimeout(const State& state, const LeaseState& lease,
                                            Nanos now) {
  const RunState& run = state.hard.runs.at(*lease.draining);
  if (now < RunClock(state, run).deadline) return std::nullopt;
  const auto waiting = DrainOf(state, lease, run).waiting;
  v1::Failure failure;
  failure.set_kind(v1::FAILURE_KIND_DRAIN_TIMEOUT);
  std::set<std::string> nodes;
  for (const v1::RankPlace* place : waiting) nodes.insert(place->node());
  if (nodes.size() == 1) Blame(state, lease, *waiting.front(), failure);
  // What it does for the next run is not where it was in this one.
  if (nodes.size() == 1 && lease.run.has_value()) failure.set_phase(v1::RANK_PHASE_DONE);
  failure.set_detail(absl::StrCat("samples of ", Names(nodes), " did not all arrive in time"));
  return failure;
}

v1::Failure NodeRestarted(const NodeState& node, const v1::NodeInfo& now) {
  v1::Failure failure;
  failure.set_node(node.info.name());
  if (now.boot_id() != node.info.boot_id()) {
    failure.set_kind(v1::FAILURE_KIND_NODE_LOST);
    failure.set_detail(absl::StrCat("the machine of node ", node.info.name(), " started anew"));
    return failure;
  }
  failure.set_kind(v1::FAILURE_KIND_NODE_RESTARTED);
  failure.set_detail(
      absl::StrCat("the worker of node ", node.info.name(), " started anew; its ranks are gone"));
  return failure;
}

}  // namespace rackmark
