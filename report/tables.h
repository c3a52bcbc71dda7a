// The tables of a report, as rows of words and numbers; HTML and Markdown only format them. Pure.
// Cells are not escaped: each renderer does that for where it writes.
#pragma once

#include <string>
#include <vector>

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

struct Table {
  std::string title;
  std::string note;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  size_t words = 1;  // the first columns are words and stand left; the others are numbers
};

// Of one run, in the order to show them; none is empty.
std::vector<Table> RunTables(const v1::RunSummary& run);
// One row per run of the job.
Table RunsTable(const v1::JobSummary& job);

}  // namespace rackmark
