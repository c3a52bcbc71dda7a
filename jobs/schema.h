// The JSON Schemas (draft 7) of job, suite and schedule files, for editors and other people's
// tools. Most of them is what the strict reader asks for while it reads a few probe documents, so
// that the two cannot drift apart; the few rules between fields are added by hand. A schema sees
// values and not their text: the reader refuses more (a duplicate key, 010, a gang that a model
// does not fit). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

// Each ends with a newline. The same texts lie in jobs/schema/*.schema.json.
std::string JobSchema();
std::string SuiteSchema();
std::string ScheduleSchema();

// What a job's `spec` may be: the part of JobSchema that the others hold, too.
std::string JobSpecSchema();

// The documents, which together make the reader ask for every field.
const std::vector<std::string_view>& SchemaProbes();
const std::vector<std::string_view>& SuiteProbes();
const std::vector<std::string_view>& ScheduleProbes();

}  // namespace rackmark
