#include "coordinator/options.h"

#include <charconv>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

#include "common/exit_codes.h"
#include "common/program.h"

namespace rackmark {
namespace {

struct Raw {
  std::string data = "rackmark-data";
  std::string listen;
  std::string tls_cert, tls_key, tls_ca;
  std::string token_file;
  std::string log_level = "info";
  std::string store = "sqlite";
  std::optional<std::string> leader_ttl, advertise;
  uint64_t artifact_bytes = CoordinatorOptions().artifact_bytes;
  std::optional<std::string> keep_samples, keep_reports, keep_history, sweep_interval;
  int64_t snapshot_events = static_cast<int64_t>(StorageConfig().snapshot_events);
  uint64_t snapshot_bytes = StorageConfig().snapshot_bytes;
  uint64_t samples_bytes = StorageConfig().samples_bytes;
  std::optional<std::string> backup_to, restore_from;
  std::string output = "table";
  std::optional<int64_t> lifeline_fd, ready_fd;
  std::optional<std::string> sync_interval, suspect_after, lost_after, fence_after, release_after;
  std::optional<std::string> quarantine_window;
  int64_t quarantine_offences = CoreConfig().quarantine_offences;
  int64_t quarantine_percent = CoreConfig().quarantine_percent;
  int64_t probation_runs = CoreConfig().probation_runs;
};

struct AgeFlag {
  const char* name;
  std::optional<std::string> Raw::*text;
  std::optional<Nanos> StorageConfig::*value;
  const char* help;
};
constexpr AgeFlag kAgeFlags[] = {
    {"keep-samples", &Raw::keep_samples, &StorageConfig::samples_keep,
     "age at which raw samples of ended jobs go: 12h, 90d, forever (90d)"},
    {"keep-reports", &Raw::keep_reports, &StorageConfig::reports_keep,
     "age at which summaries of ended jobs go (forever)"},
    {"keep-history", &Raw::keep_history, &StorageConfig::history_keep,
     "age at which ended jobs leave the lists (forever)"},
};

struct TimingFlag {
  const char* name;
  std::optional<std::string> Raw::*text;
  Nanos CoreConfig::*value;
  const char* help;
};
constexpr TimingFlag kTimingFlags[] = {
    {"sync-interval", &Raw::sync_interval, &CoreConfig::sync_interval,
     "a worker reports at least this often (5s)"},
    {"suspect-after", &Raw::suspect_after, &CoreConfig::suspect_after,
     "silence after which nothing new is placed on a node (12s)"},
    {"lost-after", &Raw::lost_after, &CoreConfig::lost_after,
     "silence after which a node's gangs fail (15s)"},
    {"fence-after", &Raw::fence_after, &CoreConfig::fence_after,
     "a worker without answers ends its ranks after this (30s)"},
    {"release-after", &Raw::release_after, &CoreConfig::release_after,
     "silence after which a node's devices leave their leases (40s)"},
    {"quarantine-window", &Raw::quarantine_window, &CoreConfig::quarantine_window,
     "how long an offence of a node counts (24h)"},
};

void AddStorageFlags(Flags& flags, Raw& raw) {
  for (const AgeFlag& flag : kAgeFlags) flags.Add(flag.name, &(raw.*flag.text), flag.help);
  flags.AddBytes("samples-bytes", &raw.samples_bytes,
                 "what samples.db may hold before the oldest samples go");
  flags.Add("snapshot-events", &raw.snapshot_events,
            "events after which State is saved and the log behind it cut", 1, 1'000'000'000);
  flags.AddBytes("snapshot-bytes", &raw.snapshot_bytes, "the same, in bytes of events");
  flags.Add("sweep-interval", &raw.sweep_interval, "how often what is over goes (1m)");
  flags.Add("backup-to", &raw.backup_to,
            "do not serve: copy --data, in use or not, to this new folder");
  flags.Add("restore-from", &raw.restore_from,
            "do not serve: make --data, which must be empty, from this backup");
  flags.Add("output", &raw.output, "of the two above: table or json");
}

void AddFlags(Flags& flags, Raw& raw) {
  flags.Add("data", &raw.data, "folder of the databases; made if it is not there (rackmark-data)");
  flags.Add(
      "store", &raw.store,
      "sqlite: files in --data; or postgresql://HOST:PORT/DATABASE, which several coordinators "
      "share: one leads, the others stand by (sqlite)");
  flags.Add("leader-ttl", &raw.leader_ttl,
            "with PostgreSQL: silence after which a standby takes the lead (5s)");
  flags.Add("advertise", &raw.advertise,
            "with PostgreSQL: how clients name this coordinator (what --listen says)");
  flags.Add("listen", &raw.listen,
            "unix:/path or host:port to serve on (unix:DATA/coordinator.sock)");
  flags.Add("tls-cert", &raw.tls_cert, "PEM certificate chain of this coordinator");
  flags.Add("tls-key", &raw.tls_key, "PEM key of that certificate, mode 0600");
  flags.Add("tls-ca", &raw.tls_ca, "PEM certificates that may sign clients and workers");
  flags.Add("token-file", &raw.token_file, "lines 'role name token', mode 0600");
  for (const TimingFlag& flag : kTimingFlags) flags.Add(flag.name, &(raw.*flag.text), flag.help);
  flags.Add("quarantine-offences", &raw.quarantine_offences,
            "so many within the window take a node out of service", 1, kQuarantineOffencesMax);
  flags.Add("quarantine-percent", &raw.quarantine_percent,
            "of the nodes tested within the window, that may be there; one always may", 1, 100);
  flags.Add("probation-runs", &raw.probation_runs,
            "runs that pass before a node on probation is good again", 1, 1'000'000);
  AddStorageFlags(flags, raw);
  constexpr int64_t kFdMax = std::numeric_limits<int>::max();
  flags.Add("lifeline-fd", &raw.lifeline_fd, "stop in order when this descriptor ends", 0, kFdMax);
  flags.Add("ready-fd", &raw.ready_fd, "write the address here, once served, and close", 0, kFdMax);
  flags.AddBytes("artifact-bytes", &raw.artifact_bytes,
                 "bound of the files that jobs refer to, all together");
  flags.Add("log-level", &raw.log_level, "debug, info, warning or error");
}

absl::Status UsageError(std::string_view text) { return absl::InvalidArgumentError(ToAbsl(text)); }

absl::StatusOr<LogLevel> LevelByName(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return UsageError(
      absl::StrCat("--log-level ", name, " is unknown; use debug, info, warning or error"));
}

absl::Status CheckStorageFlags(const Raw& raw, CoordinatorOptions& options) {
  for (const AgeFlag& flag : kAgeFlags) {
    if (!(raw.*flag.text)) continue;
    auto age = ParseAge(*(raw.*flag.text));
    if (!age.ok()) return Annotate(age.status(), absl::StrCat("--", flag.name));
    options.storage.*flag.value = *age;
  }
  if (raw.sweep_interval) {
    auto interval = ParseDurationFlag(*raw.sweep_interval);
    if (!interval.ok()) return Annotate(interval.status(), "--sweep-interval");
    options.storage.sweep_interval = *interval;
  }
  options.storage.snapshot_events = static_cast<uint64_t>(raw.snapshot_events);
  options.storage.snapshot_bytes = raw.snapshot_bytes;
  options.storage.samples_bytes = raw.samples_bytes;
  RETURN_IF_ERROR(CheckStorage(options.storage));
  if (raw.backup_to && raw.restore_from) {
    return UsageError("--backup-to and --restore-from exclude each other; give one");
  }
  if (raw.output != "table" && raw.output != "json") {
    return UsageError(absl::StrCat("--output ", raw.output, " is unknown; use table or json"));
  }
  options.backup_to = raw.backup_to;
  options.restore_from = raw.restore_from;
  options.json = raw.output == "json";
  return absl::OkStatus();
}

absl::Status CheckAdvertise(const Raw& raw, CoordinatorOptions& options) {
  if (raw.advertise) {
    const auto endpoint = ParseEndpoint(*raw.advertise);
    if (!endpoint.ok()) return Annotate(endpoint.status(), "--advertise");
    options.advertise = endpoint->ToString();
    return absl::OkStatus();
  }
  const std::string& address = options.listen.address;
  const std::string host = address.substr(0, address.rfind(':'));
  const bool all = options.listen.kind == Endpoint::Kind::kTcp &&
                   (host == "0.0.0.0" || host == "[::]" || host == "*");
  if (!all) return absl::OkStatus();
  return UsageError(absl::StrCat("--listen ", address,
                                 " is every address of this machine; name the one that clients and "
                                 "workers are given, with --advertise HOST:PORT"));
}

absl::Status CheckStoreFlags(const Raw& raw, CoordinatorOptions& options) {
  if (raw.store == "sqlite") {
    if (!raw.leader_ttl && !raw.advertise) return absl::OkStatus();
    return UsageError(
        "--leader-ttl and --advertise are for coordinators that share a --store postgresql://...");
  }
  if (raw.store.rfind("postgresql://", 0) != 0) {
    return UsageError("--store is neither sqlite nor an address that begins with postgresql://");
  }
  const absl::Status target = CheckPgTarget(raw.store);
  if (!target.ok()) return Annotate(target, "--store");
  if (raw.leader_ttl) {
    auto ttl = ParseDurationFlag(*raw.leader_ttl);
    if (!ttl.ok()) return Annotate(ttl.status(), "--leader-ttl");
    options.leader_ttl = *ttl;
  }
  // Below, a hiccup of the database would end leaders; above, workers would fence themselves first.
  if (options.leader_ttl < kSecond || options.leader_ttl > options.timing.fence_after / 2) {
    return UsageError(absl::StrCat("--leader-ttl (", FormatDuration(options.leader_ttl),
                                   ") must be from 1 s to half of --fence-after (",
                                   FormatDuration(options.timing.fence_after), ")"));
  }
  if (raw.backup_to || raw.restore_from) {
    return UsageError(
        "--backup-to and --restore-from are for SQLite; of a PostgreSQL database take pg_dump "
        "--schema=rackmark, and a copy of the artifacts folder in --data");
  }
  RETURN_IF_ERROR(CheckAdvertise(raw, options));
  options.postgres.emplace();
  options.postgres->target = raw.store;
  return absl::OkStatus();
}

absl::StatusOr<CoordinatorOptions> Check(const Raw& raw) {
  CoordinatorOptions options;
  options.data = raw.data;
  if (options.data.empty()) return UsageError("--data is empty; name a folder");
  ASSIGN_OR_RETURN(
      options.listen,
      ParseEndpoint(raw.listen.empty() ? absl::StrCat("unix:", raw.data, "/coordinator.sock")
                                       : raw.listen));
  const bool any = !raw.tls_cert.empty() || !raw.tls_key.empty() || !raw.tls_ca.empty();
  const bool all = !raw.tls_cert.empty() && !raw.tls_key.empty() && !raw.tls_ca.empty();
  if (any && !all) return UsageError("--tls-cert, --tls-key and --tls-ca go together; give all");
  if (all) options.security.tls = TlsFiles{raw.tls_cert, raw.tls_key, raw.tls_ca};
  options.security.token_file = raw.token_file;
  for (const TimingFlag& flag : kTimingFlags) {
    if (!(raw.*flag.text)) continue;
    auto duration = ParseDurationFlag(*(raw.*flag.text));
    if (!duration.ok()) return Annotate(duration.status(), absl::StrCat("--", flag.name));
    options.timing.*flag.value = *duration;
  }
  options.timing.quarantine_offences = static_cast<uint32_t>(raw.quarantine_offences);
  options.timing.quarantine_percent = static_cast<uint32_t>(raw.quarantine_percent);
  options.timing.probation_runs = static_cast<uint32_t>(raw.probation_runs);
  RETURN_IF_ERROR(CheckConfig(options.timing));
  RETURN_IF_ERROR(CheckStorageFlags(raw, options));
  RETURN_IF_ERROR(CheckStoreFlags(raw, options));
  if (raw.lifeline_fd) options.lifeline_fd = static_cast<int>(*raw.lifeline_fd);
  if (raw.ready_fd) options.ready_fd = static_cast<int>(*raw.ready_fd);
  options.artifact_bytes = raw.artifact_bytes;
  ASSIGN_OR_RETURN(options.log_level, LevelByName(raw.log_level));
  return options;
}

}  // namespace

absl::StatusOr<Nanos> ParseDurationFlag(std::string_view text) {
  constexpr std::pair<std::string_view, Nanos> kUnits[] = {
      {"ms", kMillisecond}, {"s", kSecond}, {"m", 60 * kSecond}, {"h", 3600 * kSecond}};
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  const std::string_view unit(parsed.ptr, static_cast<size_t>(end - parsed.ptr));
  constexpr Nanos kMax = 24 * 3600 * kSecond;
  for (const auto& [name, scale] : kUnits) {
    if (parsed.ec == std::errc() && unit == name && number > 0 && number <= kMax / scale) {
      return number * scale;
    }
  }
  return UsageError(absl::StrCat("'", ToAbsl(text),
                                 "' is no duration; write a whole number with a unit, up to "
                                 "24 hours: 500ms, 5s, 2m, 1h"));
}

ParsedOptions ParseCoordinatorOptions(int argc, char** argv) {
  Raw raw;
  Flags flags(
      "rackmark-coordinator", "[flags]",
      "Schedules benchmark jobs on worker daemons, keeps what they measured, and judges it.");
  AddFlags(flags, raw);
  if (const auto exit = flags.ParseMain(argc, argv)) return {{}, exit};
  auto options = Check(raw);
  if (options.ok()) return {*std::move(options), std::nullopt};
  const std::string message(options.status().message());
  std::fprintf(stderr, "rackmark-coordinator: %s\n", message.c_str());
  return {{}, kExitUsage};
}

}  // namespace rackmark
