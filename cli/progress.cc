#include "cli/progress.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/exit_status.h"
#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

// The phases that a run goes through, in order; the track of the live view. Only a load whose rate
// is auto calibrates.
constexpr std::string_view kCalibrating = "calibrating";
constexpr std::array<std::string_view, 9> kTrack = {"starting",   "rendezvous", "preparing",
                                                    "warming up", kCalibrating, "measuring",
                                                    "verifying",  "draining",   "judging"};

// The run that work is being done on: the most advanced that has not ended.
const v1::RunStatus* ActiveRun(const v1::WatchJobReply& reply) {
  const v1::RunStatus* active = nullptr;
  for (const v1::RunStatus& run : reply.runs()) {
    if (run.phase() <= v1::RUN_PHASE_QUEUED || run.phase() >= v1::RUN_PHASE_ENDED) continue;
    // A run that is being judged no longer holds the gang; the one behind it is the news.
    if (active == nullptr || run.phase() < active->phase()) active = &run;
  }
  return active;
}

// "measuring" is the measured window and nothing else: the run is told to measure before its ranks
// warm up, and its ranks are done before it is told to drain.
std::string MeasuringWord(v1::RankPhase phase) {
  switch (phase) {
    case v1::RANK_PHASE_PREPARED:
    case v1::RANK_PHASE_WARMING: return "warming up";
    case v1::RANK_PHASE_CALIBRATING: return "calibrating";
    case v1::RANK_PHASE_MEASURING: return "measuring";
    case v1::RANK_PHASE_VERIFYING: return "verifying";
    case v1::RANK_PHASE_DONE: return "draining";
    default: return "running";  // its ranks have not been heard, or one of them is gone
  }
}

std::string Milliseconds(double ms) {
  return FormatDuration(static_cast<Nanos>(ms * static_cast<double>(kMillisecond)));
}

// The live figures that exist, each with its unit; missing ones are left out.
struct Figures {
  std::vector<std::string> speed;
  std::vector<std::string> load;
};

Figures FiguresOf(const v1::LiveFigures& live) {
  Figures out;
  if (live.has_output_tok_s()) {
    out.speed.push_back(absl::StrFormat("%.0f tok/s", live.output_tok_s()));
  }
  if (live.has_ttft_p50_ms()) {
    std::string ttft = absl::StrCat("TTFT p50 ", Milliseconds(live.ttft_p50_ms()));
    if (live.has_ttft_p95_ms()) {
      absl::StrAppend(&ttft, " p95 ", Milliseconds(live.ttft_p95_ms()));
    }
    out.speed.push_back(ttft);
  }
  if (live.has_requests_running()) {
    out.load.push_back(absl::StrFormat("%.0f running", live.requests_running()));
  }
  if (live.has_requests_waiting()) {
    out.load.push_back(absl::StrFormat("%.0f waiting", live.requests_waiting()));
  }
  if (live.has_requests_done()) {
    out.load.push_back(absl::StrCat(live.requests_done(), " done"));
  }
  if (live.has_kv_blocks_used()) {
    out.load.push_back(absl::StrFormat("%.0f KV blocks", live.kv_blocks_used()));
  }
  if (live.has_rss_bytes()) {
    out.load.push_back(absl::StrCat("memory ", FormatBytes(static_cast<double>(live.rss_bytes()))));
  }
  return out;
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

// Runs go one after another, but one that is being judged is not ended when the next begins.
std::string RunOf(const v1::WatchJobReply& reply) {
  const v1::RunStatus* active = ActiveRun(reply);
  uint32_t before = reply.job().runs_ended();
  for (const v1::RunStatus& run : reply.runs()) {
    const bool open = run.phase() > v1::RUN_PHASE_QUEUED && run.phase() < v1::RUN_PHASE_ENDED;
    if (open && active != nullptr && run.phase() > active->phase()) ++before;
  }
  const uint32_t total = reply.job().runs_total();
  return absl::StrCat("run ", std::min(before + 1, total), " of ", total);
}

std::string AttemptOf(const v1::RunStatus* run) {
  return run != nullptr && run->attempt() > 1 ? absl::StrCat(", attempt ", run->attempt()) : "";
}

// What stands behind the phase: why it waits, or what rank 0 says of itself.
std::string DetailOf(const v1::WatchJobReply& reply, const v1::RunStatus* run) {
  if (reply.job().phase() == v1::JOB_PHASE_ENDED) return VerdictText(reply.job().verdict());
  if (reply.job().phase() == v1::JOB_PHASE_QUEUED) {
    return EscapeControl(absl::StrJoin(reply.job().waiting_reasons(), "; "));
  }
  return run == nullptr ? "" : EscapeControl(run->note());
}

bool Measures(std::string_view phase) {
  return phase == "measuring" || phase == "calibrating" || phase == "warming up";
}

std::string Track(std::string_view phase, const LiveOptions& options) {
  std::vector<std::string_view> track;
  size_t width = 2;  // of the whole track: indent, words, spaces, brackets
  for (const std::string_view word : kTrack) {
    if (word == kCalibrating && !options.calibrates && phase != kCalibrating) continue;
    track.push_back(word);
    width += word.size() + 1;
  }
  const auto now = std::find(track.begin(), track.end(), phase);
  const bool fits = width + 1 <= static_cast<size_t>(std::max(0, options.width));
  // On a narrow terminal the track starts where the run is.
  const auto first = fits || now == track.end() ? track.begin() : now;
  std::string plain = " ";
  std::string styled = " ";
  for (auto word = first; word != track.end(); ++word) {
    absl::StrAppend(&plain, " ", word == now ? "[" : "", ToAbsl(*word), word == now ? "]" : "");
    absl::StrAppend(&styled, " ", word == now ? "\x1b[1m[" : "\x1b[2m", ToAbsl(*word),
                    word == now ? "]\x1b[0m" : "\x1b[0m");
  }
  return fits && options.style ? styled : FitLine(plain, options.width);
}

}  // namespace

