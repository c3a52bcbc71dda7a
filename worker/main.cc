// rackmark-worker: the daemon of one node. Reads flags, takes the data folder's lock, and runs the
// daemon until a signal, the end of its lifeline, or a reason that it can't go on.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/exit_codes.h"
#include "common/interfaces.h"
#include "common/log.h"
#include "common/program.h"
#include "common/text.h"
#include "grpcpp/grpcpp.h"
#include "rpc/coordinators.h"
#include "rpc/identity.h"
#include "worker/daemon/daemon.h"
#include "worker/device/cpu_probe.h"
#include "worker/device/labels.h"
#include "worker/device/nvml_probe.h"

namespace rackmark {
namespace {

struct WorkerFlags {
  std::string coordinator;
  std::optional<std::string> name;
  std::string data = "rackmark-data/worker";
  std::optional<int64_t> cpu_slots;
  std::optional<std::string> host_id;
  std::string transport = "auto";
  std::string interface;
  std::optional<int64_t> lifeline_fd;
  std::string tls_cert;
  std::string tls_key;
  std::string tls_ca;
  std::string token_file;
  uint64_t spool_bytes = 1 << 30;
  std::string rank_program;
  std::string gpu_rank_program;
  std::string gpus = "auto";
  std::vector<std::string> labels;
  std::string rack;
  std::string nvml_library = kNvmlLibrary;
  std::optional<int64_t> protocol;
  std::string log_level = "info";
};

Flags Table(WorkerFlags* f) {
  Flags flags("rackmark-worker", "--coordinator ENDPOINTS [flags]",
              "Runs the ranks of one node as the coordinator desires, and reports on them.");
  flags.Add(
      "coordinator", &f->coordinator,
      "unix:/path or host:port of the coordinator; of several that share a database, all, with "
      "commas between");
  flags.Add("name", &f->name, "this node's name; default: the host name");
  flags.Add("data", &f->data, "folder of the spool and the lock; one per daemon");
  flags.Add("label", &f->labels,
            "KEY=VALUE, for jobs that select nodes by it; again for more, or with commas between");
  flags.Add("rack", &f->rack, "the rack that this node stands in, for gangs within one");
  flags.Add("cpu-slots", &f->cpu_slots, "CPU devices to offer; default: one per usable CPU", 1,
            kCpuSlotsMax);
  flags.Add("host-id", &f->host_id, "pretend to be on another host than the same machine's others");
  flags.Add("transport", &f->transport,
            "between CPU ranks: auto (shared memory where proven, else Gloo), shm or gloo");
  flags.Add("interface", &f->interface,
            "network of Gloo and of step plans, plain TCP; default: that of the default route, and "
            "lo inside this node");
  flags.Add("lifeline-fd", &f->lifeline_fd, "end in order when this descriptor reaches its end", 0,
            1'000'000);
  flags.Add("tls-cert", &f->tls_cert, "PEM file: this node's certificate chain");
  flags.Add("tls-key", &f->tls_key, "PEM file, mode 0600: its key");
  flags.Add("tls-ca", &f->tls_ca, "PEM file: who signs the coordinator's certificate");
  flags.Add("token-file", &f->token_file, "file, mode 0600: this worker's token");
  flags.AddBytes("spool-bytes", &f->spool_bytes, "bound of samples waiting on disk");
  flags.Add("rank-program", &f->rank_program, "default: rackmark-rank beside this program");
  flags.Add("gpu-rank-program", &f->gpu_rank_program,
            "default: rackmark-rank-cuda beside this program");
  flags.Add("gpus", &f->gpus, "auto: offer the GPUs that the driver tells; none: offer none");
  flags.Add("nvml-library", &f->nvml_library, "who tells the GPUs; default: the driver's library");
  flags.Add("protocol", &f->protocol, "speak only this protocol version", 0, 1'000'000);
  flags.Add("log-level", &f->log_level, "debug, info, warning or error");
  return flags;
}

absl::Status UnknownChoice(std::string_view flag, const std::string& text,
                           std::string_view choices) {
  return absl::InvalidArgumentError(absl::StrCat("--", ToAbsl(flag), " \"", EscapeControl(text),
                                                 "\" is unknown; write ", ToAbsl(choices)));
}

absl::StatusOr<LogLevel> ParseLevel(const std::string& text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  return UnknownChoice("log-level", text, "debug, info, warning or error");
}

absl::StatusOr<v1::TransportPolicy> ParseTransport(const std::string& text) {
  if (text == "auto") return v1::TRANSPORT_POLICY_AUTO;
  if (text == "shm") return v1::TRANSPORT_POLICY_SHM;
  if (text == "gloo") return v1::TRANSPORT_POLICY_GLOO;
  return UnknownChoice("transport", text, "auto, shm or gloo");
}

absl::StatusOr<Security> SecurityOf(const WorkerFlags& f) {
  Security security;
  security.token_file = f.token_file;
  const int given = !f.tls_cert.empty() + !f.tls_key.empty() + !f.tls_ca.empty();
  if (given == 0) return security;
  if (given != 3) {
    return absl::InvalidArgumentError("--tls-cert, --tls-key and --tls-ca go together");
  }
  security.tls = TlsFiles{f.tls_cert, f.tls_key, f.tls_ca};
  return security;
}

absl::StatusOr<DaemonOptions> OptionsOf(const WorkerFlags& f) {
  DaemonOptions options;
  ProbeOptions probe;
  probe.name = f.name;
  probe.host_id = f.host_id;
  if (f.cpu_slots) probe.cpu_slots = static_cast<uint32_t>(*f.cpu_slots);
  ASSIGN_OR_RETURN(probe.cpus, UsableCpus());
  ASSIGN_OR_RETURN(options.node, ProbeNode(options.files, probe));
  if (f.gpus == "auto") {
    const GpuProbe gpus = ProbeGpus(f.nvml_library);
    AddGpus(gpus, probe.cpus, &options.node);
    if (!gpus.note.empty()) Log(LogLevel::kInfo, absl::StrCat("GPUs: ", gpus.note));
  } else if (f.gpus != "none") {
    return UnknownChoice("gpus", f.gpus, "auto or none");
  }
  RETURN_IF_ERROR(AddLabels(f.labels, &options.node));
  RETURN_IF_ERROR(SetRack(f.rack, &options.node));
  (*options.node.mutable_environment()->mutable_more())["grpc"] = grpc::Version();
  ASSIGN_OR_RETURN(options.session.incarnation, NewIncarnation());
  options.session.boot_id = options.node.boot_id();
  if (f.protocol) options.session.protocol = static_cast<uint32_t>(*f.protocol);
  options.data_folder = f.data;
  options.spool_bytes = f.spool_bytes;
  ASSIGN_OR_RETURN(options.transport, ParseTransport(f.transport));
  options.interface = f.interface;
  return options;
}

absl::Status CheckDialSafety(const std::vector<Endpoint>& endpoints, const Security& security) {
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.IsLocal() || security.tls) continue;
    return absl::PermissionDeniedError(
        absl::StrCat("the coordinator at ", endpoint.ToString(),
                     " is not on this machine: give --tls-cert, --tls-key and --tls-ca"));
  }
  return absl::OkStatus();
}

