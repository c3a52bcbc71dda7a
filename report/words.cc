#include "report/words.h"

#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "report/load_words.h"

namespace rackmark {
namespace {

std::string Prefixless(const std::string& name, size_t prefix) {
  return name.size() > prefix ? name.substr(prefix) : "UNKNOWN";
}

void AddLatency(const v1::RunSummary& run, const char* name, const v1::Quantiles& q,
                const v1::Quantiles* service, std::vector<Headline>& out) {
  if (q.count() == 0) {
    out.push_back({name, MissingText(run, name), ""});
    return;
  }
  std::string note = absl::StrCat("p95 ", Milliseconds(q.p95()), ", p99 ", Milliseconds(q.p99()));
  if (service != nullptr && service->count() > 0) {
    absl::StrAppend(&note, "; service p50 ", Milliseconds(service->p50()));
  }
  out.push_back({absl::StrCat(name, " p50"), Milliseconds(q.p50()), note});
}

void AddThroughput(const v1::RunSummary& run, std::vector<Headline>& out) {
  const v1::ServeResult& s = run.serve();
  Headline output{"Output", MissingText(run, "output tok/s"), ""};
  if (s.has_output_tok_s()) output.value = absl::StrCat(Digits(s.output_tok_s()), " tok/s");
  if (s.has_output_tok_s_device()) {
    output.note = absl::StrCat(Digits(s.output_tok_s_device()), " tok/s per device");
  }
  if (s.has_total_tok_s()) {
    absl::StrAppend(&output.note, output.note.empty() ? "" : "; ", "with prompts ",
                    Digits(s.total_tok_s()), " tok/s");
  }
  out.push_back(output);
}

void AddDecode(const v1::RunSummary& run, std::vector<Headline>& out) {
  const v1::ServeResult& s = run.serve();
  Headline decode{"Decode", MissingText(run, "decode tok/s"), ""};
  if (s.has_decode_tok_s()) decode.value = absl::StrCat(Digits(s.decode_tok_s()), " tok/s");
  if (s.has_floor_tok_s()) {
    decode.note =
        absl::StrCat(Share(s.floor_share()), " of the memory limit ", Digits(s.floor_tok_s()),
                     " tok/s at batch ", Digits(s.decode_batch()));
  } else {
    decode.note = absl::StrCat("memory limit ", MissingText(run, "decode floor"));
  }
  out.push_back(decode);
}

void AddLoad(const v1::RunSummary& run, std::vector<Headline>& out) {
  const v1::ServeResult& s = run.serve();
  Headline delivered{"Load delivered", MissingText(run, "delivered share"), ""};
  if (s.has_delivered_share()) delivered.value = Share(s.delivered_share());
  for (const v1::Check& check : run.checks()) {
    if (check.name() == "load delivered" && check.has_limit()) {
      delivered.note = absl::StrCat("at least ", Share(check.limit()));
    }
  }
  out.push_back(delivered);
  Headline requests{"Requests",
                    absl::StrCat(s.requests_completed(), " of ", s.requests_scheduled()), ""};
  requests.note = absl::StrCat("completed; ", s.requests_failed(), " failed");
  if (s.has_requested_rate()) {
    absl::StrAppend(&requests.note, "; ", Digits(s.requested_rate()), " requests/s asked");
  }
  if (s.has_capacity_rate()) {
    absl::StrAppend(&requests.note, " of ", Digits(s.capacity_rate()), " capacity");
  }
  out.push_back(requests);
}

}  // namespace

std::string VerdictWord(v1::Verdict verdict) {
  return Prefixless(v1::Verdict_Name(verdict), sizeof("VERDICT_") - 1);
}

std::string CheckWord(v1::Verdict verdict) {
  return verdict == v1::VERDICT_UNKNOWN ? "not judged" : VerdictWord(verdict);
}

std::string PlacementWords(const v1::Placement& placement) {
  std::vector<std::string> words;
  for (const v1::RankPlace& place : placement.ranks()) {
    words.push_back(
        absl::StrCat("rank ", place.rank(), " on ", place.node(), " device ", place.device()));
  }
  return words.empty() ? "missing: it was never placed" : absl::StrJoin(words, ", ");
}

std::string FailureWord(v1::FailureKind kind) {
  return Prefixless(v1::FailureKind_Name(kind), sizeof("FAILURE_KIND_") - 1);
}

std::string Digits(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return FormatCount(value);
  if (size >= 100 || value == std::floor(value)) return absl::StrFormat("%.0f", value);
  return size >= 10 ? absl::StrFormat("%.1f", value) : absl::StrFormat("%.3g", value);
}

std::string Share(double share) { return absl::StrFormat("%.3g %%", 100 * share); }

std::string Milliseconds(double ms) {
  if (std::abs(ms) >= 10000) return absl::StrFormat("%.1f s", ms / 1000);
  return absl::StrCat(Digits(ms), " ms");
}

std::string BytesPerSecond(double rate) {
  // Bandwidths are decimal everywhere else, so here too.
  constexpr std::pair<double, const char*> kUnits[] = {
      {1e12, " TB/s"}, {1e9, " GB/s"}, {1e6, " MB/s"}, {1e3, " kB/s"}};
  for (const auto& [size, unit] : kUnits) {
    if (std::abs(rate) >= size) return absl::StrCat(Digits(rate / size), unit);
  }
  return absl::StrCat(Digits(rate), " B/s");
}

std::string WithUnit(double value, std::string_view unit) {
  if (unit == "1") return Share(value);
  if (unit == "B/s") return BytesPerSecond(value);
  return absl::StrCat(Digits(value), unit.empty() ? "" : " ", ToAbsl(unit));
}

std::string MissingReason(const v1::RunSummary& run, std::string_view name) {
  for (const v1::MissingValue& missing : run.missing()) {
    if (missing.name() == name) return missing.reason();
  }
  return "not recorded";
}

std::string MissingText(const v1::RunSummary& run, std::string_view name) {
  for (const v1::MissingValue& missing : run.missing()) {
    if (missing.name() == name) return absl::StrCat("missing: ", missing.reason());
  }
  return "missing";
}

std::string Workload(const v1::RunSpec& spec) {
  if (spec.has_null()) {
    return absl::StrCat("null workload, ", FormatDuration(spec.null().duration_ns()));
  }
  if (!spec.has_serve()) return "unknown workload";
  const v1::ServeWorkload& serve = spec.serve();
  const v1::Load& load = serve.load();
  return absl::StrCat("serve ", serve.model(), ", tensor parallel ", serve.tensor_parallel(), ", ",
                      FormatDuration(load.duration_ns()), " window, load ", LoadWords(load),
                      serve.deterministic() ? ", deterministic" : "");
}

std::string ShapeWords(const v1::RunSpec& spec) {
  if (spec.has_null()) return "null";
  if (!spec.has_serve()) return "unknown workload";
  return absl::StrCat("serve ", spec.serve().model(), ", tensor parallel ",
                      spec.serve().tensor_parallel());
}

std::string SweepWords(const v1::RunSpec& spec) {
  const std::map<std::string, std::string> sorted(spec.point().begin(), spec.point().end());
  std::vector<std::string> words;
  for (const auto& [key, value] : sorted) words.push_back(absl::StrCat(key, "=", value));
  return absl::StrJoin(words, ", ");
}

std::string PointWords(const v1::RunSpec& spec) {
  const std::string sweep = SweepWords(spec);
  return absl::StrCat(sweep, sweep.empty() ? "" : ", ", "repetition ", spec.repetition() + 1);
}

std::vector<Headline> Headlines(const v1::RunSummary& run) {
  std::vector<Headline> out;
  if (run.has_serve()) {
    const v1::ServeResult& s = run.serve();
    AddThroughput(run, out);
    AddLatency(run, "TTFT", s.ttft_ms(), &s.ttft_service_ms(), out);
    AddLatency(run, "TPOT", s.tpot_ms(), nullptr, out);
    AddLatency(run, "ITL", s.itl_ms(), nullptr, out);
    AddLatency(run, "E2E", s.e2e_ms(), nullptr, out);
    AddDecode(run, out);
    AddLoad(run, out);
    for (Headline& line : TraceHeadlines(run)) out.push_back(std::move(line));
  } else if (run.has_null()) {
    out.push_back({"Steps", absl::StrCat(run.null().steps()), "of the null workload, all ranks"});
    out.push_back({"Samples", absl::StrCat(run.null().samples()), "recorded by them"});
    out.push_back({"Cost of one sample",
                   run.null().has_ns_per_sample()
                       ? absl::StrCat(Digits(run.null().ns_per_sample()), " ns")
                       : MissingText(run, "instrument cost"),
                   ""});
  }
  return out;
}

std::vector<Headline> OverheadLines(const v1::RunSummary& run) {
  if (!run.has_overhead()) return {};
  const v1::Overhead& o = run.overhead();
  std::vector<Headline> out;
  // What is missing has no unit and no method: its reason stands alone.
  const auto add = [&out](const char* name, bool has, std::string value, std::string missing,
                          const char* note) {
    out.push_back({name, has ? std::move(value) : std::move(missing), has ? note : ""});
  };
  const std::string missing = MissingText(run, "instrument cost");
  add("One sample", o.has_ns_per_sample(), absl::StrCat(Digits(o.ns_per_sample()), " ns"), missing,
      "by the null workload on the same rank");
  add("Samples in a step", o.has_samples_per_step(), Digits(o.samples_per_step()),
      "missing: no steps", "rank 0, in the window");
  add("Share of a step", o.has_share_of_step(), Share(o.share_of_step()), missing,
      "what recording takes of rank 0's step");
  add("Worker daemons", o.has_daemon_cpu_share(), Share(o.daemon_cpu_share()),
      MissingText(run, "daemon CPU share"), "of one CPU, in the window");
  return out;
}

std::string BlameWords(const v1::Failure& failure) {
  std::vector<std::string> words;
  if (failure.has_rank()) words.push_back(absl::StrCat("rank ", failure.rank()));
  if (!failure.node().empty()) words.push_back(absl::StrCat("node ", failure.node()));
  if (failure.has_device()) words.push_back(absl::StrCat("device ", failure.device()));
  if (words.empty()) words.push_back("nobody in particular");
  if (failure.phase() != v1::RANK_PHASE_UNKNOWN) {
    words.push_back(absl::StrCat(
        "while ", Prefixless(v1::RankPhase_Name(failure.phase()), sizeof("RANK_PHASE_") - 1)));
  }
  return absl::StrJoin(words, ", ");
}

}  // namespace rackmark
