#include "cli/local_cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cli/child.h"
#include "common/exit_codes.h"
#include "common/text.h"
#include "rpc/endpoint.h"

namespace rackmark {
namespace {

constexpr std::string_view kFolderTemplate = "rackmark-XXXXXX";
constexpr Nanos kReadyTimeout = 20 * kSecond;
constexpr Nanos kStopPatience = 5 * kSecond;
constexpr uintmax_t kLogBytesMax = 16 << 20;  // a larger log is set aside at the next start

std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

// Folders of clusters whose CLI was killed: only rmdir, so only empty ones go, and no young ones,
// because another CLI may be about to use it.
void SweepSocketFolders(const std::string& parent) {
  std::error_code error;
  const auto now = std::filesystem::file_time_type::clock::now();
  for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.size() != kFolderTemplate.size() ||
        name.substr(0, 9) != kFolderTemplate.substr(0, 9)) {
      continue;
    }
    std::error_code ignored;
    const auto changed = std::filesystem::last_write_time(it->path(), ignored);
    if (!ignored && now - changed > std::chrono::minutes(1)) rmdir(it->path().c_str());
  }
}

// A folder that only we can enter, short enough for a socket's path.
absl::StatusOr<std::string> MakeSocketFolder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::vector<std::string> parents;
  if (runtime != nullptr && runtime[0] == '/') parents.emplace_back(runtime);
  parents.emplace_back("/tmp");
  int error = 0;
  for (const std::string& parent : parents) {
    std::string path = absl::StrCat(parent, "/", ToAbsl(kFolderTemplate));
    if (path.size() > 80) continue;
    SweepSocketFolders(parent);
    if (mkdtemp(path.data()) != nullptr) return path;
    error = errno;
  }
  return ErrnoStatus(error, "make a folder for the socket below /tmp");
}

// The last lines that a program wrote to its log from `offset` on: why it did not start.
std::string LogTail(const std::string& path, uintmax_t offset) {
  std::ifstream file(path);
  file.seekg(static_cast<std::streamoff>(offset));
  std::string line;
  std::string last;
  while (std::getline(file, line)) {
    if (!line.empty()) last = line;
  }
  return EscapeControl(last.substr(0, 1000));
}

uintmax_t SizeOf(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

// The endpoint that the coordinator writes when it listens; empty if it ended, or a signal came,
// before.
std::string ReadReady(int fd, int signal_fd) {
  std::string text;
  const Nanos deadline = SystemClock().Monotonic() + kReadyTimeout;
  while (text.find('\n') == std::string::npos) {
    const Nanos left = deadline - SystemClock().Monotonic();
    std::array<pollfd, 2> fds = {{{fd, POLLIN, 0}, {signal_fd, POLLIN, 0}}};
    if (left <= 0 || poll(fds.data(), fds.size(), static_cast<int>(left / kMillisecond) + 1) < 0) {
      break;
    }
    std::array<char, 256> bytes{};
    const ssize_t n = fds[0].revents == 0 ? 0 : read(fd, bytes.data(), bytes.size());
    if (n <= 0) break;
    text.append(bytes.data(), static_cast<size_t>(n));
  }
  return text.substr(0, text.find('\n'));
}

std::string EndText(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("was killed by signal ", WTERMSIG(status));
  return absl::StrCat("ended with status ", WEXITSTATUS(status));
}

// Ends when the process has (a zombie counts), a signal waits to be taken, or `patience` is over.
// True: the process has ended.
bool AwaitEnd(pid_t pid, int signal_fd, Nanos patience) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return true;  // not our child any more: waitpid tells
  const Nanos deadline = SystemClock().Monotonic() + patience;
  std::array<pollfd, 2> fds = {{{fd, POLLIN, 0}, {signal_fd, POLLIN, 0}}};
  int n = -1;
  do {
    const Nanos left = std::max<Nanos>(0, deadline - SystemClock().Monotonic());
    n = poll(fds.data(), fds.size(), static_cast<int>(left / kMillisecond) + 1);
  } while (n < 0 && errno == EINTR);
  close(fd);
  return n > 0 && fds[0].revents != 0;
}

// How many devices each of its nodes has to have; missing = any number will do.
std::optional<uint32_t> DevicesPerNode(const v1::Gang& gang) {
  if (gang.has_per_node()) return gang.per_node();
  if (gang.within() == v1::WITHIN_NODE && !gang.preferred()) return gang.devices();
  return std::nullopt;
}

}  // namespace

