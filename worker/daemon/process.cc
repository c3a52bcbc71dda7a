#include "worker/daemon/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/program.h"

namespace rackmark {
namespace {

constexpr int kRankFd = 3;

// Closes what it holds unless released.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct ChildSetup {
  const char* program;
  char* const* arguments;
  int pipe_fd;
  int output_fd;
  int null_fd;
  pid_t parent;
};

// Between fork and exec: async-signal-safe calls only. All descriptors given are above kRankFd.
[[noreturn]] void RunChild(const ChildSetup& setup) {
  setpgid(0, 0);
  // A help only, not the guarantee (PROTOCOL 2): that is the end of file on the pipe. The rank
  // makes it a signal that leaves it time for its segment's name.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != setup.parent) _exit(127);
  ResetSignalsInChild();
  dup2(setup.null_fd, STDIN_FILENO);
  dup2(setup.output_fd, STDOUT_FILENO);
  dup2(setup.output_fd, STDERR_FILENO);
  dup2(setup.pipe_fd, kRankFd);
  close_range(kRankFd + 1, ~0U, 0);
  execv(setup.program, setup.arguments);
  constexpr char kMessage[] = "the rank program could not be executed\n";
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(127);
}

// A copy above kRankFd, so that dup2 in the child never overwrites one that it still needs.
int Raise(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, kRankFd + 7); }

class Processes : public ProcessRunner {
 public:
  Processes(RankPrograms programs, std::vector<std::string> arguments)
      : programs_(std::move(programs)), arguments_(std::move(arguments)) {}

  absl::StatusOr<RankProcess> Start(v1::DeviceKind kind, const std::string& segment) override {
    const bool gpu = kind == v1::DEVICE_KIND_GPU;
    const std::string& program = gpu ? programs_.gpu : programs_.cpu;
    if (access(program.c_str(), X_OK) != 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the program for ", gpu ? "GPU" : "CPU", " ranks, ", program, ": ", std::strerror(errno),
          gpu ? "; it is built where a CUDA toolkit and NCCL are found "
                "(RACKMARK_CUDA=ON says what is missing), and --gpu-rank-program names it"
              : "; --rank-program names it"));
    }
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      return ErrnoStatus(errno, "socketpair");
    }
    Fd ours(pair[0]), theirs(pair[1]);
    std::array<int, 2> output{};
    if (pipe2(output.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
    Fd output_read(output[0]), output_write(output[1]);
    const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const Fd high_pipe(Raise(theirs.get())), high_output(Raise(output_write.get())),
        high_null(Raise(null.get()));
    if (high_pipe.get() < 0 || high_output.get() < 0 || high_null.get() < 0) {
      return ErrnoStatus(errno, "descriptors for a rank");
    }
    fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    fcntl(output_read.get(), F_SETFL, O_NONBLOCK);

    std::vector<std::string> words = {program};
    words.insert(words.end(), arguments_.begin(), arguments_.end());
    words.insert(words.end(), {"--fd", std::to_string(kRankFd), "--segment", segment});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const ChildSetup setup{program.c_str(),   argv.data(),     high_pipe.get(),
                           high_output.get(), high_null.get(), getpid()};
    const pid_t pid = fork();
    if (pid < 0) return ErrnoStatus(errno, "fork");
    if (pid == 0) RunChild(setup);
    setpgid(pid, pid);  // in the child too: whichever comes first, a Kill finds the group
    return RankProcess{pid, ours.Release(), output_read.Release()};
  }

  void Kill(pid_t pid) override {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
  }

  std::optional<std::string> Reap(pid_t pid) override {
    siginfo_t info{};
    // Look first and leave it a zombie: the pid stays ours while its group is being killed.
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      return "unknown: not a child of this process";
    }
    if (info.si_pid == 0) return std::nullopt;
    kill(-pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
      const int number = WTERMSIG(status);
      return absl::StrCat("killed by signal ", number, " (", strsignal(number), ")");
    }
    return absl::StrCat("exit status ", WEXITSTATUS(status));
  }

 private:
  const RankPrograms programs_;
  const std::vector<std::string> arguments_;
};

}  // namespace

std::unique_ptr<ProcessRunner> RealProcesses(RankPrograms programs,
                                             std::vector<std::string> arguments) {
  return std::make_unique<Processes>(std::move(programs), std::move(arguments));
}

}  // namespace rackmark
