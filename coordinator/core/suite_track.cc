#include "coordinator/core/suite_track.h"

#include <algorithm>

#include "coordinator/core/planner.h"
#include "coordinator/core/schedules.h"
#include "coordinator/core/suite.h"

namespace rackmark {

namespace {

// Its windows may be other ones now: of those of its jobs that wait some may begin, or must not.
void ChangeSchedule(State& state, uint64_t id) {
  TrackSchedule(state, ScheduleId{id});
  for (const auto& [job_id, job] : state.hard.jobs) {
    if (job.job.scheduled().schedule_id() == id) MarkJob(state, job_id);
  }
}

void NoteNode(State& state, uint64_t node) {
  state.soft.left_nodes.insert(NodeId{node});
  state.soft.suites_wanted = true;
}

// Who is lost already leaves nobody by that.
void NoteSetAside(State& state, uint64_t node) {
  if (state.hard.nodes.at(NodeId{node}).phase != v1::NODE_PHASE_LOST) NoteNode(state, node);
}

}  // namespace

void BeginSuites(State& state, Nanos now) {
  for (const auto& [id, suite] : state.hard.suites) {
    if (IsOpen(suite) && suite.suite.has_expect() && !suite.checked) {
      state.soft.suite_since[id] = now;
    }
  }
  state.soft.suites_wanted = true;
  TrackSchedules(state);
}

void TrackSuites(State& state, const v1::Event& event, Nanos now) {
  using v1::Event;
  switch (event.change_case()) {
    case Event::kSuiteSubmitted:
      if (event.suite_submitted().suite().has_expect()) {
        state.soft.suite_since[SuiteId{event.suite_submitted().suite_id()}] = now;
      }
      state.soft.suites_wanted = true;
      break;
    // What a suite waits for may be there now, or is no longer waited for.
    case Event::kNodeJoined: NoteNode(state, event.node_joined().node_id()); break;
    case Event::kNodeChanged: NoteNode(state, event.node_changed().node_id()); break;
    case Event::kNodeCordoned: NoteSetAside(state, event.node_cordoned().node_id()); break;
    case Event::kNodeStandingChanged:
      NoteSetAside(state, event.node_standing_changed().node_id());
      break;
    case Event::kSuiteChecked:
      state.soft.suite_since.erase(SuiteId{event.suite_checked().suite_id()});
      break;
    case Event::kJobEnded: state.soft.suites_wanted = state.soft.schedules_wanted = true; break;
    case Event::kSuiteEnded:
      state.soft.suite_since.erase(SuiteId{event.suite_ended().suite_id()});
      state.soft.schedules_wanted = true;
      break;
    case Event::kScheduleSet: ChangeSchedule(state, event.schedule_set().schedule_id()); break;
    case Event::kScheduleRemoved:
      ChangeSchedule(state, event.schedule_removed().schedule_id());
      break;
    default: break;
  }
}

// A suite may wait for them, or miss one.
void NoteDevices(State& state, NodeId node, const v1::Report& report) {
  if (!state.soft.suite_since.empty()) state.soft.suites_wanted = true;
  const auto& devices = report.devices();
  const bool whole = devices.size() >= state.hard.nodes.at(node).info.devices_size() &&
                     std::all_of(devices.begin(), devices.end(),
                                 [](const v1::DeviceReport& device) { return device.healthy(); });
  if (whole) return;
  state.soft.left_nodes.insert(node);
  state.soft.suites_wanted = true;
}

void RestSuites(State& state, Now now) {
  state.soft.suites_wanted = false;
  state.soft.left_nodes.clear();
  RestSchedules(state, now);
}

}  // namespace rackmark
