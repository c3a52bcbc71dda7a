// Everything that a simulation is made with, drawn from its seed: how large the cluster is, what it
// is to do, and what goes wrong how often. Swarm style: each kind of fault is on in about half of
// the seeds, so that some seeds have few kinds and those often. A value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark::sim {

// A bug that the simulator plants in its own layer, so that it is seen to be caught.
enum class Plant {
  kNone,
  kForgottenRanks,   // a restarted worker does not look for ranks of its former life
  kEarlyMeasure,     // the network turns "prepare" into "measure"
  kCutGang,          // the disk keeps a gang without its last rank
  kUnevenGang,       // the disk moves a rank to another one of the gang's NVLink domains
  kMixedGang,        // ... from its domain to a node that is in none
  kStrayRank,        // ... out of the island that its gang may not leave
  kWrongNode,        // ... to a node that has not what the gang asks for
  kSharedExclusive,  // ... into a domain that somebody has for himself
  kWriteBehind,      // the disk says "stored" and stores a little later
  kLateSamples,      // samples are acked and thrown away
  kNoFence,          // the worker's clock of the last answer stands still
  kOldEpoch,         // the network puts the newest epoch on replies of old coordinators
  kMeasuredTwice,    // a rank that is done measures the run again
  kSkippedAttempt,   // the disk counts one attempt too many
  kPileOfReports,    // the worker does not wait for answers
  kInstantTwice,     // the disk keeps what a schedule submits under the instant before
  kInstantBack,      // the disk keeps that an instant long before the last one was decided
  kChance,           // a number that is not of the seed
  kKeptRanks,        // the worker ends no rank
};

struct Knobs {
  uint64_t seed = 0;
  Plant plant = Plant::kNone;

  uint32_t workers = 0;
  uint32_t devices = 0;  // on each
  uint32_t racks = 0;    // 0 = nobody has said
  bool gpus = false;     // devices are GPUs, in NVLink domains, where these say so
  uint32_t domain = 0;   // nodes in one
  uint32_t lone = 0;     // of these nodes, the last, are in no domain
  uint32_t models = 1;   // of GPUs, by turns
  uint32_t rows = 0;     // of machines, by turns, as their label says; 0 = they have none
  uint32_t coordinators = 1;

  Nanos faults_for = 0;   // the first phase
  Nanos heal_within = 0;  // the second: everything must have ended
  uint32_t jobs = 0;
  uint32_t suites = 0;
  uint32_t schedules = 0;
  double cancel = 0;       // share of the jobs
  double picky = 0;        // ... whose gangs ask for models, labels or nodes
  double exclusive = 0;    // ... whose gangs want NVLink domains for themselves
  bool operators = false;  // people cordon, drain, quarantine and readmit nodes

  // The network.
  Nanos delay_min = 0, delay_max = 0;
  double loss = 0, copies = 0;
  bool reorder = false;
  std::optional<Nanos> breaks;      // mean time between breaks of one stream
  std::optional<Nanos> partitions;  // mean time between cuts of one worker

  // Mean times between faults of one worker's machine.
  std::optional<Nanos> daemon_kills, daemon_stops, reboots, rank_kills, rank_stops, rank_hangs,
      sick_devices;
  double rank_fails = 0;  // share of the runs of a rank
  // Of one coordinator, and of its disk.
  std::optional<Nanos> coordinator_kills, coordinator_stops;
  double append_fails = 0;
  bool slow_disk = false;
  std::optional<uint64_t> fail_write;  // this one, counted from 1; not drawn
  bool fail_lands = false;             // its bytes are down all the same

  uint32_t drift_ppm = 0;           // of each clock, at most
  std::optional<Nanos> wall_steps;  // mean time between them, on any machine
  uint64_t snapshot_events = 0;

  bool operator==(const Knobs&) const = default;
};

Knobs DrawKnobs(uint64_t seed);

// By name, as people and commands write them: "workers" and "12", "delay_min" and "20us",
// "partitions" and "none". INVALID_ARGUMENT says what would be one. All but seed and plant.
absl::Status SetKnob(Knobs& knobs, const std::string& name, const std::string& value);
// Their names and values, in the order in which they are declared.
std::vector<std::pair<std::string, std::string>> ListKnobs(const Knobs& knobs);
// A simulation of these could not be: of which one, and what it must be.
absl::Status CheckKnobs(const Knobs& knobs);
// One line, for the first line of a trace.
std::string Describe(const Knobs& knobs);

std::string NameOf(Plant plant);
std::optional<Plant> PlantOf(const std::string& name);

}  // namespace rackmark::sim
