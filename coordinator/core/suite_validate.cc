#include "coordinator/core/suite_validate.h"

#include <set>
#include <string>

#include "coordinator/core/validate.h"

namespace rackmark {
namespace {

constexpr size_t kExpectationBytesMax = 1 << 20;  // State holds it, and each snapshot

absl::Status Invalid(std::string_view what) { return absl::InvalidArgumentError(ToAbsl(what)); }

absl::Status CheckPart(const v1::SuitePart& part, const std::set<std::string>& earlier) {
  if (!IsName(part.name())) return Invalid("part.name must match [a-z0-9-]{1,63}");
  if (earlier.count(part.name()) != 0) {
    return Invalid(absl::StrCat("two parts are called ", part.name()));
  }
  std::set<std::string> named;
  for (const v1::Dependency& dependency : part.after()) {
    if (earlier.count(dependency.part()) == 0) {
      return Invalid(absl::StrCat("part ", part.name(), " is after \"", dependency.part(),
                                  "\", which is no part before it; put that one first"));
    }
    if (!named.insert(dependency.part()).second) {
      return Invalid(absl::StrCat("part ", part.name(), " is after ", dependency.part(), " twice"));
    }
    if (dependency.when() != v1::DEPENDENCY_WHEN_SUCCESS &&
        dependency.when() != v1::DEPENDENCY_WHEN_ANY) {
      return Invalid(absl::StrCat("part ", part.name(), ", after ", dependency.part(),
                                  ": DEPENDENCY_WHEN_UNKNOWN, or newer than this coordinator"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSlots(const v1::Expectation& expect) {
  std::set<std::pair<std::string, std::string>> places;
  std::set<std::string> serials;
  for (const v1::ExpectedPart& part : expect.slots()) {
    if (part.node().empty() || part.slot().empty() || part.serial().empty()) {
      return Invalid("expect.slots: an entry lacks its node, slot or serial");
    }
    if (!places.emplace(part.node(), part.slot()).second) {
      return Invalid(
          absl::StrCat("expect.slots: slot ", part.slot(), " of ", part.node(), " twice"));
    }
    if (!serials.insert(part.serial()).second) {
      return Invalid(absl::StrCat("expect.slots: serial ", part.serial(), " twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckExpectation(const v1::Expectation& expect) {
  if (expect.wait_ns() < 0 || expect.wait_ns() > kExpectWaitMax) {
    return Invalid("expect.wait must be 0 to 60 s");
  }
  if (expect.ByteSizeLong() > kExpectationBytesMax) {
    return Invalid("expect has over 1 MiB; make several suites, each for a part of the nodes");
  }
  if (!v1::DeviceKind_IsValid(expect.kind())) {
    return Invalid("expect.kind is newer than this coordinator");
  }
  std::set<std::string> names;
  for (const std::string& name : expect.nodes()) {
    if (name.empty()) return Invalid("expect.nodes: an empty name");
    if (!names.insert(name).second) {
      return Invalid(absl::StrCat("expect.nodes: ", name, " twice"));
    }
  }
  if (!names.empty() && expect.has_node_count() && expect.node_count() != names.size()) {
    return Invalid(absl::StrCat("expect.node_count is ", expect.node_count(), ", and ",
                                names.size(), " nodes are named"));
  }
  return CheckSlots(expect);
}

}  // namespace

bool IsName(std::string_view name, size_t max) {
  if (name.empty() || name.size() > max) return false;
  for (char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

absl::Status ValidateSuite(const v1::Suite& suite) {
  if (!IsName(suite.name())) return Invalid("name must match [a-z0-9-]{1,63}");
  if (suite.jobs_size() < 1 || suite.jobs_size() > kSuiteJobsMax) {
    return Invalid(
        absl::StrCat("the suite has ", suite.jobs_size(), " jobs, must be 1 to ", kSuiteJobsMax));
  }
  std::set<std::string> earlier;
  for (const v1::Job& job : suite.jobs()) {
    RETURN_IF_ERROR(CheckPart(job.part(), earlier));
    RETURN_IF_ERROR(Annotate(ValidateJob(job), absl::StrCat("part ", job.part().name())));
    earlier.insert(job.part().name());
  }
  return suite.has_expect() ? CheckExpectation(suite.expect()) : absl::OkStatus();
}

}  // namespace rackmark
