// What every main needs: a table of flags with help and nearest-word errors, orderly stop on
// signals, the folder that this program lies in, and a lock on a data folder. Owned by main; each
// class says which thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

// Flags are `--name value` or `--name=value`; a bool is `--name` alone. The targets hold the
// defaults before Parse and the values after it. Main's thread.
class Flags {
 public:
  // `usage`: what stands after the program's name, e.g. "--coordinator ENDPOINT [flags]".
  Flags(std::string_view program, std::string_view usage, std::string_view summary);

  void Add(std::string_view name, std::string* target, std::string_view help);
  void Add(std::string_view name, std::optional<std::string>* target, std::string_view help);
  void Add(std::string_view name, bool* target, std::string_view help);
  // May be given several times; the values gather in order.
  void Add(std::string_view name, std::vector<std::string>* target, std::string_view help);
  // min and max are both allowed.
  void Add(std::string_view name, int64_t* target, std::string_view help, int64_t min, int64_t max);
  void Add(std::string_view name, std::optional<int64_t>* target, std::string_view help,
           int64_t min, int64_t max);
  // "640", "64KiB", "1.5GiB": binary units only.
  void AddBytes(std::string_view name, uint64_t* target, std::string_view help);

  // INVALID_ARGUMENT: unknown flag (with the nearest valid one), missing or bad value. Words that
  // are no flags, and everything after "--", go to `words`; null = none are allowed.
  absl::Status Parse(const std::vector<std::string>& arguments, std::vector<std::string>* words);
  // For main: prints --help and --version to stdout and errors to stderr. Missing = go on; else
  // what main should return (kExitPass or kExitUsage).
  std::optional<int> ParseMain(int argc, char** argv, std::vector<std::string>* words = nullptr);
  std::string Help() const;

 private:
  using Target = std::variant<std::string*, std::optional<std::string>*, bool*, int64_t*,
                              std::optional<int64_t>*, uint64_t*, std::vector<std::string>*>;
  struct Flag {
    std::string name;
    Target target;
    std::string help;
    int64_t min = 0;
    int64_t max = 0;
  };
  const Flag* Find(std::string_view name) const;
  absl::Status Unknown(std::string_view name) const;

  std::string program_;
  std::string usage_;
  std::string summary_;
  std::vector<Flag> flags_;
};

// "640", "64KiB", "1.5GiB" -> bytes.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// SIGTERM, SIGINT, the end of a lifeline pipe, or Trigger: whichever comes first, once. Install it
// before any thread starts (the signals are blocked in all threads; a child process must unblock
// them: ResetSignalsInChild). Wait and Trigger from any thread.
class StopSignal {
 public:
  // `lifeline_fd`: end of file on it means that our parent is gone. Not owned.
  static absl::StatusOr<std::unique_ptr<StopSignal>> Install(std::optional<int> lifeline_fd);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The cause, in words ("SIGTERM", "the parent is gone"); missing if `timeout` passes first.
  // A negative timeout waits for ever. Stays set once it is.
  std::optional<std::string> Wait(Nanos timeout);
  void Trigger(std::string_view cause);
  // After Wait has told of a stop: whether a further signal has come since the last call.
  bool Again();
  // For a poll with other descriptors: readable while a signal has come that neither Wait nor Again
  // has taken. Not to be read.
  int signal_fd() const { return signal_fd_; }

 private:
  StopSignal(int signal_fd, int event_fd, std::optional<int> lifeline_fd);
  void SetCause(std::string_view cause);

  const int signal_fd_;
  const int event_fd_;
  const std::optional<int> lifeline_fd_;
  mutable std::mutex mutex_;
  std::string cause_;
};

// After fork, before exec: the default mask and handlers. Async-signal-safe.
void ResetSignalsInChild();

// Folder of /proc/self/exe: where the other programs of this build lie.
absl::StatusOr<std::string> ProgramFolder();

// As many open files as this process may have, instead of the 1024 that it begins with nearly
// everywhere: a connection is a file. Returns how many; children inherit it.
uint64_t RaiseFileLimit();

// An exclusive lock on <folder>/lock, held until destruction or death. Creates the folder (0700).
class FolderLock {
 public:
  // ALREADY_EXISTS if another process holds it: main returns kExitInUse.
  static absl::StatusOr<std::unique_ptr<FolderLock>> Take(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace rackmark
