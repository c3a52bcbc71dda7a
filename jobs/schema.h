// The JSON Schema (draft 7) of a job file, for editors and other people's tools. Most of it is what
// the strict reader asks for while it reads a few probe documents, so that the two cannot drift
// apart; the few rules between fields are added by hand. A schema sees values and not their text:
// the reader refuses more (a duplicate key, 010, a gang that a model does not fit). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

// Ends with a newline. The same text lies in jobs/schema/job.schema.json.
std::string JobSchema();

// The documents, which together make the reader ask for every field.
const std::vector<std::string_view>& SchemaProbes();

}  // namespace rackmark