std::string PhaseWord(const v1::WatchJobReply& reply) {
  if (reply.job().phase() == v1::JOB_PHASE_ENDED) return "ended";
  const v1::RunStatus* run = ActiveRun(reply);
  if (run != nullptr) {
    switch (run->phase()) {
      case v1::RUN_PHASE_PREPARING: return "preparing";
      case v1::RUN_PHASE_MEASURING: return MeasuringWord(run->rank_phase());
      case v1::RUN_PHASE_DRAINING: return "draining";
      case v1::RUN_PHASE_JUDGING: return "judging";
      default: break;
    }
  }
  switch (reply.lease_phase()) {
    case v1::LEASE_PHASE_STARTING: return "starting";
    case v1::LEASE_PHASE_RENDEZVOUS: return "rendezvous";
    case v1::LEASE_PHASE_RELEASING: return "releasing";
    case v1::LEASE_PHASE_ACTIVE: return "preparing";
    // Without a lease, an active job has just given it back; a queued one waits for its own.
    default: return reply.job().phase() == v1::JOB_PHASE_ACTIVE ? "releasing" : "placing";
  }
}

std::string PlainLine(const v1::WatchJobReply& reply, Nanos elapsed) {
  const std::string phase = PhaseWord(reply);
  const v1::RunStatus* run = ActiveRun(reply);
  std::string line = absl::StrFormat("[%6.1f s] %s, %s%s", static_cast<double>(elapsed) / 1e9,
                                     phase, RunOf(reply), AttemptOf(run));
  std::vector<std::string> parts;
  if (const std::string detail = DetailOf(reply, run); !detail.empty()) parts.push_back(detail);
  if (Measures(phase)) {
    const Figures figures = FiguresOf(reply.live());
    parts.insert(parts.end(), figures.speed.begin(), figures.speed.end());
    parts.insert(parts.end(), figures.load.begin(), figures.load.end());
  }
  if (!parts.empty()) absl::StrAppend(&line, ": ", Join(parts, ", "));
  return line;
}

std::vector<std::string> LiveLines(const v1::WatchJobReply& reply, Nanos elapsed,
                                   const LiveOptions& options) {
  const std::string phase = PhaseWord(reply);
  const v1::RunStatus* run = ActiveRun(reply);
  const std::string detail = DetailOf(reply, run);
  std::vector<std::string> lines;
  lines.push_back(
      FitLine(absl::StrFormat("%s  %s%s  %s%s  %.1f s", reply.job().name(), RunOf(reply),
                              AttemptOf(run), phase, detail.empty() ? "" : " (" + detail + ")",
                              static_cast<double>(elapsed) / 1e9),
              options.width));
  lines.push_back(Track(phase, options));
  const Figures figures = FiguresOf(reply.live());
  if (!figures.speed.empty()) {
    lines.push_back(FitLine("  " + Join(figures.speed, "   "), options.width));
  }
  if (!figures.load.empty()) {
    lines.push_back(FitLine("  " + Join(figures.load, "   "), options.width));
  }
  return lines;
}

std::string FitLine(std::string_view text, int columns) {
  std::string safe = EscapeControl(text);
  const size_t limit = columns > 0 ? static_cast<size_t>(columns) : 0;
  if (safe.size() <= limit) return safe;
  size_t cut = limit > 1 ? limit - 1 : 0;
  // Not through the middle of a UTF-8 character.
  while (cut > 0 && (static_cast<unsigned char>(safe[cut]) & 0xc0) == 0x80) --cut;
  safe.resize(cut);
  return limit > 0 ? safe + "~" : safe;
}

}  // namespace rackmark
