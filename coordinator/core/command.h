// What may be asked of the core. Made by the shell (gRPC services, reporter, clock); carries who
// asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "coordinator/core/ids.h"
#include "coordinator/core/report_box.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/run.pb.h"
#include "rackmark/v1/suite.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

// The two clocks of a turn: decisions read `monotonic`; `wall` (Unix time) only stamps events for
// people.
struct Now {
  Nanos monotonic = 0;
  Nanos wall = 0;
};

// First command after the log was replayed. Creates the cluster if the log was empty.
struct TakeLeadership {
  std::string new_cluster_id;  // 32 random hex digits; used only by an empty log
  std::string incarnation;     // of this coordinator process
  std::string boot_id;         // of this machine, not empty: the domain of Now::monotonic
};
struct SubmitJob {
  v1::Job job;
  std::string submission_id;  // must not be empty
};
// All jobs of a suite at once, each with its `part`.
struct SubmitSuite {
  v1::Suite suite;
  std::string submission_id;  // must not be empty
};
// Makes the schedule, or changes the one of that name. Repeating it changes nothing.
struct ApplySchedule {
  v1::Schedule schedule;
};
// What it has begun goes on. NOT_FOUND if there is none of that name.
struct RemoveSchedule {
  std::string name;
};
struct CancelJob {
  JobId job;
  std::string reason;
};
// A Report as it came. Errors: ABORTED = a larger epoch exists, the shell must fence itself;
// FAILED_PRECONDITION = foreign cluster; ALREADY_EXISTS = another worker took this node's name;
// INVALID_ARGUMENT = an UNKNOWN enum or another hole. The shell ends the stream with the error.
struct NodeReported {
  ReportBox report;     // report_number grows on its stream
  uint64_t stream = 0;  // shell's number of the Sync stream, 1.. growing
};
// Ignored if the node has since reported on another stream.
struct StreamBroken {
  NodeId node;
  uint64_t stream = 0;
};
// The reporter's verdict. Repeating it changes nothing; another attempt's is FAILED_PRECONDITION
// while the job is open.
struct JudgeRun {
  RunId run;
  uint32_t attempt = 0;
  v1::Verdict verdict = v1::VERDICT_UNKNOWN;
  std::string evidence_sha256;
  std::vector<std::string> reasons;
};
// Sample streams that are on our disk to their end. The Reports say the same a little later, when
// the ack has come to the worker: this only spares the next run that way.
struct StreamsStored {
  struct Stream {
    RunId run;
    uint32_t attempt = 0;
    v1::StreamKind kind = v1::STREAM_KIND_UNKNOWN;
    uint32_t stream = 0;
  };
  std::vector<Stream> streams;
};
// What a person asks of a node. NOT_FOUND names the nearest; repeating it changes nothing.
struct ChangeNode {
  std::string node;  // name
  v1::NodeChange change = v1::NODE_CHANGE_UNKNOWN;
  std::string reason;
  std::optional<Nanos> grace;  // of DRAIN; missing = each job's own
};
// Time passed. The shell sends one when NextDeadline is reached, at least every tick_max.
struct Tick {};

struct Command {
  v1::Principal by;
  std::variant<Tick, TakeLeadership, SubmitJob, SubmitSuite, ApplySchedule, RemoveSchedule,
               CancelJob, NodeReported, StreamBroken, JudgeRun, StreamsStored, ChangeNode>
      body;
};

// The core's own name in events.
v1::Principal CorePrincipal();

struct Submitted {
  JobId job;
  bool already = false;  // this submission_id had submitted it before
  std::string note;      // not empty: the gang fits no set of the nodes known now, and why
};
struct SuiteAccepted {
  SuiteId suite;
  JobId first_job;                 // the others follow, in order
  bool already = false;            // this submission_id had submitted it before
  std::vector<std::string> notes;  // gangs that fit no set of the nodes known now, and why
};
struct ScheduleApplied {
  ScheduleId schedule;
  bool changed = false;
};
struct Cancelled {
  bool was_running = false;
};
struct Heard {
  NodeId node;
};
struct NodeAltered {
  NodeId node;
  bool changed = false;
};
using Reply = std::variant<std::monostate, Submitted, SuiteAccepted, ScheduleApplied, Cancelled,
                           Heard, NodeAltered>;

}  // namespace rackmark
