// All that the coordinator knows. HardState is exactly what Apply makes of the event log: durable,
// the same after every restart. SoftState is what Reports say and when things happened by this
// process's monotonic clock: no event, no write, gone at a restart and rebuilt by the next Reports.
// Owned by the loop thread; nobody else reads or writes it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "common/ids.h"
#include "common/time.h"
#include "coordinator/core/config.h"
#include "coordinator/core/due.h"
#include "coordinator/core/ids.h"
#include "coordinator/core/planner.h"
#include "coordinator/core/report_box.h"
#include "coordinator/schedule/schedule.h"
#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/run.pb.h"
#include "rackmark/v1/snapshot.pb.h"
#include "rackmark/v1/suite.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

constexpr size_t kOffencesKept = kQuarantineOffencesMax;

struct NodeState {
  NodeId id;
  std::string incarnation;
  std::vector<std::string> retired;  // earlier incarnations, the last 16: they never come back
  v1::NodeInfo info;                 // as of joining; info.name is unique
  v1::NodePhase phase = v1::NODE_PHASE_UP;
  std::string reason;        // why it is not UP
  std::set<LeaseId> leases;  // not ENDED, with a rank here
  bool cordoned = false;     // by a person: nothing new is placed on it,
  bool drain = false;        // ... and what is on it makes room
  std::string cordon_reason;
  std::optional<Nanos> drain_grace;  // missing = each job's own
  v1::Standing standing = v1::STANDING_GOOD;
  std::string standing_reason;
  // While it is in quarantine by its offences alone: what they took from it. Else UNKNOWN.
  v1::Standing was = v1::STANDING_UNKNOWN;
  std::deque<v1::Offence> offences;  // the last ones
  // Runs measured on it since its standing changed; on probation those alone that passed.
  uint32_t tested = 0;
  int64_t tested_unix_ns = 0;  // the last run that was ever measured on it
};

struct JobState {
  JobId id;
  v1::Job job;
  std::string submission_id;
  v1::Principal by;
  int64_t submitted_unix_ns = 0;
  RunId first_run;  // runs are first_run .. first_run + runs_size - 1
  bool cancel_requested = false;
  std::string cancel_reason;
  uint32_t generations = 0;                  // leases ever placed for it
  uint32_t setup_failures = 0;               // since the last lease that became ACTIVE
  std::optional<v1::Failure> setup_failure;  // the last one of those
  std::set<LeaseId> leases;                  // not ENDED; of these at most one is not RELEASING:
  std::optional<LeaseId> lease;              // that one
  uint64_t bytes = 0;                        // of `job`, serialised
  Nanos held = 0;                            // by its ended leases
  double node_seconds = 0;                   // by the same
  std::set<NodeId> avoid;                    // they broke its runs: others are tried first
};

struct RunState {
  RunId id;
  JobId job;
  v1::RunPhase phase = v1::RUN_PHASE_QUEUED;
  uint32_t attempt = 0;                      // 0 = never started
  uint32_t lease_kills = 0;                  // of its attempts that failed by its own doing
  uint32_t free_tries = 0;                   // of its attempts: they count as none
  LeaseId lease;                             // of the last attempt
  v1::Placement placement;                   // of the last attempt
  std::optional<v1::Failure> failure;        // final: why it is judged without a full measurement
  std::vector<v1::Failure> earlier;          // of attempts before: the first, and the last 15
  std::map<NodeId, v1::ClockOffset> clocks;  // of its nodes, where known, when judging began
  std::optional<v1::Verdict> verdict;
  std::string evidence_sha256;
  std::vector<std::string> reasons;
  std::vector<std::string> transports;  // of the last attempt's lease
};

struct LeaseState {
  LeaseId id;
  JobId job;
  uint32_t generation = 0;
  v1::Placement placement;  // rank i is placement.ranks(i)
  v1::LeasePhase phase = v1::LEASE_PHASE_STARTING;
  std::optional<v1::Failure> failure;
  std::optional<RunId> run;                   // PREPARING or MEASURING on it
  std::optional<RunId> draining;              // the one before; `run` is not measured beside it
  std::vector<std::string> transports;        // what its ranks said of them, since ACTIVE
  std::optional<v1::LeaseYielding> yielding;  // no run begins on it any more
};

// Jobs that belong together. One that has ended stays until many others have: they are few and
// small, and people ask for them.
struct SuiteState {
  SuiteId id;
  v1::Suite suite;  // of its jobs the names and parts alone
  JobId first_job;  // the others follow, in order
  std::string submission_id;
  v1::Principal by;
  int64_t submitted_unix_ns = 0;
  bool checked = false;  // what it expects was looked at
  std::vector<v1::Finding> findings;
  std::vector<std::optional<v1::Verdict>> verdicts;  // of its jobs; missing = open
  int64_t ended_unix_ns = 0;
  v1::SuiteOutcome outcome = v1::SUITE_OUTCOME_UNKNOWN;  // UNKNOWN = open
};
constexpr size_t kEndedSuitesKept = 256;

struct ScheduleState {
  ScheduleId id;
  v1::Schedule schedule;
  v1::Principal by;  // in whose name it submits
  Nanos decided = 0;
  std::deque<v1::ScheduledJob> jobs;  // by instant; all open ones, and the last ended ones
  std::optional<v1::MissedInstants> missed;
};
// More than a night of every minute: its budget counts them.
constexpr size_t kScheduledJobsKept = 2048;

// What an owner's ended leases count for fairness, decayed (plan/share).
struct OwnerUsage {
  uint64_t used = 0;
  int64_t tick = 0;
};

// A submission_id is known again for as long as its job is open, and until this many other jobs
// have ended after it.
constexpr size_t kEndedSubmissionsKept = 4096;

