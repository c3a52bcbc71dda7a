// A small SVG writer for the charts of a report. Pure and deterministic: the same data give the
// same text. Labels are hostile and escaped here. Colours come from the page's CSS classes
// (ChartCss), so that a chart follows light and dark.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

struct ChartPoint {
  double x = 0;
  double y = 0;  // NaN: no value here
};
struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points;
};
struct LineChart {
  std::string title;  // for screen readers and on hover
  std::string x_label;
  std::string y_label;
  std::vector<ChartSeries> series;
  bool area = false;          // fill below the line
  double gap_max = 0;         // a line breaks where points with values are farther apart; 0: never
  bool binary_bytes = false;  // y ticks as MiB, GiB
  double y_max = 0;           // at least this; 0: by the data
};
std::string RenderLineChart(const LineChart& chart);

// Cumulative share over a value; points ascending, share 0..1.
struct CdfChart {
  std::string title;
  std::string x_label;
  std::vector<ChartSeries> series;
};
std::string RenderCdfChart(const CdfChart& chart);

// One bar per row, cut into the same parts in each; the rest up to `total` stays empty.
struct BarChart {
  std::string title;
  std::string unit;
  double total = 0;
  std::vector<std::string> parts;  // names, for the legend
  struct Row {
    std::string name;
    std::vector<double> values;  // one per part; NaN: missing
  };
  std::vector<Row> rows;
};
std::string RenderBarChart(const BarChart& chart);

// Ticks at 1, 2 or 5 times a power of ten that cover [low, high]; about `wanted` of them.
std::vector<double> NiceTicks(double low, double high, int wanted);

// The style rules that the charts need, for light and dark.
std::string_view ChartCss();

}  // namespace rackmark
