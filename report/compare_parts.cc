#include "report/compare_parts.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/status.h"
#include "common/text.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "report/words.h"

namespace rackmark {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct HeadlineMetric {
  std::string_view name;
  std::string_view unit;
  bool more_is_better;
  bool depends_on_load;
  std::optional<double> (*value)(const v1::RunSummary&);
};

std::optional<double> If(bool has, double value) {
  return has ? std::optional<double>(value) : std::nullopt;
}
std::optional<double> IfAny(const v1::Quantiles& q, double value) {
  return If(q.count() > 0, value);
}

using Run = v1::RunSummary;

// A longer window has more steps, and is no faster. Held in its window, a run steps on for longer
// than it was asked to; how long is not in the summary.
std::optional<double> NullStepRate(const Run& run) {
  const v1::NullWorkload& plan = run.spec().null();
  const bool known = plan.duration_ns() > 0 && plan.hold().phase() != v1::HOLD_PHASE_MEASURING;
  return If(run.has_null() && known, static_cast<double>(run.null().steps()) /
                                         (static_cast<double>(plan.duration_ns()) / 1e9));
}

constexpr HeadlineMetric kMetrics[] = {
    {"output", "tok/s", true, true,
     [](const Run& r) { return If(r.serve().has_output_tok_s(), r.serve().output_tok_s()); }},
    {"TTFT p50", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().ttft_ms(), r.serve().ttft_ms().p50()); }},
    {"TTFT p95", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().ttft_ms(), r.serve().ttft_ms().p95()); }},
    {"TPOT p50", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().tpot_ms(), r.serve().tpot_ms().p50()); }},
    {"ITL p50", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().itl_ms(), r.serve().itl_ms().p50()); }},
    {"E2E p50", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().e2e_ms(), r.serve().e2e_ms().p50()); }},
    {"E2E p95", "ms", false, true,
     [](const Run& r) { return IfAny(r.serve().e2e_ms(), r.serve().e2e_ms().p95()); }},
    {"decode", "tok/s", true, true,  // its batch is the load's
     [](const Run& r) { return If(r.serve().has_decode_tok_s(), r.serve().decode_tok_s()); }},
    {kRequestedRateName, "requests/s", true, false,
     [](const Run& r) { return If(r.serve().has_requested_rate(), r.serve().requested_rate()); }},
    {"capacity", "requests/s", true, false,
     [](const Run& r) { return If(r.serve().has_capacity_rate(), r.serve().capacity_rate()); }},
    {"read bandwidth", "B/s", true, false,
     [](const Run& r) { return If(r.serve().has_read_bytes_s(), r.serve().read_bytes_s()); }},
    {"cost of a sample", "ns", false, false,
     [](const Run& r) {
       return If(r.overhead().has_ns_per_sample(), r.overhead().ns_per_sample());
     }},
    {kNullStepsName, "steps/s", true, false, NullStepRate},
};

std::string Shown(const Message& m, const FieldDescriptor& f, int index) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(m, &f, index, &text);
  return text;
}

using Facts = std::map<std::string, std::set<std::string>>;  // what -> its values on one side

// Every field of a message as a path and its text.
void Flatten(const Message& m, const std::string& path, Facts& to) {
  std::vector<const FieldDescriptor*> fields;
  m.GetReflection()->ListFields(m, &fields);
  for (const FieldDescriptor* f : fields) {
    const std::string at = absl::StrCat(path, path.empty() ? "" : ".", f->name());
    // The point is what runs are matched by; repetitions have seeds of their own.
    if (at == "point" || at == "repetition") continue;
    const int count = f->is_repeated() ? m.GetReflection()->FieldSize(m, f) : 1;
    for (int i = 0; i < count; ++i) {
      const bool is_message = f->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (is_message && !f->is_repeated()) {
        Flatten(m.GetReflection()->GetMessage(m, f), at, to);
      } else {
        to[at].insert(Shown(m, *f, f->is_repeated() ? i : -1));
      }
    }
  }
}

