#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace rackmark {
namespace {

// A file action must not overwrite a descriptor that a later one still copies, so both are copied
// out of the way first.
constexpr int kOutOfTheWay = 16;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

class SpawnParts {
 public:
  SpawnParts() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnParts() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnParts(const SpawnParts&) = delete;
  SpawnParts& operator=(const SpawnParts&) = delete;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

void SetAttributes(posix_spawnattr_t* attributes) {
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(attributes, &none);
  posix_spawnattr_setsigdefault(attributes, &defaults);
  posix_spawnattr_setpgroup(attributes, 0);
  posix_spawnattr_setflags(
      attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
}

}  // namespace

absl::StatusOr<pid_t> StartChild(const ChildOptions& options) {
  const Descriptor lifeline(options.lifeline_fd);
  const Descriptor ready(options.ready_fd.value_or(-1));
  if (lifeline.get() < 0 || (options.ready_fd && ready.get() < 0)) {
    return ErrnoStatus(errno, "copy a descriptor for a child");
  }
  SpawnParts parts;
  const char* log = options.log_file.c_str();
  posix_spawn_file_actions_addopen(&parts.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&parts.actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&parts.actions, 1, 2);
  posix_spawn_file_actions_adddup2(&parts.actions, lifeline.get(), kChildLifelineFd);
  if (options.ready_fd) {
    posix_spawn_file_actions_adddup2(&parts.actions, ready.get(), kChildReadyFd);
  }
  SetAttributes(&parts.attributes);
  std::vector<std::string> words = options.arguments;
  words.insert(words.begin(), options.program);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, options.program.c_str(), &parts.actions, &parts.attributes,
                                argv.data(), environ);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("start ", options.program));
  return pid;
}

}  // namespace rackmark
