// What this machine is: its name, its CPU-slot devices and the facts that make a result repeatable.
// Called once at the daemon's start; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/cluster.pb.h"
#include "worker/device/machine_files.h"

namespace rackmark {

constexpr uint32_t kCpuSlotsMax = 1024;

struct ProbeOptions {
  std::optional<std::string> name = std::nullopt;  // default: the host name
  std::optional<std::string> host_id =
      std::nullopt;  // default: HostId; tests play several hosts with it
  std::optional<uint32_t> cpu_slots = std::nullopt;  // default: one per usable CPU
  std::vector<uint32_t> cpus = {};                   // logical CPUs to use; see UsableCpus
};

// Logical CPUs that this process may run on, ascending.
absl::StatusOr<std::vector<uint32_t>> UsableCpus();

// Equal for processes of one boot of one machine, and says nothing about it: a hash of machine-id
// and boot_id.
std::string HostId(const MachineFiles& files, const std::string& boot_id);

// Error only if the machine cannot be named at all; unreadable facts are missing.
absl::StatusOr<v1::NodeInfo> ProbeNode(const MachineFiles& files, const ProbeOptions& options);

}  // namespace rackmark