absl::StatusOr<uint32_t> SlotsFor(const v1::Gang& gang, const LocalOptions& options) {
  const auto impossible = [](const std::string& text) { return absl::OutOfRangeError(text); };
  if (gang.kind() != v1::DEVICE_KIND_CPU) {
    return impossible(
        "this job needs GPU devices, and --local offers CPU slots only; use a coordinator whose "
        "workers have GPUs (--coordinator), or --set gang.device=cpu");
  }
  const uint32_t n = options.workers;
  if (gang.has_per_node() && gang.devices() / gang.per_node() > n) {
    const uint32_t nodes = gang.devices() / gang.per_node();
    return impossible(absl::StrCat("the gang needs ", nodes, " nodes with ", gang.per_node(),
                                   " devices each, and --local ", n, " starts ", n,
                                   "; use --local ", nodes, " or change gang.per_node"));
  }
  const uint32_t needed = DevicesPerNode(gang).value_or((gang.devices() + n - 1) / n);
  const uint32_t slots = options.cpu_slots.value_or(needed);
  if (slots < needed) {
    return impossible(absl::StrCat("the gang needs ", needed,
                                   " devices on a node, and --cpu-slots ", slots, " offers ", slots,
                                   "; use --cpu-slots ", needed, " or a smaller gang"));
  }
  if (slots > kLocalSlotsMax) {
    return impossible(absl::StrCat("the gang needs ", slots, " CPU slots on each of ", n,
                                   " local workers, and ", kLocalSlotsMax,
                                   " are the most; use fewer gang.devices or more workers"));
  }
  return slots;
}

absl::Status CheckFits(const v1::Gang& gang, const v1::ListNodesReply& nodes) {
  if (nodes.left_out() > 0) return absl::OkStatus();  // nobody can say; the coordinator decides
  const std::optional<uint32_t> per_node = DevicesPerNode(gang);
  uint64_t devices = 0;
  uint32_t large_nodes = 0;  // with per_node devices or more
  for (const v1::NodeStatus& node : nodes.nodes()) {
    if (node.phase() == v1::NODE_PHASE_LOST) continue;
    uint32_t here = 0;
    for (const v1::Device& device : node.info().devices()) {
      here += device.kind() == gang.kind() ? 1U : 0U;
    }
    devices += here;
    large_nodes += per_node && here >= *per_node ? 1U : 0U;
  }
  const char* kind = gang.kind() == v1::DEVICE_KIND_GPU ? "GPU" : "CPU";
  constexpr std::string_view kRemedy =
      "; use a smaller gang, or rackmark submit, which waits for nodes to join";
  if (per_node && large_nodes < gang.devices() / *per_node) {
    return absl::OutOfRangeError(absl::StrCat(
        "the gang needs ", gang.devices() / *per_node, " nodes with ", *per_node, " ", kind,
        " devices each, and ", large_nodes, " known nodes have that", ToAbsl(kRemedy)));
  }
  if (devices >= gang.devices()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("the gang needs ", gang.devices(), " ", kind,
                                            " devices, and all known nodes together have ", devices,
                                            ToAbsl(kRemedy)));
}

absl::Status CheckQuarantine(const v1::Gang& gang, const v1::ListNodesReply& nodes) {
  if (!gang.quarantined() || nodes.left_out() > 0) return absl::OkStatus();
  uint64_t devices = 0;
  for (const v1::NodeStatus& node : nodes.nodes()) {
    if (node.standing() != v1::STANDING_QUARANTINED) continue;
    for (const v1::Device& device : node.info().devices()) {
      devices += device.kind() == gang.kind() ? 1U : 0U;
    }
  }
  if (devices >= gang.devices()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      "the gang is a check of nodes in quarantine and needs ", gang.devices(),
      " devices there, and the nodes in quarantine have ", devices,
      "; set quarantined: false, or put a node there first (rackmark quarantine NODE)"));
}

std::vector<std::string> CoordinatorArguments(const LocalOptions& options,
                                              const std::string& endpoint) {
  return {"--data", Absolute(options.data), "--listen",
          endpoint, "--lifeline-fd",        std::to_string(kChildLifelineFd)};
}

std::vector<std::string> WorkerArguments(const LocalOptions& options, const std::string& endpoint,
                                         uint32_t index, uint32_t slots) {
  const std::string name = absl::StrCat("local-", index);
  // No GPUs: several daemons of one machine would each offer all of them.
  return {"--coordinator", endpoint,
          "--name",        name,
          "--data",        absl::StrCat(Absolute(options.data), "/workers/", name),
          "--cpu-slots",   std::to_string(slots),
          "--gpus",        "none",
          "--interface",   "lo",
          "--lifeline-fd", std::to_string(kChildLifelineFd)};
}

LocalCluster::LocalCluster(LocalOptions options, uint32_t slots, StopSignal& stop, Teller tell)
    : options_(std::move(options)), slots_(slots), stop_(stop), tell_(std::move(tell)) {}

LocalCluster::~LocalCluster() { Stop(); }

