#include "coordinator/core/validate.h"

#include <set>

#include "common/text.h"
#include "common/time.h"

namespace rackmark {
namespace {

constexpr uint32_t kGangMax = 65536;
constexpr int kRunsMax = 10000;
constexpr uint32_t kAttemptsMax = 10;
constexpr Nanos kLimitMax = 30 * 24 * 3600 * kSecond;
constexpr int kDevicesMax = 1024;
constexpr int kNamedMax = 10000;
constexpr int32_t kPriorityMax = 1000;
constexpr Nanos kGraceMax = 3600 * kSecond;
constexpr Nanos kBudgetMax = 1000 * 24 * 3600 * kSecond;
constexpr double kNodeSecondsMax = 1e12;
constexpr int kLabelsMax = 64;
constexpr size_t kWordMax = 253;  // of a label, a rack, a part's serial
constexpr size_t kEnvironmentMax = 64 << 10;
constexpr int kDeviceCpusMax = 8192;
constexpr int kCpusMax = 1 << 17;  // 8 GPUs of a machine with 8192 CPUs, and each CPU a slot

absl::Status Invalid(std::string_view what) { return absl::InvalidArgumentError(ToAbsl(what)); }

bool IsName(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  for (char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

absl::Status CheckGang(const v1::Gang& gang) {
  if (gang.devices() < 1 || gang.devices() > kGangMax) {
    return Invalid(absl::StrCat("gang.devices is ", gang.devices(), ", must be 1 to ", kGangMax));
  }
  if (gang.has_per_node() && (gang.per_node() == 0 || gang.devices() % gang.per_node() != 0)) {
    return Invalid(absl::StrCat("gang.per_node (", gang.per_node(), ") must divide gang.devices (",
                                gang.devices(), ")"));
  }
  if (gang.kind() != v1::DEVICE_KIND_CPU && gang.kind() != v1::DEVICE_KIND_GPU) {
    return Invalid("gang.kind is DEVICE_KIND_UNKNOWN or newer than this coordinator");
  }
  return absl::OkStatus();
}

absl::Status CheckLimit(std::string_view name, Nanos value) {
  if (value > 0 && value <= kLimitMax) return absl::OkStatus();
  return Invalid(absl::StrCat("limits.", ToAbsl(name), " must be more than 0 and at most 30 days"));
}

absl::Status CheckLimits(const v1::Limits& limits) {
  RETURN_IF_ERROR(CheckLimit("setup", limits.setup_ns()));
  RETURN_IF_ERROR(CheckLimit("prepare", limits.prepare_ns()));
  RETURN_IF_ERROR(CheckLimit("measure", limits.measure_ns()));
  RETURN_IF_ERROR(CheckLimit("drain", limits.drain_ns()));
  if (limits.has_stall_ns()) RETURN_IF_ERROR(CheckLimit("stall", limits.stall_ns()));
  if (limits.attempts() < 1 || limits.attempts() > kAttemptsMax) {
    return Invalid(
        absl::StrCat("limits.attempts is ", limits.attempts(), ", must be 1 to ", kAttemptsMax));
  }
  return absl::OkStatus();
}

absl::Status CheckWishes(const v1::Gang& gang) {
  if (!v1::Within_IsValid(gang.within())) {
    return Invalid("gang.within is newer than this coordinator");
  }
  const auto fits = [](const std::string& word) {
    return !word.empty() && word.size() <= kWordMax;
  };
  if (gang.models_size() > kLabelsMax || gang.labels_size() > kLabelsMax) {
    return Invalid("gang.models and gang.labels have 64 entries at most");
  }
  if (gang.nodes_size() > kNamedMax) return Invalid("gang.nodes: more than 10000");
  for (const std::string& model : gang.models()) {
    if (!fits(model)) return Invalid("gang.models: each has 1 to 253 bytes");
  }
  for (const auto& [key, value] : gang.labels()) {
    if (!fits(key) || value.size() > kWordMax) {
      return Invalid("gang.labels: a key has 1 to 253 bytes, a value at most 253");
    }
  }
  for (const std::string& node : gang.nodes()) {
    if (!fits(node)) return Invalid("gang.nodes: each has 1 to 253 bytes");
  }
  return absl::OkStatus();
}

// What it may do to others, and they to it.
absl::Status CheckManners(const v1::JobSpec& spec) {
  if (spec.priority() < -kPriorityMax || spec.priority() > kPriorityMax) {
    return Invalid(absl::StrCat("priority is ", spec.priority(), ", must be ", -kPriorityMax,
                                " to ", kPriorityMax));
  }
  if (spec.grace_ns() < 0 || spec.grace_ns() > kGraceMax) {
    return Invalid("grace must be 0 to 1 hour");
  }
  if (spec.has_lease_max_ns() && (spec.lease_max_ns() <= 0 || spec.lease_max_ns() > kLimitMax)) {
    return Invalid("lease_max must be more than 0 and at most 30 days");
  }
  const v1::Budget& budget = spec.budget();
  if (budget.has_wall_ns() && (budget.wall_ns() <= 0 || budget.wall_ns() > kBudgetMax)) {
    return Invalid("budget.wall must be more than 0 and at most 1000 days");
  }
  if (budget.has_node_seconds() &&
      !(budget.node_seconds() > 0 && budget.node_seconds() <= kNodeSecondsMax)) {
    return Invalid("budget.node_seconds must be more than 0 and at most 1e12");
  }
  return absl::OkStatus();
}

absl::Status CheckDeviceWords(const v1::Device& device) {
  for (const std::string* word : {&device.serial(), &device.slot(), &device.model(), &device.uuid(),
                                  &device.nvlink_domain()}) {
    if (word->size() <= kWordMax) continue;
    return Invalid(absl::StrCat("node.devices[", device.index(),
                                "]: serial, slot, model, uuid and nvlink_domain have ", kWordMax,
                                " bytes at most"));
  }
  if (device.cpus_size() <= kDeviceCpusMax) return absl::OkStatus();
  return Invalid(
      absl::StrCat("node.devices[", device.index(), "].cpus: more than ", kDeviceCpusMax));
}

// State and log keep all of it for as long as the node is known.
absl::Status CheckWords(const v1::NodeInfo& node) {
  const auto fits = [](const std::string& word) { return word.size() <= kWordMax; };
  if (node.labels_size() > kLabelsMax) return Invalid("node.labels: more than 64");
  for (const auto& [key, value] : node.labels()) {
    if (!fits(key) || !fits(value)) return Invalid("node.labels: one has more than 253 bytes");
  }
  if (!fits(node.rack()) || !fits(node.driver())) {
    return Invalid("node.rack and node.driver have 253 bytes at most");
  }
  if (!fits(node.boot_id()) || !fits(node.host_id())) {
    return Invalid("node.boot_id and node.host_id have 253 bytes at most");
  }
  if (node.environment().ByteSizeLong() > kEnvironmentMax) {
    return Invalid(
        absl::StrCat("node.environment has ", kEnvironmentMax, " bytes at most, as a message"));
  }
  int cpus = 0;  // of so few devices no sum is over what an int holds
  for (const v1::Device& device : node.devices()) {
    RETURN_IF_ERROR(CheckDeviceWords(device));
    cpus += device.cpus_size();
  }
  if (cpus <= kCpusMax) return absl::OkStatus();
  return Invalid(absl::StrCat("node.devices: ", cpus, " CPUs in all, ", kCpusMax, " at most"));
}

absl::Status CheckNode(const v1::NodeInfo& node) {
  if (node.name().empty() || node.name().size() > 253) {
    return Invalid("node.name must have 1 to 253 bytes");
  }
  if (node.devices_size() > kDevicesMax) return Invalid("node.devices: more than 1024");
  std::set<uint32_t> indices;
  for (const v1::Device& device : node.devices()) {
    if (device.kind() != v1::DEVICE_KIND_CPU && device.kind() != v1::DEVICE_KIND_GPU) {
      return Invalid(absl::StrCat("node.devices[", device.index(),
                                  "].kind is DEVICE_KIND_UNKNOWN or newer than this coordinator"));
    }
    if (!indices.insert(device.index()).second) {
      return Invalid(absl::StrCat("node.devices: index ", device.index(), " twice"));
    }
  }
  return CheckWords(node);
}

absl::Status CheckRanks(const v1::LeaseReport& lease) {
  for (const v1::RankReport& rank : lease.ranks()) {
    if (rank.phase() == v1::RANK_PHASE_UNKNOWN || !v1::RankPhase_IsValid(rank.phase())) {
      return Invalid(absl::StrCat("leases[", lease.lease_id(), "].ranks[", rank.rank(),
                                  "].phase is RANK_PHASE_UNKNOWN or newer than this coordinator"));
    }
  }
  return absl::OkStatus();
}

// Sums of two differences of such stamps cannot overflow; no clock gets there in 36 years.
absl::Status CheckExchange(const v1::ClockExchange& exchange) {
  constexpr Nanos kStampMax = Nanos{1} << 60;
  for (const Nanos stamp : {exchange.worker_send_ns(), exchange.coordinator_receive_ns(),
                            exchange.coordinator_send_ns(), exchange.worker_receive_ns()}) {
    if (stamp < -kStampMax || stamp > kStampMax) {
      return Invalid(absl::StrCat("exchange: ", stamp, " ns is shown by no clock"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateJob(const v1::Job& job) {
  if (!IsName(job.name())) return Invalid("name must match [a-z0-9-]{1,63}");
  RETURN_IF_ERROR(CheckGang(job.spec().gang()));
  RETURN_IF_ERROR(CheckWishes(job.spec().gang()));
  RETURN_IF_ERROR(CheckManners(job.spec()));
  RETURN_IF_ERROR(CheckLimits(job.spec().limits()));
  const int runs = job.spec().runs_size();
  if (runs < 1 || runs > kRunsMax) {
    return Invalid(absl::StrCat("the job has ", runs, " runs, must be 1 to ", kRunsMax));
  }
  for (const v1::RunSpec& run : job.spec().runs()) {
    if (run.workload_case() == v1::RunSpec::WORKLOAD_NOT_SET) {
      return Invalid("a run has no workload, or one that is newer than this coordinator");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNewName(std::string_view name) {
  // It is said to people in many places and typed by them: it must look like what it is.
  const std::string shown = EscapeControl(name);
  if (shown == name) return absl::OkStatus();
  return Invalid(absl::StrCat("node.name ", shown,
                              " holds a control or an invisible character; name the worker without "
                              "(rackmark-worker --name)"));
}

absl::Status ValidateReport(const v1::Report& report) {
  if (report.identity().incarnation().empty()) return Invalid("identity.incarnation is empty");
  RETURN_IF_ERROR(CheckNode(report.node()));
  RETURN_IF_ERROR(CheckExchange(report.exchange()));
  for (const v1::LeaseReport& lease : report.leases()) RETURN_IF_ERROR(CheckRanks(lease));
  for (const v1::StreamReport& stream : report.streams()) {
    if (stream.kind() != v1::STREAM_KIND_RANK && stream.kind() != v1::STREAM_KIND_NODE) {
      return Invalid("streams: a kind is STREAM_KIND_UNKNOWN or newer than this coordinator");
    }
  }
  return absl::OkStatus();
}

}  // namespace rackmark