void AddNode(const v1::NodeFacts& node, Facts& to) {
  const v1::Environment& e = node.environment();
  to["system"].insert(e.os());
  to["kernel"].insert(e.kernel());
  to["CPU"].insert(e.cpu_model());
  to["CPUs of a node"].insert(absl::StrCat(e.cpu_count()));
  to["memory of a node"].insert(FormatBytes(static_cast<double>(e.memory_bytes())));
  to["Rackmark on the nodes"].insert(absl::StrCat(e.rackmark_version(), " ", e.git_commit()));
  to["compiler"].insert(e.compiler());
  for (const auto& [key, value] : e.more()) to[key].insert(value);
}

Facts FactsOf(const v1::JobSummary& job, const std::set<std::string>& points) {
  Facts facts;
  facts["Rackmark of the coordinator"].insert(job.rackmark_version());
  std::set<std::string> seen;
  for (const v1::RunSummary& run : job.runs()) {
    if (points.count(SweepWords(run.spec())) == 0) continue;
    for (const v1::NodeFacts& node : run.nodes()) AddNode(node, facts);
    for (const std::string& sentence : run.transports()) facts["transports"].insert(sentence);
    std::set<std::string> nodes;
    for (const v1::RankPlace& place : run.placement().ranks()) nodes.insert(place.node());
    facts["placement"].insert(
        absl::StrCat(run.placement().ranks_size(), " ranks on ", absl::StrJoin(nodes, ", ")));
    if (seen.insert(SweepWords(run.spec())).second) Flatten(run.spec(), "", facts);
  }
  return facts;
}

}  // namespace

bool DependsOnLoad(std::string_view metric) {
  for (const HeadlineMetric& m : kMetrics) {
    if (m.name == metric) return m.depends_on_load;
  }
  return false;
}

std::vector<MetricComparison> HeadlineMetrics(const std::vector<RunPair>& runs) {
  std::vector<MetricComparison> out;
  for (const HeadlineMetric& m : kMetrics) {
    MetricComparison metric;
    metric.name = std::string(m.name);
    metric.unit = std::string(m.unit);
    metric.more_is_better = m.more_is_better;
    const auto add = [&](const v1::RunSummary* run, std::vector<double>& to) {
      if (run == nullptr || run->verdict() != v1::VERDICT_PASS) return;
      if (const auto value = m.value(*run)) to.push_back(*value);
    };
    for (const RunPair& pair : runs) {
      add(pair.a, metric.a_values);
      add(pair.b, metric.b_values);
    }
    if (!metric.a_values.empty() || !metric.b_values.empty()) out.push_back(std::move(metric));
  }
  return out;
}

std::vector<Difference> DifferencesOf(const v1::JobSummary& a, const v1::JobSummary& b) {
  std::set<std::string> of_a, both;
  for (const v1::RunSummary& run : a.runs()) of_a.insert(SweepWords(run.spec()));
  for (const v1::RunSummary& run : b.runs()) {
    if (of_a.count(SweepWords(run.spec())) > 0) both.insert(SweepWords(run.spec()));
  }
  const Facts facts_a = FactsOf(a, both), facts_b = FactsOf(b, both);
  std::set<std::string> names;
  for (const Facts* facts : {&facts_a, &facts_b}) {
    for (const auto& [name, values] : *facts) names.insert(name);
  }
  std::vector<Difference> out;
  for (const std::string& name : names) {
    const auto shown = [&](const Facts& facts) {
      const auto it = facts.find(name);
      return it == facts.end() ? std::string("not set") : absl::StrJoin(it->second, "; ");
    };
    const Difference difference{name, shown(facts_a), shown(facts_b)};
    if (difference.a != difference.b) out.push_back(difference);
  }
  return out;
}

}  // namespace rackmark
