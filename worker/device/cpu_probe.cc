#include "worker/device/cpu_probe.h"

#include <sched.h>

#include <algorithm>
#include <charconv>

#include "common/sha256.h"
#include "common/version.h"
#include "worker/device/proc_text.h"

namespace rackmark {
namespace {

// The cgroup's bound, if it has one; a container's memory is that, not the host's.
std::optional<uint64_t> CgroupMemory(const MachineFiles& files) {
  const auto text = files.ReadLine("/sys/fs/cgroup/memory.max");
  if (!text) return std::nullopt;
  uint64_t value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (parsed.ec != std::errc() || value == 0) return std::nullopt;  // "max"
  return value;
}

std::optional<uint64_t> UsableMemory(const MachineFiles& files) {
  std::optional<uint64_t> bytes;
  if (const auto text = files.Read("/proc/meminfo")) {
    if (const auto info = ParseMemInfo(*text)) bytes = info->total_bytes;
  }
  const auto bound = CgroupMemory(files);
  if (bytes && bound) return std::min(*bytes, *bound);
  return bytes ? bytes : bound;
}

v1::Environment ProbeEnvironment(const MachineFiles& files, size_t cpu_count) {
  v1::Environment environment;
  if (const auto text = files.Read("/etc/os-release")) {
    environment.set_os(ParseOsName(*text).value_or(""));
  }
  environment.set_kernel(files.ReadLine("/proc/sys/kernel/osrelease").value_or(""));
  auto& more = *environment.mutable_more();
  if (const auto text = files.Read("/proc/cpuinfo")) {
    environment.set_cpu_model(ParseCpuModel(*text).value_or(""));
    std::string flags;
    for (const std::string& flag : ParseCpuFlags(*text)) flags += (flags.empty() ? "" : " ") + flag;
    if (!flags.empty()) more["cpu_flags"] = flags;
  }
  environment.set_cpu_count(static_cast<uint32_t>(cpu_count));
  if (const auto bytes = UsableMemory(files)) environment.set_memory_bytes(*bytes);
  environment.set_rackmark_version(std::string(Version()));
  environment.set_git_commit(std::string(GitCommit()));
  environment.set_compiler(std::string(Compiler()));
  // What else changes a result on the same machine.
  const std::pair<const char*, const char*> facts[] = {
      {"cpu_governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"},
      {"smt_active", "/sys/devices/system/cpu/smt/active"},
      {"numa_nodes", "/sys/devices/system/node/online"},
      {"transparent_hugepages", "/sys/kernel/mm/transparent_hugepage/enabled"},
      {"cgroup_cpu_max", "/sys/fs/cgroup/cpu.max"},
  };
  for (const auto& [name, path] : facts) {
    if (const auto value = files.ReadLine(path)) more[name] = *value;
  }
  return environment;
}

// CPUs of slot i: an equal part where there are enough, else one, in turn.
void AssignCpus(const std::vector<uint32_t>& cpus, uint32_t slot, uint32_t slots, v1::Device* out) {
  const size_t n = cpus.size();
  if (n == 0) return;
  if (slots > n) {
    out->add_cpus(cpus[slot % n]);
    return;
  }
  for (size_t i = slot * n / slots; i < (slot + 1) * n / slots; ++i) out->add_cpus(cpus[i]);
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return ErrnoStatus(errno, "sched_getaffinity");
  std::vector<uint32_t> cpus;
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::string HostId(const MachineFiles& files, const std::string& boot_id) {
  const std::string machine = files.ReadLine("/etc/machine-id").value_or("");
  return Sha256Hex(absl::StrCat("rackmark host\n", machine, "\n", boot_id)).substr(0, 32);
}

absl::StatusOr<v1::NodeInfo> ProbeNode(const MachineFiles& files, const ProbeOptions& options) {
  v1::NodeInfo node;
  const auto name = options.name ? options.name : files.ReadLine("/proc/sys/kernel/hostname");
  if (!name || name->empty()) {
    return absl::FailedPreconditionError("this machine has no host name; give it one with --name");
  }
  node.set_name(*name);
  const auto boot_id = files.ReadLine("/proc/sys/kernel/random/boot_id");
  if (!boot_id) return absl::FailedPreconditionError("the kernel gives no boot_id");
  node.set_boot_id(*boot_id);
  node.set_host_id(options.host_id ? *options.host_id : HostId(files, *boot_id));
  *node.mutable_environment() = ProbeEnvironment(files, options.cpus.size());
  if (const auto bytes = files.FreeBytes("/dev/shm")) node.set_shm_free_bytes(*bytes);

  const uint32_t slots =
      options.cpu_slots.value_or(static_cast<uint32_t>(std::max<size_t>(1, options.cpus.size())));
  if (slots == 0 || slots > kCpuSlotsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(slots, " CPU slots; a node has 1 to ", kCpuSlotsMax));
  }
  const auto memory = UsableMemory(files);
  for (uint32_t i = 0; i < slots; ++i) {
    v1::Device* device = node.add_devices();
    device->set_index(i);
    device->set_kind(v1::DEVICE_KIND_CPU);
    device->set_model(node.environment().cpu_model());
    if (memory) device->set_memory_bytes(*memory / slots);
    AssignCpus(options.cpus, i, slots, device);
  }
  return node;
}

}  // namespace rackmark
