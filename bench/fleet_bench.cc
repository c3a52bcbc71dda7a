// What a coordinator costs by the size of its fleet: a real rackmark-coordinator, and N workers in
// a process of their own, each with its own TCP connection, Sync stream and Reports of 1.5 KB every
// 5 s. All devices are in use by gangs of 100 nodes, and a queue waits behind them. Prints, judges
// nothing; fails if the load was not what it should be. Without ranks: no samples, no cards.
//
//   fleet_bench [--data FOLDER] [--window 20] [--queue 10000] [--plain] [--tls] [--json] [NODES...]
//
// CPU and memory are the coordinator's alone, from /proc, over a window after all have connected
// and all is placed. Then a rack of 18 nodes reports once more and falls silent, as when its power
// fails: from when the first, and the last, of them counts as lost to when the last survivor that
// shares a gang with one of them has been told.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "bench/fleet.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "common/program.h"

namespace rackmark {
namespace {

constexpr uint64_t kGangNodes = 100;
constexpr Nanos kSettle = 6 * kSecond;      // more than one Report of each
constexpr Nanos kLostAfter = 15 * kSecond;  // the coordinator's own default
constexpr Nanos kPatience = 120 * kSecond;

// Travels through a pipe as it is.
struct Figures {
  uint64_t nodes = 0;
  bool tls = false;
  double ramp_s = 0, submit_s = 0;
  double asked = 0, sent = 0, answered = 0;  // Reports per second
  double report_bytes = 0;
  double late_p99_ms = 0, answer_p50_ms = 0, answer_p99_ms = 0;
  double cpu = 0, client_cpu = 0, rss_mib = 0, peak_mib = 0;
  uint64_t survivors = 0;
  double loss_first_ms = 0, loss_last_ms = 0, loss_sent_ms = 0;
  double load = 0;  // 1-minute load average at the end of the window
};

double Ms(Nanos value) { return static_cast<double>(value) / 1e6; }

double QuantileMs(std::vector<Nanos> values, double q) {
  if (values.empty()) return 0;
  const auto at = static_cast<ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return Ms(values[static_cast<size_t>(at)]);
}

// User and system time of a process, seconds.
double CpuOf(pid_t pid) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::istringstream rest(text.substr(text.rfind(')') + 2));
  std::string word;
  for (int i = 0; i < 11; ++i) rest >> word;
  double user = 0, system = 0;
  rest >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double StatusMib(pid_t pid, const std::string& field) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/status"));
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind(field + ":", 0) == 0) {
      return std::strtod(line.c_str() + field.size() + 1, nullptr) / 1024;
    }
  }
  return 0;
}

double Load() {
  double load = 0;
  std::ifstream("/proc/loadavg") >> load;
  return load;
}

void MeasureWindow(Fleet& fleet, Nanos window, Figures& figures) {
  fleet.PumpFor(kSettle);
  (void)fleet.TakeLateness();
  FleetCounts& counts = fleet.counts();
  {
    std::lock_guard lock(counts.mutex);
    counts.answer_times.clear();
  }
  const uint64_t sent = counts.sent, answered = counts.answered, bytes = counts.bytes;
  const double cpu = CpuOf(fleet.coordinator()), own = CpuOf(getpid());
  const Nanos began = SystemClock().Monotonic();
  fleet.PumpFor(window);
  const double seconds = Ms(SystemClock().Monotonic() - began) / 1e3;
  figures.cpu = (CpuOf(fleet.coordinator()) - cpu) / seconds;
  figures.client_cpu = (CpuOf(getpid()) - own) / seconds;
  figures.asked = static_cast<double>(figures.nodes) / 5;
  figures.sent = static_cast<double>(counts.sent - sent) / seconds;
  figures.answered = static_cast<double>(counts.answered - answered) / seconds;
  const uint64_t reports = std::max<uint64_t>(1, counts.sent - sent);
  figures.report_bytes = static_cast<double>(counts.bytes - bytes) / static_cast<double>(reports);
  figures.rss_mib = StatusMib(fleet.coordinator(), "VmRSS");
  figures.peak_mib = StatusMib(fleet.coordinator(), "VmHWM");
  figures.load = Load();
  figures.late_p99_ms = QuantileMs(fleet.TakeLateness(), 0.99);
  std::lock_guard lock(counts.mutex);
  figures.answer_p50_ms = QuantileMs(counts.answer_times, 0.5);
  figures.answer_p99_ms = QuantileMs(counts.answer_times, 0.99);
}

