#include "report/load_words.h"

#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

std::string FormatWords(v1::TraceFormat format) {
  switch (format) {
    case v1::TRACE_FORMAT_AZURE_CSV: return "Azure CSV";
    case v1::TRACE_FORMAT_MOONCAKE_JSONL: return "Mooncake JSONL";
    default: return "unknown format";
  }
}

std::string Dropped(const v1::TraceLoad& trace) {
  if (!trace.has_length_max()) return "no length_max, none dropped";
  return absl::StrCat(trace.dropped_long(), " dropped as longer than ", trace.length_max(),
                      " tokens");
}

std::string Scales(const v1::TraceLoad& trace) {
  return absl::StrCat("time x ", Digits(trace.time_scale()), ", lengths x ",
                      Digits(trace.length_scale()));
}

void AddRange(const char* name, const v1::IntRange& range, std::vector<Headline>& out) {
  out.push_back({name, absl::StrCat(range.min(), " to ", range.max()), "uniform"});
}

}  // namespace

std::string LoadWords(const v1::Load& load) {
  if (load.has_trace()) return absl::StrCat("trace ", load.trace().name());
  return load.has_auto_() ? absl::StrCat("auto ", Share(load.auto_().share()))
                          : absl::StrCat(Digits(load.requests_per_second()), " requests/s");
}

std::vector<Headline> LoadLines(const v1::Load& load) {
  std::vector<Headline> out;
  if (!load.has_trace()) {
    AddRange("prompt tokens", load.prompt_tokens(), out);
    AddRange("output tokens", load.output_tokens(), out);
    return out;
  }
  const v1::TraceLoad& trace = load.trace();
  out.push_back({"trace", trace.name(),
                 absl::StrCat(FormatWords(trace.format()), ", ",
                              FormatBytes(static_cast<double>(trace.bytes())))});
  out.push_back({"trace sha256", trace.sha256(), ""});
  out.push_back({"replayed", absl::StrCat(trace.requests(), " requests"), Dropped(trace)});
  out.push_back({"scales", Scales(trace),
                 trace.has_request_limit()
                     ? absl::StrCat("the first ", trace.request_limit(), " requests")
                     : ""});
  out.push_back({"tokens asked for", absl::StrCat(trace.input_tokens(), " in prompts"),
                 absl::StrCat(trace.output_tokens(), " to be made")});
  if (trace.has_prefix_share()) {
    out.push_back({"prompts share", Share(trace.prefix_share()),
                   "of their tokens, had every block been kept for ever"});
  }
  return out;
}

std::vector<Headline> TraceHeadlines(const v1::RunSummary& run) {
  const v1::Load& load = run.spec().serve().load();
  if (!load.has_trace()) return {};
  const v1::TraceLoad& trace = load.trace();
  std::vector<Headline> out;
  out.push_back(
      {"Trace replayed", absl::StrCat(trace.requests(), " requests"),
       absl::StrCat(trace.name(), ", sha256 ", trace.sha256().substr(0, 12), "; ", Scales(trace),
                    "; ", Dropped(trace), "; asked for ", trace.input_tokens(), " prompt and ",
                    trace.output_tokens(), " output tokens")});
  const v1::ServeResult& serve = run.serve();
  Headline hits{"Prefix hits",
                serve.has_prefix_hit_share() ? Share(serve.prefix_hit_share())
                                             : MissingText(run, "prefix cache hit rate"),
                ""};
  if (trace.has_prefix_share()) {
    hits.note = absl::StrCat("at most ", Share(trace.prefix_share()), " of prompt tokens");
  }
  out.push_back(hits);
  return out;
}

}  // namespace rackmark
