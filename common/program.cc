#include "common/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <utility>

#include "common/exit_codes.h"
#include "common/text.h"
#include "common/version.h"

namespace rackmark {
namespace {

absl::Status BadValue(std::string_view name, std::string_view value, std::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", ToAbsl(name), " '", EscapeControl(value), "': ", ToAbsl(wanted)));
}

absl::StatusOr<int64_t> ParseInteger(std::string_view name, std::string_view value, int64_t min,
                                     int64_t max) {
  int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < min || number > max) {
    return BadValue(name, value, absl::StrCat("write a whole number from ", min, " to ", max));
  }
  return number;
}

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 5> kUnits = {{
      {"KiB", 0x1p10},
      {"MiB", 0x1p20},
      {"GiB", 0x1p30},
      {"TiB", 0x1p40},
      {"B", 1.0},
  }};
  double factor = 1;
  std::string_view digits = text;
  for (const auto& [unit, size] : kUnits) {
    if (digits.size() > unit.size() && digits.substr(digits.size() - unit.size()) == unit) {
      digits.remove_suffix(unit.size());
      factor = size;
      break;
    }
  }
  const std::string copy(digits);
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  const bool plain = copy.find_first_not_of("0123456789.") == std::string::npos;
  if (copy.empty() || !plain || *end != '\0' || number * factor > 0x1p62) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", EscapeControl(text), "' is no size; write 640, 64KiB, 1.5GiB"));
  }
  return static_cast<uint64_t>(std::llround(number * factor));
}

Flags::Flags(std::string_view program, std::string_view usage, std::string_view summary)
    : program_(program), usage_(usage), summary_(summary) {}

void Flags::Add(std::string_view name, std::string* target, std::string_view help) {
  flags_.push_back({std::string(name), target, std::string(help)});
}
void Flags::Add(std::string_view name, std::optional<std::string>* target, std::string_view help) {
  flags_.push_back({std::string(name), target, std::string(help)});
}
void Flags::Add(std::string_view name, bool* target, std::string_view help) {
  flags_.push_back({std::string(name), target, std::string(help)});
}
void Flags::Add(std::string_view name, std::vector<std::string>* target, std::string_view help) {
  flags_.push_back({std::string(name), target, std::string(help)});
}
void Flags::Add(std::string_view name, int64_t* target, std::string_view help, int64_t min,
                int64_t max) {
  flags_.push_back({std::string(name), target, std::string(help), min, max});
}
void Flags::Add(std::string_view name, std::optional<int64_t>* target, std::string_view help,
                int64_t min, int64_t max) {
  flags_.push_back({std::string(name), target, std::string(help), min, max});
}
void Flags::AddBytes(std::string_view name, uint64_t* target, std::string_view help) {
  flags_.push_back({std::string(name), target, std::string(help)});
}

const Flags::Flag* Flags::Find(std::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

absl::Status Flags::Unknown(std::string_view name) const {
  std::vector<std::string> names = {"help", "version"};
  for (const Flag& flag : flags_) names.push_back(flag.name);
  const std::string near = Nearest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag --", EscapeControl(name),
                   near.empty() ? "; see --help" : absl::StrCat("; did you mean --", near, "?")));
}

namespace {

struct Setter {
  std::string_view name;
  std::string_view value;
  int64_t min;
  int64_t max;

  absl::Status operator()(std::string* target) const {
    *target = std::string(value);
    return absl::OkStatus();
  }
  absl::Status operator()(std::optional<std::string>* target) const {
    *target = std::string(value);
    return absl::OkStatus();
  }
  absl::Status operator()(std::vector<std::string>* target) const {
    target->emplace_back(value);
    return absl::OkStatus();
  }
  absl::Status operator()(bool*) const { return BadValue(name, value, "it takes no value"); }
  absl::Status operator()(int64_t* target) const {
    ASSIGN_OR_RETURN(*target, ParseInteger(name, value, min, max));
    return absl::OkStatus();
  }
  absl::Status operator()(std::optional<int64_t>* target) const {
    ASSIGN_OR_RETURN(*target, ParseInteger(name, value, min, max));
    return absl::OkStatus();
  }
  absl::Status operator()(uint64_t* target) const {
    auto bytes = ParseBytes(value);
    if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("--", ToAbsl(name)));
    *target = *bytes;
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status Flags::Parse(const std::vector<std::string>& arguments,
                          std::vector<std::string>* words) {
  bool only_words = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--" && !only_words) {
      only_words = true;
      continue;
    }
    if (only_words || argument.substr(0, 2) != "--") {
      if (words == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", EscapeControl(argument), "' is not expected here; see --help"));
      }
      words->emplace_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(2, equals - (equals == argument.npos ? 0 : 2));
    const Flag* flag = Find(name);
    if (flag == nullptr) return Unknown(name);
    if (equals == argument.npos && std::holds_alternative<bool*>(flag->target)) {
      *std::get<bool*>(flag->target) = true;
      continue;
    }
    if (equals == argument.npos && i + 1 == arguments.size()) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " needs a value"));
    }
    const std::string_view value =
        equals == argument.npos ? std::string_view(arguments[++i]) : argument.substr(equals + 1);
    RETURN_IF_ERROR(std::visit(Setter{flag->name, value, flag->min, flag->max}, flag->target));
  }
  return absl::OkStatus();
}

