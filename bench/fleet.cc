#include "bench/fleet.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

constexpr uint64_t kConnectingMax = 64;
constexpr uint64_t kSubmittingMax = 32;
constexpr Nanos kPatience = 300 * kSecond;

Nanos NowMonotonic() { return SystemClock().Monotonic(); }

absl::Status WriteSecret(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  return chmod(path.c_str(), 0600) == 0 ? absl::OkStatus() : ErrnoStatus(errno, path);
}

absl::StatusOr<std::string> ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  if (c == '\n') return line;
  return absl::UnavailableError("the coordinator did not start; it has said why");
}

v1::Job NullJob(uint32_t devices) {
  v1::Job job;
  job.set_name("bench");
  v1::JobSpec& spec = *job.mutable_spec();
  spec.mutable_gang()->set_devices(devices);
  spec.mutable_gang()->set_kind(v1::DEVICE_KIND_GPU);
  if (devices > FleetWorker::kDevices) spec.mutable_gang()->set_per_node(FleetWorker::kDevices);
  v1::Limits& limits = *spec.mutable_limits();
  for (const auto set : {&v1::Limits::set_setup_ns, &v1::Limits::set_prepare_ns,
                         &v1::Limits::set_measure_ns, &v1::Limits::set_drain_ns}) {
    (limits.*set)(3600 * kSecond);
  }
  limits.set_attempts(1);
  v1::RunSpec& run = *spec.add_runs();
  run.mutable_null()->set_duration_ns(kSecond);
  run.mutable_null()->set_samples_per_step(1);
  return job;
}

}  // namespace

Fleet::Fleet(FleetOptions options) : options_(std::move(options)), random_(options_.seed, 0) {}

Fleet::~Fleet() {
  for (const auto& worker : workers_) worker->End();
  while (counts_.over < workers_.size()) poll(nullptr, 0, 1);
  if (lifeline_ >= 0) close(lifeline_);
  if (coordinator_ > 0) waitpid(coordinator_, nullptr, 0);
}

absl::StatusOr<std::vector<std::string>> Fleet::Arguments() {
  std::vector<std::string> arguments = {"rackmark-coordinator",
                                        "--listen",
                                        "127.0.0.1:0",
                                        "--data",
                                        options_.folder + "/data",
                                        "--token-file",
                                        options_.folder + "/tokens",
                                        "--log-level",
                                        "warning"};
  RETURN_IF_ERROR(
      WriteSecret(options_.folder + "/tokens",
                  "worker fleet secret-of-all-workers\nadmin bench secret-of-the-bench\n"));
  RETURN_IF_ERROR(WriteSecret(options_.folder + "/worker", "secret-of-all-workers\n"));
  RETURN_IF_ERROR(WriteSecret(options_.folder + "/person", "secret-of-the-bench\n"));
  if (!options_.tls) return arguments;
  ASSIGN_OR_RETURN(certificates_, CertificateMaker::Create(options_.folder));
  ASSIGN_OR_RETURN(const TlsFiles files, certificates_->Issue("coordinator", "IP:127.0.0.1"));
  for (const std::string& word :
       {std::string("--tls-cert"), files.certificate, std::string("--tls-key"), files.key,
        std::string("--tls-ca"), files.authority}) {
    arguments.push_back(word);
  }
  return arguments;
}

absl::Status Fleet::Start() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as rpc's listener does
  ASSIGN_OR_RETURN(std::vector<std::string> arguments, Arguments());
  int ready[2], lifeline[2];
  if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(lifeline, O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "pipe2");
  }
  for (const auto& [name, fd] :
       {std::pair{"--ready-fd", ready[1]}, {"--lifeline-fd", lifeline[0]}}) {
    arguments.push_back(name);
    arguments.push_back(absl::StrCat(fd));
    fcntl(fd, F_SETFD, 0);
  }
  std::vector<char*> words;
  for (std::string& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);
  const std::string program = options_.programs + "/rackmark-coordinator";
  coordinator_ = fork();
  if (coordinator_ == 0) {
    execv(program.c_str(), words.data());
    _exit(127);
  }
  close(ready[1]);
  close(lifeline[0]);
  lifeline_ = lifeline[1];
  const auto line = ReadLine(ready[0]);
  close(ready[0]);
  RETURN_IF_ERROR(line.status());
  address_ = *line;
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(address_));
  Security security;
  security.token_file = options_.folder + "/person";
  if (options_.tls) {
    ASSIGN_OR_RETURN(security.tls, certificates_->Issue("bench", "DNS:bench"));
  }
  ASSIGN_OR_RETURN(const auto channel, Dial(endpoint, security));
  person_ = v1::ClientService::NewStub(channel);
  return absl::OkStatus();
}