absl::Status LocalCluster::Prepare() {
  ASSIGN_OR_RETURN(folder_, MakeSocketFolder());
  endpoint_ = absl::StrCat("unix:", folder_, "/coordinator.sock");
  RETURN_IF_ERROR(ParseEndpoint(endpoint_).status());
  std::error_code error;
  const std::string logs = options_.data + "/logs";
  std::filesystem::create_directories(logs, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("create folder ", logs, " (see --data)"));
  }
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make the lifeline pipe");
  lifeline_read_ = fds[0];
  lifeline_write_ = fds[1];
  processes_.push_back({"coordinator", options_.programs + "/rackmark-coordinator",
                        CoordinatorArguments(options_, endpoint_), logs + "/coordinator.log"});
  for (uint32_t i = 0; i < options_.workers; ++i) {
    processes_.push_back({absl::StrCat("worker local-", i), options_.programs + "/rackmark-worker",
                          WorkerArguments(options_, endpoint_, i, slots_),
                          absl::StrCat(logs, "/local-", i, ".log")});
  }
  for (const Process& process : processes_) {
    if (SizeOf(process.log_file) <= kLogBytesMax) continue;
    std::filesystem::rename(process.log_file, process.log_file + ".old", error);
  }
  return absl::OkStatus();
}

absl::Status LocalCluster::Spawn(Process& process, std::optional<int> ready_fd) {
  ChildOptions child;
  child.program = process.program;
  child.arguments = process.arguments;
  if (ready_fd) {
    child.arguments.insert(child.arguments.end(), {"--ready-fd", std::to_string(kChildReadyFd)});
  }
  child.log_file = process.log_file;
  child.lifeline_fd = lifeline_read_;
  child.ready_fd = ready_fd;
  ASSIGN_OR_RETURN(process.pid, StartChild(child));
  return absl::OkStatus();
}

std::optional<StartFailure> LocalCluster::StartCoordinator() {
  Process& process = processes_.front();
  const uintmax_t offset = SizeOf(process.log_file);
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    return StartFailure{ErrnoStatus(errno, "make a pipe"), std::nullopt};
  }
  const absl::Status spawned = Spawn(process, fds[1]);
  close(fds[1]);
  const std::string ready = spawned.ok() ? ReadReady(fds[0], stop_.signal_fd()) : "";
  close(fds[0]);
  if (!spawned.ok()) return StartFailure{spawned, std::nullopt};
  if (!ready.empty()) return std::nullopt;
  if (const auto cause = stop_.Wait(0)) {
    return StartFailure{absl::CancelledError(absl::StrCat(*cause, " before the cluster was up")),
                        kExitCancelled};
  }
  const int status = Reap(process, 2 * kSecond);
  std::string why = LogTail(process.log_file, offset);
  if (why.empty()) why = EndText(status);
  return StartFailure{absl::UnavailableError(absl::StrCat("the local coordinator did not start: ",
                                                          why, " (log: ", process.log_file, ")")),
                      WIFEXITED(status) ? std::optional<int>(WEXITSTATUS(status)) : std::nullopt};
}

std::optional<StartFailure> LocalCluster::Start() {
  if (const absl::Status status = Prepare(); !status.ok()) {
    return StartFailure{status, std::nullopt};
  }
  if (auto failure = StartCoordinator()) return failure;
  for (size_t i = 1; i < processes_.size(); ++i) {
    if (const absl::Status status = Spawn(processes_[i], std::nullopt); !status.ok()) {
      return StartFailure{status, std::nullopt};
    }
  }
  return std::nullopt;
}

absl::Status LocalCluster::Supervise() {
  for (Process& process : processes_) {
    int status = 0;
    if (process.pid == 0 || waitpid(process.pid, &status, WNOHANG) != process.pid) continue;
    process.pid = 0;
    if (++process.restarts > kRestartsMax) {
      return absl::InternalError(absl::StrCat("the local ", process.name, " ", EndText(status),
                                              " for the ", process.restarts, "th time; see ",
                                              process.log_file));
    }
    RETURN_IF_ERROR(Spawn(process, std::nullopt));
    tell_(absl::StrCat("the local ", process.name, " ", EndText(status), "; started it again (",
                       process.restarts, " of ", kRestartsMax, ")"));
  }
  return absl::OkStatus();
}

// Waits for the process; kills it after `patience`, or at once if there is no time. Its wait
// status.
int LocalCluster::Reap(Process& process, Nanos patience) {
  if (hurry_ || !AwaitEnd(process.pid, stop_.signal_fd(), patience)) {
    hurry_ = hurry_ || stop_.Again();
    kill(process.pid, SIGKILL);
  }
  int status = 0;
  while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR) {
  }
  process.pid = 0;
  return status;
}

void LocalCluster::Stop() {
  // Workers first, so that none of them sees its coordinator vanish and writes about it.
  for (size_t i = 1; i < processes_.size(); ++i) {
    if (processes_[i].pid > 0) kill(processes_[i].pid, SIGTERM);
  }
  for (size_t i = 1; i < processes_.size(); ++i) {
    if (processes_[i].pid > 0) Reap(processes_[i], kStopPatience);
  }
  if (!processes_.empty() && processes_.front().pid > 0) {
    kill(processes_.front().pid, SIGTERM);
    Reap(processes_.front(), kStopPatience);
  }
  processes_.clear();
  for (int* fd : {&lifeline_read_, &lifeline_write_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  folder_.clear();
}

}  // namespace rackmark
