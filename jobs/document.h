// Any Rackmark document: a Job, a Suite or a Schedule, as strictly as jobs/spec, whose rules hold
// here too. What a document names beside itself (traces, job files, time zones) comes through
// functions of whoever may open files. Pure; any thread that those functions are good for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/status.h"
#include "jobs/fields.h"
#include "jobs/load.h"
#include "jobs/spec.h"
#include "rackmark/v1/job.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {

struct NamedText {
  std::string name;  // for sentences, and for what this document names in its turn
  std::string text;
};

struct Finders {
  TraceFinder traces;
  // The document at `path`, as it is written in the one called `named_by`. Absent = none is there.
  std::function<absl::StatusOr<NamedText>(std::string_view path, std::string_view named_by)> files;
  // Whether there is a time zone of this name, or a sentence. Absent = nobody can say here.
  std::function<absl::Status(std::string_view zone)> zones;
};

using Document = std::variant<v1::Job, v1::Suite, v1::Schedule>;

struct DocumentResult {
  std::optional<Document> document;  // missing = there are problems
  std::vector<absl::Status> problems;
};
// By its `kind`. As ReadJob: all problems, each with its place.
DocumentResult ReadDocument(std::string_view yaml, std::string_view file_name,
                            const std::vector<Override>& sets, const Finders& finders);

// Every field that reading this document asks for, in order. REQUIRES: a document without problems.
std::vector<FieldAsked> FieldsAsked(std::string_view yaml, const Finders& finders);

// As CheckJob, of what came over the wire. A schedule's zones are checked where `zones` is there.
absl::Status CheckSuite(const v1::Suite& suite);
absl::Status CheckSchedule(const v1::Schedule& schedule,
                           const std::function<absl::Status(std::string_view zone)>& zones);

// The jobs of a document: one, those of the suite, or those that the schedule submits.
std::vector<const v1::Job*> JobsOf(const Document& document);
const std::string& NameOf(const Document& document);

}  // namespace rackmark