absl::StatusOr<Security> Fleet::SecurityOf(uint64_t index) {
  Security security;
  if (options_.tls) {
    const std::string name = absl::StrCat("n", index + 1);
    ASSIGN_OR_RETURN(security.tls, certificates_->Issue(name, "DNS:" + name));
  } else {
    security.token_file = options_.folder + "/worker";
  }
  return security;
}

absl::Status Fleet::BeginOne(uint64_t index) {
  ASSIGN_OR_RETURN(const Security security, SecurityOf(index));
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(address_));
  ASSIGN_OR_RETURN(const auto channel, Dial(endpoint, security));
  workers_.push_back(std::make_unique<FleetWorker>(index, &counts_));
  workers_.back()->Begin(channel);
  const double first = random_.Uniform() * static_cast<double>(options_.interval);
  due_.push({NowMonotonic() + static_cast<Nanos>(first), index});
  return absl::OkStatus();
}

absl::Status Fleet::Connect() {
  absl::Status failed;
  const auto step = [&] {
    while (failed.ok() && workers_.size() < options_.nodes &&
           workers_.size() < counts_.met + kConnectingMax) {
      failed = BeginOne(workers_.size());
    }
    return !failed.ok() || counts_.met == options_.nodes || counts_.broken > 0;
  };
  RETURN_IF_ERROR(Annotate(PumpUntil(step, kPatience), "connecting"));
  if (failed.ok() && counts_.broken > 0) failed = absl::UnavailableError("a stream was refused");
  return failed;
}

absl::Status Fleet::Submit(uint64_t jobs, const std::function<uint32_t(uint64_t)>& devices) {
  struct Call {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    v1::SubmitReply reply;
  };
  std::vector<std::unique_ptr<Call>> calls;
  std::atomic<uint64_t> replied = 0, refused = 0;
  std::string why;  // of the first refusal; read after all have replied
  const auto step = [&] {
    while (calls.size() < jobs && calls.size() < replied + kSubmittingMax) {
      Call& call = *calls.emplace_back(std::make_unique<Call>());
      *call.request.mutable_identity() = MakeIdentity("", 0, "bench/1");
      *call.request.mutable_job() = NullJob(devices(calls.size() - 1));
      call.context.set_wait_for_ready(true);
      call.request.set_submission_id(absl::StrCat("s", ++submissions_));
      person_->async()->Submit(&call.context, &call.request, &call.reply,
                               [&](const grpc::Status& status) {
                                 if (!status.ok() && refused++ == 0) why = status.error_message();
                                 ++replied;
                               });
    }
    return replied == jobs;
  };
  absl::Status status = PumpUntil(step, kPatience);
  // The calls lie on this stack frame's heap: none may outlive it.
  for (const auto& call : calls) call->context.TryCancel();
  while (replied < calls.size()) poll(nullptr, 0, 1);
  if (status.ok() && refused > 0) status = absl::InternalError(ToAbsl(why));
  return Annotate(status, "submitting");
}

absl::Status Fleet::PumpUntil(const std::function<bool()>& done, Nanos patience) {
  const Nanos end = NowMonotonic() + patience;
  while (!done()) {
    const Nanos now = NowMonotonic();
    if (now >= end) return absl::DeadlineExceededError("the patience is over");
    while (!due_.empty() && due_.top().at <= now) {
      const Due due = due_.top();
      due_.pop();
      lateness_.push_back(NowMonotonic() - due.at);
      workers_[due.worker]->Send();
      // Between 0.9 and 1.1 of the interval, from when it was due: lateness does not add up.
      const double share = 0.9 + 0.2 * random_.Uniform();
      due_.push({due.at + static_cast<Nanos>(share * static_cast<double>(options_.interval)),
                 due.worker});
    }
    poll(nullptr, 0, 1);
  }
  return absl::OkStatus();
}

void Fleet::PumpFor(Nanos duration) {
  const Nanos end = NowMonotonic() + duration;
  (void)PumpUntil([end] { return NowMonotonic() >= end; }, duration + kPatience);
}

absl::StatusOr<std::vector<uint64_t>> Fleet::CountPhases() {
  std::vector<uint64_t> phases(v1::NodePhase_ARRAYSIZE);
  v1::ListNodesRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "bench/1");
  while (true) {
    grpc::ClientContext context;
    v1::ListNodesReply reply;
    RETURN_IF_ERROR(FromGrpc(person_->ListNodes(&context, request, &reply)));
    for (const v1::NodeStatus& node : reply.nodes()) {
      ++phases[static_cast<size_t>(node.phase())];
      request.set_after_node_id(node.node_id());
    }
    if (reply.left_out() == 0) return phases;
  }
}

}  // namespace rackmark