absl::Status LoseRack(Fleet& fleet, Figures& figures) {
  const uint64_t first =
      figures.nodes / FleetWorker::kNodesPerRack / 2 * FleetWorker::kNodesPerRack;
  const uint64_t end = first + FleetWorker::kNodesPerRack;
  std::set<uint64_t> leases;
  const Nanos told = SystemClock().Monotonic();
  for (uint64_t i = first; i < end; ++i) {
    leases.insert(fleet.worker(i).Look().lease);
    fleet.worker(i).Send();
  }
  const auto all_silent = [&] {
    uint64_t silent = 0;
    for (uint64_t i = first; i < end; ++i) {
      if (fleet.worker(i).Look().received < told) continue;
      fleet.worker(i).FallSilent();
      ++silent;
    }
    return silent == FleetWorker::kNodesPerRack;
  };
  RETURN_IF_ERROR(Annotate(fleet.PumpUntil(all_silent, kPatience), "the rack's last Reports"));
  std::vector<uint64_t> survivors;
  for (uint64_t i = 0; i < figures.nodes; ++i) {
    const bool lost = i >= first && i < end;
    if (lost || leases.count(fleet.worker(i).Look().lease) == 0) continue;
    survivors.push_back(i);
    fleet.worker(i).ExpectNews();
  }
  figures.survivors = survivors.size();
  const auto all_told = [&] {
    return std::all_of(survivors.begin(), survivors.end(),
                       [&](uint64_t i) { return fleet.worker(i).Look().told != 0; });
  };
  fleet.PumpFor(kLostAfter - kSecond);
  if (all_told()) return absl::InternalError("survivors were told before the rack was lost");
  // Their threads stamp what they hear; this one only looks whether all have.
  RETURN_IF_ERROR(Annotate(fleet.PumpUntil(all_told, kPatience), "the survivors' news"));
  Nanos first_due = INT64_MAX, last_due = 0, last_told = 0, last_sent = 0;
  for (uint64_t i = first; i < end; ++i) {
    first_due = std::min(first_due, fleet.worker(i).Look().received + kLostAfter);
    last_due = std::max(last_due, fleet.worker(i).Look().received + kLostAfter);
  }
  for (const uint64_t i : survivors) {
    last_told = std::max(last_told, fleet.worker(i).Look().told);
    last_sent = std::max(last_sent, fleet.worker(i).Look().sent);
  }
  figures.loss_first_ms = Ms(last_told - first_due);
  figures.loss_last_ms = Ms(last_told - last_due);
  figures.loss_sent_ms = Ms(last_sent - first_due);
  return absl::OkStatus();
}

absl::Status Check(Fleet& fleet, const Figures& figures) {
  fleet.PumpFor(kSettle);
  ASSIGN_OR_RETURN(const auto phases, fleet.CountPhases());
  const uint64_t lost = FleetWorker::kNodesPerRack;
  if (phases[v1::NODE_PHASE_UP] != figures.nodes - lost || phases[v1::NODE_PHASE_LOST] != lost) {
    return absl::InternalError(absl::StrCat(
        "of ", figures.nodes, " nodes ", phases[v1::NODE_PHASE_UP], " are up, ",
        phases[v1::NODE_PHASE_SUSPECT], " suspect, ", phases[v1::NODE_PHASE_LOST], " lost"));
  }
  for (uint64_t i = 0; i < figures.nodes; ++i) {
    if (fleet.worker(i).Look().answered < 2) {
      return absl::InternalError(absl::StrCat("worker ", i + 1, " had no answers"));
    }
  }
  if (fleet.counts().broken == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(fleet.counts().broken.load(), " streams broke"));
}

