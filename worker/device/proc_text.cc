#include "worker/device/proc_text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace rackmark {
namespace {

// The next line, without its end; `text` moves behind it.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return line;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  size_t start = 0;
  while ((start = line.find_first_not_of(" \t", start)) != line.npos) {
    const size_t end = std::min(line.find_first_of(" \t", start), line.size());
    words.push_back(line.substr(start, end - start));
    start = end;
  }
  return words;
}

std::optional<uint64_t> Number(std::string_view word) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) return std::nullopt;
  return value;
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// What stands behind "key" and ':' on the first such line of /proc/cpuinfo.
std::optional<std::string_view> CpuInfoField(std::string_view cpuinfo, std::string_view key) {
  while (!cpuinfo.empty()) {
    const std::string_view line = TakeLine(&cpuinfo);
    const size_t colon = line.find(':');
    if (colon == line.npos || !StartsWith(line, key)) continue;
    if (line.substr(key.size(), colon - key.size()).find_first_not_of(" \t") != line.npos) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    if (start != line.npos) return line.substr(start);
  }
  return std::nullopt;
}

}  // namespace

std::optional<MemoryInfo> ParseMemInfo(std::string_view meminfo) {
  std::optional<uint64_t> total;
  std::optional<uint64_t> available;
  while (!meminfo.empty()) {
    const std::vector<std::string_view> words = Words(TakeLine(&meminfo));
    if (words.size() != 3 || words[2] != "kB") continue;
    if (words[0] == "MemTotal:") total = Number(words[1]);
    if (words[0] == "MemAvailable:") available = Number(words[1]);
  }
  if (!total || !available) return std::nullopt;
  return MemoryInfo{*total * 1024, *available * 1024};
}

std::optional<CpuTicks> ParseCpuTicks(std::string_view proc_stat) {
  const std::vector<std::string_view> words = Words(TakeLine(&proc_stat));
  // cpu user nice system idle iowait irq softirq steal; guest time is inside user already.
  if (words.size() < 9 || words[0] != "cpu") return std::nullopt;
  CpuTicks ticks{0, 0};
  for (size_t i = 1; i <= 8; ++i) {
    const std::optional<uint64_t> value = Number(words[i]);
    if (!value) return std::nullopt;
    ticks.total += *value;
    if (i != 4 && i != 5) ticks.busy += *value;
  }
  return ticks;
}

std::optional<NetworkBytes> ParseNetDev(std::string_view net_dev) {
  NetworkBytes sum{0, 0};
  bool any = false;
  while (!net_dev.empty()) {
    const std::string_view line = TakeLine(&net_dev);
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;
    const std::vector<std::string_view> words = Words(line.substr(colon + 1));
    if (words.size() < 16) return std::nullopt;
    const std::optional<uint64_t> received = Number(words[0]);
    const std::optional<uint64_t> sent = Number(words[8]);
    if (!received || !sent) return std::nullopt;
    sum.received += *received;
    sum.sent += *sent;
    any = true;
  }
  if (!any) return std::nullopt;
  return sum;
}

std::optional<ProcessStat> ParseProcessStat(std::string_view pid_stat) {
  // The name, in parentheses, may hold anything, ") R 1" too: what counts follows the last ')'.
  const size_t close = pid_stat.rfind(')');
  if (close == pid_stat.npos) return std::nullopt;
  const std::vector<std::string_view> words = Words(pid_stat.substr(close + 1));
  constexpr size_t kState = 0, kUser = 11, kSystem = 12, kStart = 19, kRss = 21;
  if (words.size() <= kRss || words[kState].size() != 1) return std::nullopt;
  const auto user = Number(words[kUser]);
  const auto system = Number(words[kSystem]);
  const auto start = Number(words[kStart]);
  const auto rss = Number(words[kRss]);
  if (!user || !system || !start || !rss) return std::nullopt;
  return ProcessStat{words[kState][0], *user + *system, *start, *rss};
}

std::optional<std::string> ParseOsName(std::string_view os_release) {
  constexpr std::string_view kKey = "PRETTY_NAME=";
  while (!os_release.empty()) {
    std::string_view line = TakeLine(&os_release);
    if (!StartsWith(line, kKey)) continue;
    line.remove_prefix(kKey.size());
    if (line.size() >= 2 && line.front() == '"' && line.back() == '"') {
      line = line.substr(1, line.size() - 2);
    }
    if (!line.empty()) return std::string(line);
  }
  return std::nullopt;
}

std::optional<std::string> ParseCpuModel(std::string_view cpuinfo) {
  if (auto model = CpuInfoField(cpuinfo, "model name")) return std::string(*model);
  // Arm kernels give no name but numbers.
  const auto implementer = CpuInfoField(cpuinfo, "CPU implementer");
  const auto part = CpuInfoField(cpuinfo, "CPU part");
  if (!implementer || !part) return std::nullopt;
  return "implementer " + std::string(*implementer) + " part " + std::string(*part);
}

std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo) {
  static constexpr std::array<std::string_view, 16> kWanted = {
      "sse4_2",   "avx",         "f16c",        "fma",         "avx2",     "avx512f",
      "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile",
      "amx_bf16", "amx_int8",    "asimd",       "sve"};
  auto field = CpuInfoField(cpuinfo, "flags");
  if (!field) field = CpuInfoField(cpuinfo, "Features");
  std::vector<std::string> found;
  if (!field) return found;
  const std::vector<std::string_view> all = Words(*field);
  for (std::string_view flag : kWanted) {
    if (std::find(all.begin(), all.end(), flag) != all.end()) found.emplace_back(flag);
  }
  return found;
}

}  // namespace rackmark
