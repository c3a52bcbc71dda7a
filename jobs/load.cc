#include "jobs/load.h"

#include "common/text.h"
#include "jobs/bounds.h"

namespace rackmark {
namespace {

using namespace bounds;

const std::vector<std::string>& TraceSettings() {
  static const std::vector<std::string> keys = {"time_scale", "request_limit", "length_scale",
                                                "length_max"};
  return keys;
}

// 32, or {min: 8, max: 64}.
v1::IntRange ReadRange(const Fields& fields, std::string_view key) {
  v1::IntRange range;
  const YamlNode* node = fields.Find(key);
  if (node == nullptr || node->kind != YamlNode::Kind::kMap) {
    const uint32_t value = fields.Small(key, {1, kTokensMax, std::nullopt});
    range.set_min(value);
    range.set_max(value);
    return range;
  }
  const Fields ends = fields.Map(key, {"min", "max"});
  range.set_min(ends.Small("min", {1, kTokensMax, std::nullopt}));
  range.set_max(ends.Small("max", {1, kTokensMax, std::nullopt}));
  if (range.min() > range.max()) {
    ends.Problem("max",
                 absl::StrCat("max ", range.max(), " is below min ", range.min(), "; swap them"));
  }
  return range;
}

void ReadRate(const Fields& load, v1::Load& out) {
  const YamlNode* rate = load.Find("rate");
  if (rate == nullptr || rate->text == "auto") {
    v1::AutoRate& automatic = *out.mutable_auto_();
    automatic.set_share(load.Percent("auto_share", {kShareMin, kShareMax, 0.6}));
    automatic.set_calibration_ns(
        load.Duration("calibration", {kPhaseMin, kWarmupMax, 3 * kSecond}));
    return;
  }
  out.set_requests_per_second(load.Rate("rate", {kRateMin, kRateMax, std::nullopt}));
  for (const char* key : {"auto_share", "calibration"}) {
    if (!load.Has(key)) continue;
    load.Problem(key, "means nothing with a fixed rate; remove it or write rate: auto");
  }
}

void ReadDrawn(const Fields& load, v1::Load& out) {
  for (const std::string& key : TraceSettings()) {
    if (!load.Has(key)) continue;
    load.Problem(key,
                 "means nothing without a trace; write trace: FILE, or --set load.trace=FILE, or "
                 "remove it");
  }
  out.set_arrivals(load.Word("arrivals", {"poisson", "constant"}, "poisson") == "poisson"
                       ? v1::ARRIVAL_PROCESS_POISSON
                       : v1::ARRIVAL_PROCESS_CONSTANT);
  ReadRate(load, out);
  out.set_duration_ns(load.Duration("duration", {kPhaseMin, kPhaseMax, 20 * kSecond}));
  *out.mutable_prompt_tokens() = ReadRange(load, "prompt_tokens");
  *out.mutable_output_tokens() = ReadRange(load, "output_tokens");
}

std::string LastPart(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return std::string(path.substr(slash == path.npos ? 0 : slash + 1)).substr(0, kTraceNameMax);
}

void ReadTraceSettings(const Fields& load, std::string_view path, v1::Load& out) {
  for (const std::string& key : KeysThatATraceReplaces()) {
    if (!load.Has(key)) continue;
    load.Problem(key,
                 "means nothing beside a trace, which has its own arrivals and lengths; "
                 "remove it or the trace");
  }
  v1::TraceLoad& trace = *out.mutable_trace();
  trace.set_name(LastPart(path));
  trace.set_time_scale(load.Number("time_scale", {kScaleMin, kScaleMax, 1.0}));
  trace.set_length_scale(load.Number("length_scale", {kScaleMin, kScaleMax, 1.0}));
  if (load.Has("length_max")) {
    trace.set_length_max(load.Small("length_max", {2, 2 * kTokensMax, std::nullopt}));
  }
  if (load.Has("request_limit")) {
    trace.set_request_limit(load.Integer("request_limit", {1, kRequestLimitMax, std::nullopt}));
  }
  if (load.Has("duration")) {
    out.set_duration_ns(load.Duration("duration", {kPhaseMin, kPhaseMax, std::nullopt}));
  }
}

// Problems of the file count as those of the key that names it.
void FindTrace(const Fields& load, std::string_view path, const TraceFinder& traces,
               LoadAndLongest& out) {
  const auto found = traces(path, out.load);
  if (!found.ok()) return load.Problem("trace", FromAbsl(found.status().message()));
  if (found->load.duration_ns() > kPhaseMax) {
    return load.Problem(
        "trace", absl::StrCat("the trace lasts ", FormatDuration(found->load.duration_ns()),
                              " and a window at most ", FormatDuration(kPhaseMax),
                              "; write a duration, a request_limit or a smaller time_scale"));
  }
  out.load = found->load;
  out.longest = found->longest;
}

void ReadTrace(const Fields& load, const TraceFinder& traces, LoadAndLongest& out) {
  const std::string path = load.Text("trace", std::nullopt);
  if (path.empty()) return load.Problem("trace", "is empty; write the path of a trace");
  ReadTraceSettings(load, path, out.load);
  if (!load.problems().status().ok()) return;  // nothing is opened for a job that is wrong anyway
  if (!traces) return load.Problem("trace", "cannot be read here; use rackmark run or submit");
  FindTrace(load, path, traces, out);
}

}  // namespace

const std::vector<std::string>& LoadKeys() {
  static const std::vector<std::string> keys = {
      "arrivals",      "rate",          "auto_share",    "duration", "warmup",
      "calibration",   "prompt_tokens", "output_tokens", "trace",    "time_scale",
      "request_limit", "length_scale",  "length_max"};
  return keys;
}

const std::vector<std::string>& KeysThatATraceReplaces() {
  static const std::vector<std::string> keys = {"arrivals",    "rate",          "auto_share",
                                                "calibration", "prompt_tokens", "output_tokens"};
  return keys;
}

LoadAndLongest ReadLoad(const Fields& load, const TraceFinder& traces) {
  LoadAndLongest out;
  out.load.set_warmup_ns(load.Duration("warmup", {0, kWarmupMax, 2 * kSecond}));
  if (load.Has("trace")) {
    ReadTrace(load, traces, out);
  } else {
    ReadDrawn(load, out.load);
  }
  return out;
}

}  // namespace rackmark