absl::Status Measure(const FleetOptions& options, Nanos window, uint64_t queue, Figures& figures) {
  static constexpr uint32_t kSizes[] = {1, 2, 4, 8, 8, 8, 16, 32, 64, 72};
  figures.nodes = options.nodes;
  figures.tls = options.tls;
  Fleet fleet(options);
  RETURN_IF_ERROR(fleet.Start());
  const Nanos began = SystemClock().Monotonic();
  RETURN_IF_ERROR(fleet.Connect());
  const Nanos connected = SystemClock().Monotonic();
  const uint64_t gangs = (options.nodes + kGangNodes - 1) / kGangNodes;
  RETURN_IF_ERROR(fleet.Submit(gangs, [&](uint64_t i) {
    const uint64_t nodes = std::min(kGangNodes, options.nodes - i * kGangNodes);
    return static_cast<uint32_t>(nodes * FleetWorker::kDevices);
  }));
  const auto all_hold = [&] { return fleet.counts().holding == options.nodes; };
  RETURN_IF_ERROR(Annotate(fleet.PumpUntil(all_hold, kPatience), "placing"));
  RETURN_IF_ERROR(fleet.Submit(queue, [](uint64_t i) { return kSizes[i % std::size(kSizes)]; }));
  figures.ramp_s = Ms(connected - began) / 1e3;
  figures.submit_s = Ms(SystemClock().Monotonic() - connected) / 1e3;
  MeasureWindow(fleet, window, figures);
  RETURN_IF_ERROR(LoseRack(fleet, figures));
  return Check(fleet, figures);
}

// In a child: its CPU time is the load's, and gRPC begins anew.
bool MeasureInChild(FleetOptions options, Nanos window, uint64_t queue, Figures& figures) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return false;
  options.folder += "/fleet-bench-XXXXXX";
  if (mkdtemp(options.folder.data()) == nullptr) return false;
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const absl::Status status = Measure(options, window, queue, figures);
    if (!status.ok()) {
      std::fprintf(stderr, "fleet_bench: %s\n", std::string(status.message()).c_str());
    }
    const bool told = status.ok() && write(fds[1], &figures, sizeof(figures)) == sizeof(figures);
    _exit(told ? 0 : 1);
  }
  close(fds[1]);
  const bool got = read(fds[0], &figures, sizeof(figures)) == sizeof(figures);
  close(fds[0]);
  waitpid(child, nullptr, 0);
  std::filesystem::remove_all(options.folder);
  return got;
}

void Print(const Figures& f) {
  std::printf("%6lu workers, %6lu devices, %s, load %.1f\n", f.nodes, f.nodes * 8,
              f.tls ? "mTLS" : "plain", f.load);
  std::printf("  connected in %.1f s, jobs submitted in %.1f s\n", f.ramp_s, f.submit_s);
  std::printf(
      "  Reports of %.0f bytes: asked %.1f/s, sent %.1f/s, answered %.1f/s; late p99 %.1f ms\n",
      f.report_bytes, f.asked, f.sent, f.answered, f.late_p99_ms);
  std::printf("  Report to answer p50 %.2f ms, p99 %.2f ms\n", f.answer_p50_ms, f.answer_p99_ms);
  std::printf(
      "  coordinator: %.1f %% of a core, %.0f us a Report, RSS %.0f MiB (peak %.0f); client %.1f "
      "%%\n",
      100 * f.cpu, 1e6 * f.cpu / std::max(1.0, f.answered), f.rss_mib, f.peak_mib,
      100 * f.client_cpu);
  std::printf(
      "  rack lost: %lu survivors told %.1f ms after the first node was due, %.1f ms after the "
      "last; the last was sent its news after %.1f ms\n",
      f.survivors, f.loss_first_ms, f.loss_last_ms, f.loss_sent_ms);
}

