// Pieces of the HTML report. Pure. Everything given as text is hostile and escaped here.
#pragma once

#include <string>
#include <string_view>

#include "rackmark/v1/summary.pb.h"
#include "report/tables.h"

namespace rackmark {

std::string RenderTable(const Table& table);
// The table in a panel with its title and note.
std::string TablePanel(const Table& table);
std::string Panel(std::string_view title, std::string_view note, const std::string& body);
std::string Badge(v1::Verdict verdict);
std::string_view PageCss();

// html_charts.cc: the panels with charts, empty where the run has no such data.
std::string ChartPanels(const v1::RunSummary& run);

}  // namespace rackmark
