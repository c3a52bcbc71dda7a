#include "jobs/suite_reader.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/sha256.h"
#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/job_reader.h"

namespace rackmark {
namespace {

using namespace bounds;

// The text of another file, and what its own reader finds wrong in it.
template <typename Read>
bool ReadNamed(const Fields& parent, std::string_view key, const Reading& reading,
               const Read& read) {
  const std::string path = parent.Text(key, std::nullopt);
  const YamlNode* node = parent.Find(key);
  if (node == nullptr || node->kind != YamlNode::Kind::kScalar) return false;
  if (!reading.finders.files) {
    parent.Problem(key, "names a file, and no file can be read here; write its spec out");
    return false;
  }
  const auto found = reading.finders.files(path, reading.problems.file());
  if (!found.ok()) {
    parent.Problem(key, FromAbsl(found.status().message()));
    return false;
  }
  const auto root = ReadYaml(found->text, found->name);
  Problems problems(found->name);
  if (!root.ok()) {
    problems.Add(root.status());
  } else {
    read(*root, problems, found->text);
  }
  for (const absl::Status& problem : problems.all()) reading.problems.Add(problem);
  return problems.all().empty();
}

// One entry of `jobs`, and where it stands.
struct Entry {
  const Fields* fields;
  v1::Job job;
};

void ReadAfter(const Fields& entry, v1::SuitePart& part) {
  const std::string when =
      entry.Has("when") ? entry.Word("when", {"success", "any"}, std::nullopt) : "success";
  for (std::string& name : entry.Texts("after", kPartsMax)) {
    v1::Dependency& dependency = *part.add_after();
    dependency.set_part(std::move(name));
    dependency.set_when(when == "any" ? v1::DEPENDENCY_WHEN_ANY : v1::DEPENDENCY_WHEN_SUCCESS);
  }
  if (entry.Has("when") && part.after().empty()) {
    entry.Problem("when", "means nothing without after; remove it, or write what it waits for");
  }
  part.set_gate(entry.Bool("gate", false));
  if (part.gate() && !part.after().empty()) {
    entry.Problem("gate", "waits for another part; a gate goes first: remove its after");
  }
}

// Written out here, or in a file of its own.
void ReadPartJob(const Fields& entry, const Reading& reading, const v1::Suite& suite,
                 v1::Job& job) {
  const v1::SuitePart part = job.part();
  const YamlNode* node = entry.Find("job");
  if (node != nullptr && node->kind == YamlNode::Kind::kMap) {
    job.set_name(absl::StrCat(suite.name(), "-", part.name()));
    if (job.name().size() > kNameMax && IsJobName(part.name(), kNameMax)) {
      entry.Problem("name", absl::StrCat("makes the job's name, ", job.name(), ", longer than ",
                                         kNameMax, "; shorten it or the suite's"));
    }
    *job.mutable_labels() = suite.labels();
    ReadJobSpec({*node, entry.PathOf("job")}, reading.problems, reading.finders.traces,
                *job.mutable_spec());
  } else if (auto named = ReadNamedJob(entry, "job", reading)) {
    job = *std::move(named);
  }
  *job.mutable_part() = part;
}

std::vector<Entry> ReadEntries(const std::vector<Fields>& list, const Reading& reading,
                               const v1::Suite& suite) {
  std::vector<Entry> entries;
  std::set<std::string> names;
  for (const Fields& fields : list) {
    Entry& entry = entries.emplace_back(Entry{&fields, {}});
    v1::SuitePart& part = *entry.job.mutable_part();
    part.set_name(ReadName(fields, kNameMax));
    if (fields.Has("name") && !names.insert(part.name()).second) {
      fields.Problem("name", absl::StrCat("\"", EscapeControl(part.name().substr(0, 64)),
                                          "\" is the name of two parts; rename one"));
    }
    ReadAfter(fields, part);
    ReadPartJob(fields, reading, suite, entry.job);
  }
  for (const Entry& entry : entries) {
    for (const v1::Dependency& after : entry.job.part().after()) {
      if (names.count(after.part()) > 0) continue;
      const std::string nearest = Nearest(after.part(), {names.begin(), names.end()});
      entry.fields->Problem(
          "after", absl::StrCat("\"", EscapeControl(after.part().substr(0, 64)),
                                "\" is no part of this suite; ",
                                nearest.empty() ? "write the name of another job of the list"
                                                : absl::StrCat("did you mean \"", nearest, "\"?")));
    }
  }
  return entries;
}

// Each behind those that it waits for, else in the text's order. What waits for itself, by however
// many others, is a problem.
void PutInOrder(std::vector<Entry> entries, v1::Suite& suite) {
  std::set<std::string> placed;
  while (!entries.empty()) {
    const auto free = [&placed](const Entry& entry) {
      const auto& after = entry.job.part().after();
      return std::all_of(after.begin(), after.end(), [&placed](const v1::Dependency& dependency) {
        return placed.count(dependency.part()) > 0;
      });
    };
    const auto next = std::find_if(entries.begin(), entries.end(), free);
    if (next == entries.end()) {
      entries.front().fields->Problem(
          "after", "waits for itself, by way of the parts that it names; remove one of them");
      return;
    }
    placed.insert(next->job.part().name());
    *suite.add_jobs() = std::move(next->job);
    entries.erase(next);
  }
}

}  // namespace

std::optional<v1::Job> ReadNamedJob(const Fields& parent, std::string_view key,
                                    const Reading& reading) {
  v1::Job job;
  const auto read = [&](const YamlNode& root, Problems& problems, const std::string& text) {
    ReadJobRoot(root, {"Job"}, problems, reading.finders.traces, job);
    job.set_source(text);
    job.set_source_sha256(Sha256Hex(text));
  };
  if (!ReadNamed(parent, key, reading, read)) return std::nullopt;
  return job;
}

std::optional<v1::Suite> ReadNamedSuite(const Fields& parent, std::string_view key,
                                        const Reading& reading) {
  v1::Suite suite;
  const auto read = [&](const YamlNode& root, Problems& problems, const std::string& text) {
    ReadSuiteRoot(root, {"Suite"}, {problems, reading.finders}, suite);
    suite.set_source(text);
    suite.set_source_sha256(Sha256Hex(text));
  };
  if (!ReadNamed(parent, key, reading, read)) return std::nullopt;
  return suite;
}

void ReadSuiteSpec(const SuiteAt& at, const Reading& reading, v1::Suite& suite) {
  const Fields spec(&reading.problems, &at.spec, &at.spec, at.path, {"expect", "jobs"});
  if (spec.Has("expect")) {
    ReadExpectation(spec, *suite.mutable_expect());
  }
  const std::vector<Fields> list =
      spec.Maps("jobs", {"name", "after", "when", "gate", "job"}, 1, kPartsMax);
  const size_t before = reading.problems.all().size();
  std::vector<Entry> entries = ReadEntries(list, reading, suite);
  if (reading.problems.all().size() == before) PutInOrder(std::move(entries), suite);
}

void ReadSuiteRoot(const YamlNode& root, const std::vector<std::string>& kinds,
                   const Reading& reading, v1::Suite& suite) {
  const Fields fields(&reading.problems, &root, &root, "",
                      {"apiVersion", "kind", "metadata", "spec"});
  ReadHead(fields, kinds);
  const Fields metadata = fields.Map("metadata", {"name", "labels"});
  suite.set_name(ReadName(metadata, kNameMax));
  PutLabels(metadata, *suite.mutable_labels());
  if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write its jobs here");
  ReadSuiteSpec({*fields.Find("spec"), "spec"}, reading, suite);
}

}  // namespace rackmark