int Complain(const absl::Status& status, int code) {
  std::fprintf(stderr, "rackmark-worker: %s\n", std::string(status.message()).c_str());
  return code;
}

// The daemon on a thread of its own, which stays its one thread: ranks die with it.
int RunDaemon(Daemon* daemon, StopSignal* stop) {
  absl::Status result;
  std::thread thread([&] {
    result = daemon->Run();
    stop->Trigger("the daemon ended");
  });
  const std::optional<std::string> cause = stop->Wait(-1);
  Log(LogLevel::kInfo, absl::StrCat("stopping: ", cause.value_or("")));
  daemon->Stop();
  thread.join();
  if (result.ok()) return kExitPass;
  const bool protocol = FromAbsl(result.message()).find(kProtocolMismatch) != std::string::npos;
  return Complain(result, protocol ? kExitProtocol : kExitInternal);
}

int Main(int argc, char** argv) {
  WorkerFlags f;
  Flags flags = Table(&f);
  if (const std::optional<int> over = flags.ParseMain(argc, argv)) return *over;
  const auto level = ParseLevel(f.log_level);
  if (!level.ok()) return Complain(level.status(), kExitUsage);
  if (f.coordinator.empty()) {
    return Complain(absl::InvalidArgumentError("--coordinator is needed; see --help"), kExitUsage);
  }
  auto endpoints = ParseEndpoints(f.coordinator);
  if (!endpoints.ok()) return Complain(endpoints.status(), kExitUsage);
  if (!f.interface.empty()) {
    // Ranks would say it too, but only when a gang that needs it meets.
    const absl::Status there = CheckInterface(f.interface);
    if (!there.ok()) {
      return Complain(absl::NotFoundError(absl::StrCat("--interface: ", there.message())),
                      kExitUsage);
    }
  }
  const auto transport = ParseTransport(f.transport);
  if (!transport.ok()) return Complain(transport.status(), kExitUsage);
  auto security = SecurityOf(f);
  if (!security.ok()) return Complain(security.status(), kExitUsage);
  if (const absl::Status safe = CheckDialSafety(*endpoints, *security); !safe.ok()) {
    return Complain(safe, kExitRefused);
  }
  InitLog("rackmark-worker", *level);

  std::optional<int> lifeline;
  if (f.lifeline_fd) lifeline = static_cast<int>(*f.lifeline_fd);
  auto stop = StopSignal::Install(lifeline);
  if (!stop.ok()) return Complain(stop.status(), kExitUsage);
  const auto lock = FolderLock::Take(f.data);
  if (!lock.ok()) {
    const bool in_use = lock.status().code() == absl::StatusCode::kAlreadyExists;
    return Complain(lock.status(), in_use ? kExitInUse : kExitUsage);
  }
  auto options = OptionsOf(f);
  if (!options.ok()) return Complain(options.status(), kExitUsage);
  const auto folder = ProgramFolder();
  if (!folder.ok()) return Complain(folder.status(), kExitInternal);
  if (f.rank_program.empty()) f.rank_program = *folder + "/rackmark-rank";
  if (f.gpu_rank_program.empty()) f.gpu_rank_program = *folder + "/rackmark-rank-cuda";
  auto coordinators = Coordinators::Create(*std::move(endpoints), *std::move(security));
  if (!coordinators.ok()) return Complain(coordinators.status(), kExitUsage);
  Log(LogLevel::kInfo, absl::StrCat("node ", options->node.name(), " with ",
                                    options->node.devices_size(), " devices"));
  auto daemon = Daemon::Create(*std::move(options), *std::move(coordinators),
                               RealProcesses({f.rank_program, f.gpu_rank_program}, {}));
  if (!daemon.ok()) return Complain(daemon.status(), kExitError);
  return RunDaemon(daemon->get(), stop->get());
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }
