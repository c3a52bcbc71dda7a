// Ranks of a former incarnation of this daemon (it was killed): one small file per live rank in the
// data folder says pid, start time, lease, device and segment, so that a new daemon neither trusts
// a reused pid nor frees a device that is still in use. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/status.h"
#include "worker/device/machine_files.h"

namespace rackmark {

class Leftovers {
 public:
  // Reads `folder` (created if absent); what it finds there belongs to a former incarnation.
  static absl::StatusOr<Leftovers> Open(std::string folder, MachineFiles files);

  // A rank of ours began or was reaped.
  absl::Status Add(int pid, uint64_t lease_id, uint32_t device, const std::string& segment);
  void Remove(int pid);

  // Kills those that still live, drops those that do not and removes the shared-memory segments
  // that they left. Answers the devices still held, each with its lease. Called until it answers
  // empty.
  std::map<uint32_t, uint64_t> KillAndCheck();

 private:
  struct Entry {
    uint64_t start_ticks;
    uint64_t lease_id;
    uint32_t device;
    std::string segment;  // empty: none, or the file is of an older build
  };
  Leftovers(std::string folder, MachineFiles files);
  std::string PathOf(int pid) const;

  std::string folder_;
  MachineFiles files_;
  std::map<int, Entry> old_;
};

}  // namespace rackmark
