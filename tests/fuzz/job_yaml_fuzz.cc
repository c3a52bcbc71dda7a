// Files of jobs, suites and schedules (jobs/document). Input: YAML; before the first NUL, if there
// is one, an override.
#include "common/status.h"
#include "coordinator/core/suite_validate.h"
#include "coordinator/core/validate.h"
#include "google/protobuf/util/message_differencer.h"
#include "jobs/document.h"
#include "report/words.h"
#include "tests/fuzz/target.h"

namespace rackmark::fuzz {

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const char* name : {"null", "quickstart", "trace", "acceptance", "nightly"}) {
    seeds.push_back(ReadTree(absl::StrCat("jobs/library/", name, ".yaml")));
  }
  // A seed that is refused reaches nothing. The third one's file is missing here.
  for (const size_t i : {size_t{0}, size_t{1}}) RACKMARK_CHECK(ParseJob(seeds[i], "seed", {}).ok());
  seeds.push_back(std::string("load.rate=12/s") + '\0' + seeds[1]);
  seeds.push_back(std::string("load={rate: 3/s, duration: 1s}") + '\0' + seeds[1]);
  seeds.push_back(std::string("sweep={load.rate: [1/s, 2/s]}") + '\0' + seeds[1]);
  return seeds;
}

namespace {

// Sentences for people: whatever the file holds, a terminal obeys none of it.
void CheckSentence(const absl::Status& status) {
  for (const char c : status.message()) {
    RACKMARK_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

void CheckTaken(const v1::Job& job) {
  // What the reader takes, the wire and the core take.
  RACKMARK_CHECK(CheckJob(job).ok());
  RACKMARK_CHECK(ValidateJob(job).ok());
  v1::Job copy;
  RACKMARK_CHECK(copy.ParseFromString(job.SerializeAsString()));
  RACKMARK_CHECK(google::protobuf::util::MessageDifferencer::Equals(copy, job));
  for (const v1::RunSpec& run : job.spec().runs()) {
    RACKMARK_CHECK(!Workload(run).empty() && !PointWords(run).empty());
  }
}

// Any file that is named is this one: a job, or what a job is not.
absl::StatusOr<NamedText> Beside(std::string_view path, std::string_view) {
  if (path.size() % 2 == 0) return NamedText{"beside.yaml", "kind: Job\n"};
  return NamedText{"beside.yaml",
                   "{apiVersion: rackmark/v1, kind: Job, metadata: {name: a}, spec: {gang: "
                   "{devices: 1, device: cpu}, workload: {null: {}}}}"};
}

absl::Status AnyZone(std::string_view zone) {
  return zone.empty() ? absl::NotFoundError("is empty") : absl::OkStatus();
}

// Whatever its kind, what is read is what the wire takes; and a job is the one that ParseJob reads.
void CheckDocument(std::string_view text, const std::vector<Override>& sets,
                   const absl::StatusOr<v1::Job>& job) {
  const DocumentResult result = ReadDocument(text, "job.yaml", sets, {nullptr, Beside, AnyZone});
  for (const absl::Status& problem : result.problems) CheckSentence(problem);
  if (!result.document.has_value()) {
    RACKMARK_CHECK(!result.problems.empty() && !job.ok());
    return;
  }
  if (const auto* suite = std::get_if<v1::Suite>(&*result.document)) {
    RACKMARK_CHECK(CheckSuite(*suite).ok());
    RACKMARK_CHECK(ValidateSuite(*suite).ok());
  } else if (const auto* schedule = std::get_if<v1::Schedule>(&*result.document)) {
    RACKMARK_CHECK(CheckSchedule(*schedule, AnyZone).ok());
  } else {
    RACKMARK_CHECK(job.ok());
    RACKMARK_CHECK(google::protobuf::util::MessageDifferencer::Equals(
        std::get<v1::Job>(*result.document), *job));
  }
}

}  // namespace
}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  std::string_view text = fuzz::AsText(data, size);
  std::vector<Override> sets;
  if (const size_t end = text.find('\0'); end != text.npos) {
    auto set = ParseOverride(text.substr(0, end));
    if (set.ok()) {
      sets.push_back(*std::move(set));
    } else {
      fuzz::CheckSentence(set.status());
    }
    text.remove_prefix(end + 1);
  }
  const auto job = ParseJob(text, "job.yaml", sets);
  const auto again = ParseJob(text, "job.yaml", sets);
  RACKMARK_CHECK(job.ok() == again.ok());
  fuzz::CheckDocument(text, sets, job);
  if (!job.ok()) {
    fuzz::CheckSentence(job.status());
    return 0;
  }
  RACKMARK_CHECK(google::protobuf::util::MessageDifferencer::Equals(*job, *again));
  fuzz::CheckTaken(*job);
  // The record keeps the text: read from it, the job is the same.
  if (sets.empty()) {
    const auto stored = ParseJob(job->source(), "job.yaml", {});
    RACKMARK_CHECK(stored.ok());
    RACKMARK_CHECK(google::protobuf::util::MessageDifferencer::Equals(*job, *stored));
  }
  return 0;
}