// Rebuilt by Apply from the log, or from a snapshot and the log after it. Ended leases and ended
// jobs leave at once; what people ask of those is in the store's tables (TurnResult::ended).
struct HardState {
  std::string cluster_id;
  uint64_t epoch = 0;
  std::string incarnation;  // of the leading coordinator
  uint64_t last_seq = 0;
  uint64_t last_node = 0, last_job = 0, last_run = 0, last_lease = 0;
  std::map<NodeId, NodeState> nodes;
  absl::btree_map<std::string, NodeId> node_by_name;  // looked into at each Report
  std::map<JobId, JobState> jobs;                     // not ended
  uint64_t open_bytes = 0;                            // of these
  std::map<std::string, JobId> submissions;           // of these, and of ended_submissions
  std::deque<std::string> ended_submissions;          // oldest first
  std::map<RunId, RunState> runs;                     // of `jobs`
  std::map<LeaseId, LeaseState> leases;               // not ENDED
  uint64_t last_suite = 0, last_schedule = 0;
  std::map<SuiteId, SuiteState> suites;
  std::map<std::string, SuiteId> suite_submissions;  // of these
  std::map<ScheduleId, ScheduleState> schedules;
  std::map<std::string, ScheduleId> schedule_by_name;
  std::map<std::string, OwnerUsage> usage;
};

// One node as it last reported itself, and what it is to be told.
struct SoftNode {
  bool reported = false;  // a Report came in this epoch, from the node's incarnation
  Nanos last_report = 0;  // meaningful if reported
  uint64_t stream = 0;    // the shell's number of the Sync stream that it came on
  uint64_t reflects = 0;  // desired version that the last Report reflects; 0 = none of ours
  ReportBox report;       // the last one
  std::optional<v1::ClockOffset> clock;
  Nanos clock_measured_at = 0;
  v1::DesiredState desired;  // with its version: what this worker is to be told
  // Version in which a lease last appeared in, or went from, `desired`. Absent = the first version.
  std::map<LeaseId, uint64_t> desired_since;
};

// What follows from a schedule as it was set, and when it is to be asked again.
struct SoftSchedule {
  absl::StatusOr<schedule::Schedule> rule;  // not OK: this machine does not know its time zone
  bool asked = false;                       // since it was set, or this leadership began
  bool held = false;                        // an instant is due and waits: ends of jobs matter
  std::optional<Nanos> next;                // by Now::wall
};

struct SoftState {
  Nanos now = 0;              // of the last turn
  Nanos wall = 0;             // of the same, for schedules alone
  Nanos listening_since = 0;  // silence counts from here at the earliest
  std::string boot_id;        // of this coordinator: the domain of `now`
  std::map<NodeId, SoftNode> nodes;
  std::map<LeaseId, Nanos> lease_since;      // placed, or when this leadership began
  std::map<RunId, Nanos> run_since;          // phase entered; absent = since listening
  std::map<RunId, Nanos> progress_since;     // MEASURING: a rank got on, or it began
  std::map<LeaseId, Nanos> bystander_since;  // a rank first said that it failed by a peer's doing
  // Streams of live attempts that are on our disk to their end: kind, and stream.
  std::map<RunId, std::set<std::pair<v1::StreamKind, uint32_t>>> stored;
  std::set<LeaseId> held_leases;     // workers are not told of them yet (hold.h)
  std::set<RunId> held_runs;         // in JUDGING, not given to the reporter yet
  std::set<NodeId> standing_wanted;  // their offences have changed, or what the breaker counts
  std::set<NodeId> breaker_holds;    // they would be in quarantine, but too many of the tested are
  std::set<NodeId> dirty_nodes;      // something that DesiredFor reads has changed
  uint64_t versions_from = 0;        // desired versions of new nodes: above all that were forgotten
  bool place_wanted = false;         // devices came, went or were freed, or a job came
  std::map<SuiteId, Nanos> suite_since;          // of those that are to be checked, as lease_since
  std::map<ScheduleId, SoftSchedule> schedules;  // of each one in hard
  std::set<NodeId> left_nodes;                   // suites may miss them, or devices of them
  bool suites_wanted = false;                    // a suite came, or a job ended
  bool schedules_wanted = false;                 // a job or suite ended: what is held may begin
  std::map<LeaseId, Nanos> yield_since;          // told to make room, or when this leadership began
  std::map<LeaseId, Nanos> release_since;        // RELEASING, or when this leadership began
  DueIndex<NodeId> due_nodes;                    // silence (timers.h)
  DueIndex<JobId> due_jobs;                      // limits, graces, budgets
  std::set<JobId> touched;                       // by events that were applied since Settle looked
  Planner planner;
};

struct State {
  CoreConfig config;
  HardState hard;
  SoftState soft;
};

// There was such a job, and it is over.
bool HasEnded(const HardState& hard, JobId job);

bool IsOpen(const SuiteState& suite);
// The suite's part of that name, as its place among the jobs; missing if it has none.
std::optional<size_t> PartOf(const SuiteState& suite, std::string_view name);
// The suite that the job is a part of; null if it is none.
const SuiteState* SuiteOf(const HardState& hard, const JobState& job);

// Of one job, in order. The job must exist.
std::vector<RunId> RunsOf(const JobState& job);
const v1::RunSpec& SpecOf(const HardState& hard, const RunState& run);
// A run of an open job whose last attempt had a rank there; null = none has.
const RunState* OpenRunOn(const HardState& hard, NodeId node);
// The run that the lease's ranks are told: the newest one.
std::optional<RunId> ToldRun(const LeaseState& lease);

}  // namespace rackmark
