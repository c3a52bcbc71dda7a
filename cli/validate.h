// Files of jobs, suites and schedules checked without a coordinator: what is wrong with them, or
// what would run. Main's thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/document.h"

namespace rackmark {

struct ValidationError {
  std::string text;  // the whole sentence, with its place
  std::optional<int> line;
  std::optional<int> column;
};

struct Validated {
  std::string path;
  std::optional<Document> document;  // if there are no errors
  std::vector<ValidationError> errors;
};

// Reads the file at `path`, and the traces that it names, with the --set flags applied.
Validated ValidateFile(const std::string& path, const std::vector<std::string>& sets);

// "file: name: 6 runs on 2 CPU devices, 3 min as planned, ..." For a file without errors; of a
// suite and a schedule a line more for each job.
std::string ValidatedText(const Validated& file);
std::string ValidatedJson(const std::vector<Validated>& files);

// The place of "path:12:3: ..." after the file's name. Pure.
ValidationError PlacedError(const std::string& path, const std::string& text);

}  // namespace rackmark