void PrintJson(const Figures& f) {
  std::printf(
      "{\"nodes\":%lu,\"tls\":%s,\"ramp_s\":%.2f,\"submit_s\":%.2f,\"asked_per_s\":%.1f,"
      "\"sent_per_s\":%.1f,\"answered_per_s\":%.1f,\"report_bytes\":%.0f,\"late_p99_ms\":%.2f,"
      "\"answer_p50_ms\":%.3f,\"answer_p99_ms\":%.3f,\"cpu_cores\":%.4f,"
      "\"client_cpu_cores\":%.4f,\"rss_mib\":%.1f,\"peak_mib\":%.1f,\"survivors\":%lu,"
      "\"loss_after_first_ms\":%.2f,\"loss_after_last_ms\":%.2f,\"loss_sent_ms\":%.2f,\"load\":%."
      "2f}\n",
      f.nodes, f.tls ? "true" : "false", f.ramp_s, f.submit_s, f.asked, f.sent, f.answered,
      f.report_bytes, f.late_p99_ms, f.answer_p50_ms, f.answer_p99_ms, f.cpu, f.client_cpu,
      f.rss_mib, f.peak_mib, f.survivors, f.loss_first_ms, f.loss_last_ms, f.loss_sent_ms, f.load);
}

void PrintGrowth(const Figures& from, const Figures& to) {
  std::printf("  %lu -> %lu workers (%.0f times): CPU %.1f times, RSS %.1f, rack's loss %.1f\n",
              from.nodes, to.nodes, static_cast<double>(to.nodes) / static_cast<double>(from.nodes),
              to.cpu / std::max(1e-6, from.cpu), to.rss_mib / std::max(1e-6, from.rss_mib),
              to.loss_first_ms / std::max(1e-6, from.loss_first_ms));
}

int Main(int argc, char** argv) {
  FleetOptions options;
  options.folder = ".";
  int64_t window = 20, queue = 10'000, seed = 1;
  bool plain = false, tls = false, json = false;
  std::vector<std::string> words;
  Flags flags("fleet_bench", "[flags] [NODES...]", "A coordinator by the size of its fleet.");
  flags.Add("data", &options.folder, "a folder on the disk of the databases (the current one)");
  flags.Add("programs", &options.programs, "folder of the coordinator; default: that of this one");
  flags.Add("window", &window, "seconds of steady state (20)", 1, 3600);
  flags.Add("queue", &queue, "jobs that wait (10000)", 0, 100'000);
  flags.Add("seed", &seed, "of the Reports' jitter (1)", 0, INT32_MAX);
  flags.Add("plain", &plain, "without TLS only; default: both");
  flags.Add("tls", &tls, "with mTLS only");
  flags.Add("json", &json, "one line of JSON for each fleet");
  if (const auto code = flags.ParseMain(argc, argv, &words)) return *code;
  InitLog("fleet_bench", LogLevel::kWarning);
  const auto folder = ProgramFolder();
  if (!folder.ok()) return kExitInternal;
  if (options.programs.empty()) options.programs = *folder;
  if (words.empty()) words = {"100", "1000", "10000"};
  options.seed = static_cast<uint64_t>(seed);
  const uint64_t files = RaiseFileLimit();
  for (const bool with_tls : {false, true}) {
    if (with_tls ? plain : tls) continue;
    std::optional<Figures> first;
    for (const std::string& word : words) {
      options.nodes = std::strtoull(word.c_str(), nullptr, 10);
      options.tls = with_tls;
      if (options.nodes < 2 * FleetWorker::kNodesPerRack || options.nodes + 64 > files) {
        std::fprintf(stderr, "fleet_bench: %s workers are too few, or more than ulimit -n lets\n",
                     word.c_str());
        return kExitUsage;
      }
      Figures figures;
      if (!MeasureInChild(options, window * kSecond, static_cast<uint64_t>(queue), figures)) {
        return kExitError;
      }
      json ? PrintJson(figures) : Print(figures);
      if (!json && first.has_value()) PrintGrowth(*first, figures);
      if (!first.has_value()) first = figures;
    }
  }
  return kExitPass;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }
