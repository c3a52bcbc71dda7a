#include "tests/scenarios/queue_words.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/why.h"

namespace rackmark {
namespace {

bool IsYes(const Options& options, const std::string& name) {
  const auto found = options.find(name);
  return found != options.end() && found->second == "yes";
}

v1::Within ParseWithin(const std::string& text) {
  if (text == "node") return v1::WITHIN_NODE;
  if (text == "domain") return v1::WITHIN_NVLINK_DOMAIN;
  RACKMARK_CHECK(text == "rack");
  return v1::WITHIN_RACK;
}

template <typename Map>
void AddLabel(const Options& options, Map& labels) {
  const auto found = options.find("label");
  if (found == options.end()) return;
  const size_t colon = found->second.find(':');
  RACKMARK_CHECK(colon != std::string::npos);
  labels[found->second.substr(0, colon)] = found->second.substr(colon + 1);
}

void AddBudget(const Options& options, v1::JobSpec& spec) {
  if (const auto wall = options.find("wall"); wall != options.end()) {
    spec.mutable_budget()->set_wall_ns(ParseDuration(wall->second));
  }
  if (const auto nodes = options.find("node_seconds"); nodes != options.end()) {
    double value = 0;
    RACKMARK_CHECK(absl::SimpleAtod(nodes->second, &value));
    spec.mutable_budget()->set_node_seconds(value);
  }
}

}  // namespace

Nanos ParseDuration(const std::string& text) {
  int64_t value = 0;
  const bool ms = text.size() > 2 && text.substr(text.size() - 2) == "ms";
  const bool ok = absl::SimpleAtoi(text.substr(0, text.size() - (ms ? 2 : 1)), &value);
  RACKMARK_CHECK(ok && text.back() == 's');
  return value * (ms ? kMillisecond : kSecond);
}

void AddWishes(const Options& options, v1::JobSpec& spec) {
  v1::Gang& gang = *spec.mutable_gang();
  if (const auto within = options.find("within"); within != options.end()) {
    gang.set_within(ParseWithin(within->second));
  }
  gang.set_preferred(IsYes(options, "preferred"));
  gang.set_exclusive(IsYes(options, "exclusive"));
  if (const auto model = options.find("model"); model != options.end()) {
    gang.add_models(model->second);
  }
  AddLabel(options, *gang.mutable_labels());
  if (const auto nodes = options.find("nodes"); nodes != options.end()) {
    for (const auto name : absl::StrSplit(nodes->second, ',')) gang.add_nodes(std::string(name));
  }
  if (const auto priority = options.find("priority"); priority != options.end()) {
    int32_t value = 0;
    RACKMARK_CHECK(absl::SimpleAtoi(priority->second, &value));
    spec.set_priority(value);
  }
  spec.set_preemptible(IsYes(options, "preemptible"));
  if (const auto grace = options.find("grace"); grace != options.end()) {
    spec.set_grace_ns(ParseDuration(grace->second));
  }
  if (const auto most = options.find("lease_max"); most != options.end()) {
    spec.set_lease_max_ns(ParseDuration(most->second));
  }
  AddBudget(options, spec);
}

void AddFacts(const Options& options, v1::NodeInfo& info) {
  const auto text = [&](const std::string& name) {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
  };
  info.set_rack(text("rack"));
  AddLabel(options, *info.mutable_labels());
  for (v1::Device& device : *info.mutable_devices()) {
    device.set_nvlink_domain(text("domain"));
    device.set_model(text("model"));
  }
}

std::vector<std::string> DescribeQueue(const State& state, Nanos now) {
  std::vector<std::string> lines;
  std::optional<v1::QueuePass> pass;
  std::map<uint32_t, std::string> waiting;
  for (const auto& [id, job] : state.hard.jobs) {
    const v1::WhyReply why = WhyJob(state, id, now);
    if (why.has_last_pass()) pass = why.last_pass();
    if (why.position() == 0) continue;
    waiting[why.position()] =
        absl::StrCat(why.position(), " j", id.value, " ", job.job.name(), " of ", job.by.name(),
                     why.priority() == 0 ? "" : absl::StrCat(", priority ", why.priority()));
  }
  for (const auto& [position, line] : waiting) lines.push_back(line);
  if (!pass.has_value()) return lines;
  std::string text = "devices are kept for nobody";
  if (pass->head_job_id() != 0) {
    text = absl::StrCat("devices are kept for j", pass->head_job_id(), ", ");
    absl::StrAppend(&text, pass->has_head_in_ns()
                               ? absl::StrCat("free in ", FormatDuration(pass->head_in_ns()))
                               : "nobody can say from when");
  }
  absl::StrAppend(&text, "; ", pass->candidates(), pass->candidates_cut() ? " and more" : "",
                  " tried behind it, ", pass->passed_over(), " passed over");
  lines.push_back(text);
  return lines;
}

}  // namespace rackmark
