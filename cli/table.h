// Lists for people: columns as wide as their widest cell, and the tables of nodes, jobs and runs.
// Pure. All text from outside is escaped here.
#pragma once

#include <string>
#include <vector>

#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

class Table {
 public:
  explicit Table(std::vector<std::string> header);
  // As many cells as the header has.
  void Add(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string NodesTable(const v1::ListNodesReply& reply);
std::string JobsTable(const v1::ListJobsReply& reply);
std::string RunsTable(const v1::ListRunsReply& reply);
// The answer first, then what it rests on.
std::string WhyText(const v1::WhyReply& reply);

// The line below a list that is cut; "" where nothing is left out.
std::string MoreText(uint32_t left_out);

// "RUN_PHASE_MEASURING" -> "measuring".
std::string PhaseText(const std::string& name, size_t prefix);

}  // namespace rackmark