std::optional<int> Flags::ParseMain(int argc, char** argv, std::vector<std::string>* words) {
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h") {
      std::fputs(Help().c_str(), stdout);
      return kExitPass;
    }
    if (argument == "--version") {
      std::printf("%s %.*s %.*s\n", program_.c_str(), static_cast<int>(Version().size()),
                  Version().data(), static_cast<int>(GitCommit().size()), GitCommit().data());
      return kExitPass;
    }
  }
  const absl::Status status = Parse(arguments, words);
  if (status.ok()) return std::nullopt;
  std::fprintf(stderr, "%s: %s\n", program_.c_str(), std::string(status.message()).c_str());
  return kExitUsage;
}

std::string Flags::Help() const {
  std::string out = absl::StrCat(program_, " ", usage_, "\n", summary_, "\n\n");
  const auto left_of = [](const Flag& flag) {
    const bool is_switch = std::holds_alternative<bool*>(flag.target);
    return absl::StrCat("  --", flag.name, is_switch ? "" : " VALUE");
  };
  size_t width = 24;
  for (const Flag& flag : flags_) width = std::max(width, left_of(flag).size());
  const auto column = [width](std::string left) {
    left.resize(width + 2, ' ');
    return left;
  };
  for (const Flag& flag : flags_) {
    out += absl::StrCat(column(left_of(flag)), flag.help);
    if (const auto* text = std::get_if<std::string*>(&flag.target); text && !(*text)->empty()) {
      out += absl::StrCat(" [", **text, "]");
    } else if (const auto* number = std::get_if<int64_t*>(&flag.target)) {
      out += absl::StrCat(" [", **number, "]");
    } else if (const auto* bytes = std::get_if<uint64_t*>(&flag.target)) {
      out += absl::StrCat(" [", FormatBytes(static_cast<double>(**bytes)), "]");
    }
    out += "\n";
  }
  return absl::StrCat(out, column("  --version"), "print the version and end\n", column("  --help"),
                      "print this and end\n");
}

StopSignal::StopSignal(int signal_fd, int event_fd, std::optional<int> lifeline_fd)
    : signal_fd_(signal_fd), event_fd_(event_fd), lifeline_fd_(lifeline_fd) {}

StopSignal::~StopSignal() {
  close(signal_fd_);
  close(event_fd_);
}

absl::StatusOr<std::unique_ptr<StopSignal>> StopSignal::Install(std::optional<int> lifeline_fd) {
  const sigset_t set = StopSet();
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return ErrnoStatus(error, "block the stop signals");
  }
  if (lifeline_fd && fcntl(*lifeline_fd, F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoStatus(errno, absl::StrCat("lifeline descriptor ", *lifeline_fd));
  }
  const int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) return ErrnoStatus(errno, "signalfd");
  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) {
    const int error = errno;
    close(signal_fd);
    return ErrnoStatus(error, "eventfd");
  }
  return std::unique_ptr<StopSignal>(new StopSignal(signal_fd, event_fd, lifeline_fd));
}

void StopSignal::SetCause(std::string_view cause) {
  std::lock_guard lock(mutex_);
  if (cause_.empty()) cause_ = std::string(cause);
  // Never read back: whoever waits later sees it readable too.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(event_fd_, &one, sizeof one);
}

bool StopSignal::Again() {
  signalfd_siginfo info{};
  return read(signal_fd_, &info, sizeof info) == sizeof info;
}

void StopSignal::Trigger(std::string_view cause) { SetCause(cause); }

std::optional<std::string> StopSignal::Wait(Nanos timeout) {
  const Nanos deadline = SystemClock().Monotonic() + timeout;
  while (true) {
    std::array<pollfd, 3> fds = {
        {{event_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}, {lifeline_fd_.value_or(-1), POLLIN, 0}}};
    int wait_ms = -1;
    if (timeout >= 0) {
      const Nanos left = std::max<Nanos>(0, deadline - SystemClock().Monotonic());
      wait_ms =
          static_cast<int>(std::min<Nanos>((left + kMillisecond - 1) / kMillisecond, INT_MAX));
    }
    if (const int n = poll(fds.data(), fds.size(), wait_ms); n == 0) return std::nullopt;
    if (fds[0].revents != 0) {
      std::lock_guard lock(mutex_);
      return cause_;
    }
    if (signalfd_siginfo info{};
        fds[1].revents != 0 && read(signal_fd_, &info, sizeof info) == sizeof info) {
      SetCause(info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
    std::array<char, 256> ignored{};
    if (fds[2].revents != 0) {
      const ssize_t n = read(*lifeline_fd_, ignored.data(), ignored.size());
      if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) SetCause("the parent is gone");
    }
  }
}

void ResetSignalsInChild() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

uint64_t RaiseFileLimit() {
  rlimit files{};
  RACKMARK_CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
  const rlim_t before = std::exchange(files.rlim_cur, files.rlim_max);
  return setrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : before;
}

absl::StatusOr<std::string> ProgramFolder() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return ErrnoStatus(error.value(), "/proc/self/exe");
  return path.parent_path().string();
}

absl::StatusOr<std::unique_ptr<FolderLock>> FolderLock::Take(const std::string& folder) {
  std::error_code error;
  const bool created = std::filesystem::create_directories(folder, error);
  // Job files, labels and what ranks wrote are nobody else's; a folder that was there is its
  // owner's.
  if (created) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("create folder ", folder));
  const std::string path = folder + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    close(fd);
    if (reason != EWOULDBLOCK) return ErrnoStatus(reason, path);
    return absl::AlreadyExistsError(absl::StrCat(
        "data folder ", folder, " is in use by another process; stop it or use another --data"));
  }
  return std::unique_ptr<FolderLock>(new FolderLock(fd));
}

FolderLock::~FolderLock() { close(fd_); }

}  // namespace rackmark
