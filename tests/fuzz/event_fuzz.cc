// The event log: what the store decodes and the core takes (CheckEvent, Apply). Input: events, each
// with 4 bytes of length before it, as in coordinator/core/testdata. After everything that
// CheckEvent takes, State holds together and can be asked anything.
#include <map>
#include <set>

#include "common/status.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/timers.h"
#include "coordinator/core/view.h"
#include "coordinator/store/memory_store.h"
#include "tests/fuzz/target.h"

namespace rackmark::fuzz {
namespace {

std::vector<std::string> Records(std::string_view bytes) {
  std::vector<std::string> out;
  while (bytes.size() >= 4) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) {
      length |= static_cast<size_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    bytes.remove_prefix(4);
    length = std::min(length, bytes.size());
    out.emplace_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  return out;
}

void CheckLeases(const HardState& hard) {
  std::set<std::pair<uint64_t, uint32_t>> used;  // law 3: a device is in one lease
  for (const auto& [id, lease] : hard.leases) {
    RACKMARK_CHECK(lease.id == id && hard.jobs.count(lease.job) == 1);
    RACKMARK_CHECK(hard.jobs.at(lease.job).leases.count(id) == 1);
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      // A RELEASING lease's device may be placed again as soon as its node reports it free.
      RACKMARK_CHECK(lease.phase == v1::LEASE_PHASE_RELEASING ||
                     used.emplace(place.node_id(), place.device()).second);
      RACKMARK_CHECK(hard.nodes.at(NodeId{place.node_id()}).leases.count(id) == 1);
    }
    RACKMARK_CHECK(!lease.run || hard.runs.count(*lease.run) == 1);
  }
}

void CheckState(const HardState& hard) {
  CheckLeases(hard);
  for (const auto& [id, job] : hard.jobs) {
    RACKMARK_CHECK(job.id == id && job.job.spec().runs_size() > 0);
    for (const RunId run : RunsOf(job)) RACKMARK_CHECK(hard.runs.at(run).job == id);
    for (const LeaseId lease : job.leases) RACKMARK_CHECK(hard.leases.count(lease) == 1);
    RACKMARK_CHECK(!job.lease || job.leases.count(*job.lease) == 1);
  }
  for (const auto& [id, run] : hard.runs) RACKMARK_CHECK(hard.jobs.count(run.job) == 1);
  for (const auto& [name, node] : hard.node_by_name) {
    RACKMARK_CHECK(hard.nodes.at(node).info.name() == name);
  }
  for (const auto& [id, node] : hard.nodes) {
    for (const LeaseId lease : node.leases) RACKMARK_CHECK(hard.leases.count(lease) == 1);
  }
}

// Every read that the shell makes, at a start.
void AskEverything(const State& state) {
  RACKMARK_CHECK(NextDeadline(state) >= 0);
  for (const auto& [id, node] : state.hard.nodes) {
    RACKMARK_CHECK(DesiredFor(state, id).ByteSizeLong() < (size_t{1} << 26));
    ViewNode(state, id, 0);
  }
  for (const auto& [id, job] : state.hard.jobs) {
    ViewJob(state, id);
    WaitingReasons(state, id);
  }
  for (const auto& [id, run] : state.hard.runs) {
    ViewRun(state, id, 0);
    FactsOf(state, run);
  }
  RunsToJudge(state);
}

}  // namespace

std::vector<std::string> Seeds() {
  const std::string log = ReadTree("coordinator/core/testdata/events-v1.bin");
  std::vector<std::string> seeds = {log};
  State state;
  for (const std::string& record : Records(log)) {
    v1::Event event;  // a seed that is refused reaches nothing
    RACKMARK_CHECK(event.ParseFromString(record) && Replay(state, event).ok());
  }
  // A mutation of a long log is refused early on mostly: prefixes reach every state.
  std::string prefix;
  size_t count = 0;
  for (const std::string& record : Records(log)) {
    for (int shift = 0; shift < 32; shift += 8) {
      prefix += static_cast<char>((record.size() >> shift) & 0xff);
    }
    prefix += record;
    if (++count % 5 == 0) seeds.push_back(prefix);
  }
  return seeds;
}

}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  State state;
  MemoryEventStore store("c0ffee00");
  std::vector<v1::EndedJob> ended;
  for (const std::string& record : fuzz::Records(fuzz::AsText(data, size))) {
    v1::Event event;
    if (!event.ParseFromString(record)) continue;
    const std::string bytes = event.SerializeAsString();
    v1::Event copy;
    RACKMARK_CHECK(copy.ParseFromString(bytes) && copy.SerializeAsString() == bytes);
    if (!Replay(state, event, &ended).ok()) continue;
    RACKMARK_CHECK(store.Append({&event, 1}).ok());
    fuzz::CheckState(state.hard);
  }
  fuzz::AskEverything(state);
  // The log as stored leads to the same State.
  State again;
  RACKMARK_CHECK(store.Load(1, [&](const v1::Event& event) { return Replay(again, event); }).ok());
  RACKMARK_CHECK(again.hard.last_seq == state.hard.last_seq);
  RACKMARK_CHECK(again.hard.jobs.size() == state.hard.jobs.size());
  // And a coordinator that starts on it takes up its work.
  const Now now{kSecond, kSecond};
  const auto turn = Turn(again, {CorePrincipal(), TakeLeadership{"c0ffee00", "i/1", "boot"}}, now);
  if (turn.ok()) {
    fuzz::CheckState(again.hard);
    for (Nanos t = 2; t < 200; t += 20) {
      RACKMARK_CHECK(Turn(again, {CorePrincipal(), Tick{}}, {t * kSecond, t * kSecond}).ok());
      fuzz::CheckState(again.hard);
    }
  }
  return 0;
}
