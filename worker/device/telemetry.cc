#include "worker/device/telemetry.h"

#include <unistd.h>

#include <string>
#include <utility>

namespace rackmark {
namespace {

std::optional<ProcessStat> StatOf(const MachineFiles& files, const std::string& pid) {
  const auto text = files.Read("/proc/" + pid + "/stat");
  if (!text) return std::nullopt;
  const auto stat = ParseProcessStat(*text);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return std::nullopt;
  return stat;
}

}  // namespace

Telemetry::Telemetry(MachineFiles files, Nanos interval)
    : files_(std::move(files)), interval_(interval) {}

void Telemetry::Reset() {
  first_ = true;
  due_ = 0;
  last_cpu_.reset();
}

std::vector<TelemetryPoint> Telemetry::Tick(Nanos now) {
  std::vector<TelemetryPoint> points;
  if (!first_ && now < due_) return points;
  const auto add = [&](SeriesId id, double value) { points.push_back({id, now, value}); };
  if (!first_) add(SeriesId::kTickLate, static_cast<double>(now - due_) / double{kSecond});
  due_ = first_ ? now + interval_ : due_ + ((now - due_) / interval_ + 1) * interval_;
  first_ = false;

  if (const auto text = files_.Read("/proc/meminfo")) {
    if (const auto memory = ParseMemInfo(*text)) {
      add(SeriesId::kHostMemoryUsed,
          static_cast<double>(memory->total_bytes) - static_cast<double>(memory->available_bytes));
    }
  }
  if (const auto text = files_.Read("/proc/stat")) {
    const auto cpu = ParseCpuTicks(*text);
    if (cpu && last_cpu_ && cpu->total > last_cpu_->total && cpu->busy >= last_cpu_->busy) {
      add(SeriesId::kHostCpuBusy, static_cast<double>(cpu->busy - last_cpu_->busy) /
                                      static_cast<double>(cpu->total - last_cpu_->total));
    }
    last_cpu_ = cpu;
  }
  if (const auto self = StatOf(files_, "self")) {
    const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    add(SeriesId::kDaemonCpu, static_cast<double>(self->cpu_ticks) / ticks_per_second);
  }
  if (const auto text = files_.Read("/proc/net/dev")) {
    if (const auto bytes = ParseNetDev(*text)) {
      add(SeriesId::kNetworkReceived, static_cast<double>(bytes->received));
      add(SeriesId::kNetworkSent, static_cast<double>(bytes->sent));
    }
  }
  return points;
}

std::optional<uint64_t> ProcessRss(const MachineFiles& files, int pid) {
  const auto stat = StatOf(files, std::to_string(pid));
  if (!stat) return std::nullopt;
  return stat->rss_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

std::optional<uint64_t> ProcessStart(const MachineFiles& files, int pid) {
  const auto stat = StatOf(files, std::to_string(pid));
  if (!stat) return std::nullopt;
  return stat->start_ticks;
}

bool DumpsCore(const MachineFiles& files, int pid) {
  const auto status = files.Read(absl::StrCat("/proc/", pid, "/status"));
  return status && status->find("\nCoreDumping:\t1\n") != std::string::npos;
}

}  // namespace rackmark
