// Pieces of the HTML report. Pure. Everything given as text is hostile and escaped here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

struct HtmlTable {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  size_t words = 1;  // the first columns are words and stand left; the others are numbers
};
std::string RenderTable(const HtmlTable& table);
std::string Panel(std::string_view title, std::string_view note, const std::string& body);
std::string Badge(v1::Verdict verdict);
std::string_view PageCss();

// html_charts.cc: the panels with charts, empty where the run has no such data.
std::string ChartPanels(const v1::RunSummary& run);
// html_tables.cc: all tables of one run.
std::string TablePanels(const v1::RunSummary& run);

}  // namespace rackmark
