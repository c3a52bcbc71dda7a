#include "worker/daemon/leftovers.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include "common/log.h"
#include "common/shm_name.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

constexpr char kFormat[] = "rackmark-rank-1";  // first word of each file

}  // namespace

Leftovers::Leftovers(std::string folder, MachineFiles files)
    : folder_(std::move(folder)), files_(std::move(files)) {}

std::string Leftovers::PathOf(int pid) const { return absl::StrCat(folder_, "/", pid); }

absl::StatusOr<Leftovers> Leftovers::Open(std::string folder, MachineFiles files) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("create folder ", folder));
  Leftovers leftovers(std::move(folder), std::move(files));
  for (const auto& item : std::filesystem::directory_iterator(leftovers.folder_, error)) {
    const std::string name = item.path().filename().string();
    int pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    std::ifstream file(item.path());
    std::string format;
    Entry entry{};
    file >> format >> entry.start_ticks >> entry.lease_id >> entry.device;
    if (parsed.ec != std::errc() || pid <= 1 || !file || format != kFormat) {
      // Cut off while it was written: that rank's pipe has ended, it dies by itself.
      Log(LogLevel::kWarning, absl::StrCat("dropped unreadable rank file ", item.path().string()));
      std::error_code ignored;
      std::filesystem::remove(item.path(), ignored);
      continue;
    }
    file >> entry.segment;
    if (!IsSegmentName(entry.segment)) entry.segment.clear();
    leftovers.old_[pid] = entry;
  }
  if (error) return ErrnoStatus(error.value(), absl::StrCat("read folder ", leftovers.folder_));
  return leftovers;
}

absl::Status Leftovers::Add(int pid, uint64_t lease_id, uint32_t device,
                            const std::string& segment) {
  const auto start = ProcessStart(files_, pid);
  if (!start) return absl::OkStatus();  // over already: the reaping will say how
  std::ofstream file(PathOf(pid));
  file << kFormat << ' ' << *start << ' ' << lease_id << ' ' << device << ' ' << segment << '\n';
  file.close();
  if (!file) return absl::InternalError(absl::StrCat("cannot write ", PathOf(pid)));
  return absl::OkStatus();
}

void Leftovers::Remove(int pid) { unlink(PathOf(pid).c_str()); }

std::map<uint32_t, uint64_t> Leftovers::KillAndCheck() {
  std::map<uint32_t, uint64_t> held;
  for (auto it = old_.begin(); it != old_.end();) {
    const auto start = ProcessStart(files_, it->first);
    if (!start || *start != it->second.start_ticks) {
      // SIGKILL leaves no last words, to a rank and its daemon at once least of all.
      if (!it->second.segment.empty()) shm_unlink(it->second.segment.c_str());
      Remove(it->first);
      it = old_.erase(it);
      continue;
    }
    kill(-it->first, SIGKILL);
    kill(it->first, SIGKILL);
    held[it->second.device] = it->second.lease_id;
    ++it;
  }
  return held;
}

}  // namespace rackmark
