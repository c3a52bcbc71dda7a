#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr double kWidth = 640;
constexpr double kLeft = 82, kRight = 16, kTop = 12, kPlot = 190;
constexpr double kBottom = kTop + kPlot;
constexpr double kAxisHeight = 44;
constexpr double kLegendHeight = 22;
constexpr double kCharWidth = 6.6;  // of the 12 px labels, for the legend's layout
constexpr double kShortPiece = 4;   // pixels; a line below that is a speck
constexpr int kColors = 6;          // .c0 to .c5 in ChartCss

// One decimal is a tenth of a pixel; more would only make the file larger.
std::string Num(double v) {
  std::string text = absl::StrFormat("%.1f", v);
  if (text.size() > 2 && text.substr(text.size() - 2) == ".0") text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string TickText(double v, double step, bool bytes) {
  if (bytes) return FormatBytes(v);
  if (std::abs(v) >= 10000) return FormatCount(v);
  const int decimals = step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
  return absl::StrFormat("%.*f", std::min(decimals, 6), v);
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
};

struct Frame {
  std::vector<double> x_ticks, y_ticks;
  double X(double v) const { return Scale(v, x_ticks, kLeft, kWidth - kRight); }
  double Y(double v) const { return Scale(v, y_ticks, kBottom, kTop); }
  static double Scale(double v, const std::vector<double>& ticks, double from, double to) {
    return from + (v - ticks.front()) / (ticks.back() - ticks.front()) * (to - from);
  }
};

std::string Open(double height, const std::string& title) {
  const std::string safe = EscapeHtml(title);
  return absl::StrCat("<svg class=\"chart\" viewBox=\"0 0 ", Num(kWidth), " ", Num(height),
                      "\" role=\"img\" aria-label=\"", safe, "\">\n");
}

std::string Text(double x, double y, const char* cls, std::string_view text) {
  return absl::StrCat("<text class=\"", cls, "\" x=\"", Num(x), "\" y=\"", Num(y), "\">",
                      EscapeHtml(text), "</text>\n");
}

std::string LineBetween(const char* cls, double x1, double y1, double x2, double y2) {
  return absl::StrCat("<line class=\"", cls, "\" x1=\"", Num(x1), "\" y1=\"", Num(y1), "\" x2=\"",
                      Num(x2), "\" y2=\"", Num(y2), "\"/>\n");
}

std::string Axes(const Frame& frame, const LineChart& chart) {
  std::string out;
  const double y_step = frame.y_ticks[1] - frame.y_ticks[0];
  for (const double tick : frame.y_ticks) {
    const double y = frame.Y(tick);
    out += LineBetween("grid", kLeft, y, kWidth - kRight, y);
    out += Text(kLeft - 8, y + 4, "tick end", TickText(tick, y_step, chart.binary_bytes));
  }
  const double x_step = frame.x_ticks[1] - frame.x_ticks[0];
  for (const double tick : frame.x_ticks) {
    const double x = frame.X(tick);
    out += LineBetween("axis", x, kBottom, x, kBottom + 4);
    out += Text(x, kBottom + 18, "tick mid", TickText(tick, x_step, false));
  }
  out += LineBetween("axis", kLeft, kBottom, kWidth - kRight, kBottom);
  out += Text((kLeft + kWidth - kRight) / 2, kBottom + 36, "label mid", chart.x_label);
  const double y = (kTop + kBottom) / 2;
  absl::StrAppend(&out, "<text class=\"label mid\" transform=\"translate(13 ", Num(y),
                  ") rotate(-90)\">", EscapeHtml(chart.y_label), "</text>\n");
  return out;
}

// Coordinates of the pieces of one line; a piece ends where values are missing for too long.
std::vector<std::vector<ChartPoint>> Pieces(const ChartSeries& series, double gap_max) {
  std::vector<std::vector<ChartPoint>> pieces;
  for (const ChartPoint& point : series.points) {
    if (!std::isfinite(point.y) || !std::isfinite(point.x)) continue;
    const bool far = gap_max > 0 && !pieces.empty() && point.x - pieces.back().back().x > gap_max;
    if (pieces.empty() || far) pieces.emplace_back();
    pieces.back().push_back(point);
  }
  return pieces;
}

std::string Path(const std::vector<ChartPoint>& piece, const Frame& frame) {
  std::string path;
  for (const ChartPoint& point : piece) {
    absl::StrAppend(&path, path.empty() ? "M" : "L", Num(frame.X(point.x)), " ",
                    Num(frame.Y(point.y)));
  }
  return path;
}

// A piece of one value, or of a few close together, is too short for a line to be seen.
std::string Dots(const std::vector<ChartPoint>& piece, const Frame& frame) {
  std::string out;
  if (frame.X(piece.back().x) - frame.X(piece.front().x) >= kShortPiece) return out;
  for (const ChartPoint& point : piece) {
    absl::StrAppend(&out, "<circle class=\"dot\" cx=\"", Num(frame.X(point.x)), "\" cy=\"",
                    Num(frame.Y(point.y)), "\" r=\"2.4\"/>\n");
  }
  return out;
}

std::string Curve(const ChartSeries& series, size_t index, const Frame& frame,
                  const LineChart& chart) {
  const std::string color = absl::StrCat("c", index % kColors);
  std::string out =
      absl::StrCat("<g class=\"", color, "\"><title>", EscapeHtml(series.name), "</title>\n");
  for (const auto& piece : Pieces(series, chart.gap_max)) {
    const std::string path = Path(piece, frame);
    if (chart.area && piece.size() > 1) {
      absl::StrAppend(&out, "<path class=\"area\" d=\"", path, "L", Num(frame.X(piece.back().x)),
                      " ", Num(kBottom), "L", Num(frame.X(piece.front().x)), " ", Num(kBottom),
                      "Z\"/>\n");
    }
    if (piece.size() > 1) absl::StrAppend(&out, "<path class=\"curve\" d=\"", path, "\"/>\n");
    out += Dots(piece, frame);
  }
  return out + "</g>\n";
}

// Names beside colour patches, wrapped to the width. Grows `height`.
std::string Legend(const std::vector<std::string>& names, double& height) {
  std::string out;
  double x = kLeft;
  double y = height + 10;
  for (size_t i = 0; i < names.size(); ++i) {
    const double width = 34 + kCharWidth * static_cast<double>(names[i].size());
    if (x > kLeft && x + width > kWidth) {
      x = kLeft;
      y += kLegendHeight;
    }
    absl::StrAppend(&out, "<rect class=\"c", i % kColors, " patch\" x=\"", Num(x), "\" y=\"",
                    Num(y - 9), "\" width=\"10\" height=\"10\" rx=\"2\"/>\n");
    out += Text(x + 16, y, "legend", names[i]);
    x += width;
  }
  height = y + 10;
  return out;
}

std::string Empty(const std::string& title) {
  return absl::StrCat(Open(60, title), Text(kWidth / 2, 34, "label mid", "no data"), "</svg>\n");
}

std::string RenderWith(const Frame& frame, const LineChart& chart) {
  double height = kBottom + kAxisHeight;
  std::vector<std::string> names;
  for (const ChartSeries& series : chart.series) names.push_back(series.name);
  std::string body = Axes(frame, chart);
  for (size_t i = 0; i < chart.series.size(); ++i) body += Curve(chart.series[i], i, frame, chart);
  if (names.size() > 1) body += Legend(names, height);
  return absl::StrCat(Open(height, chart.title), body, "</svg>\n");
}

}  // namespace

std::vector<double> NiceTicks(double low, double high, int wanted) {
  if (!(high > low)) high = low + (low == 0 ? 1 : std::abs(low));
  const double raw = (high - low) / std::max(1, wanted);
  // A span beyond all doubles, or so small that no power of ten divides it: two ticks all the same.
  if (!std::isnormal(raw) || !std::isnormal(raw / 100)) return {low, high};
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  const double first = std::floor(low / step + 1e-9);
  const double last = std::max(first + 1, std::ceil(high / step - 1e-9));
  std::vector<double> ticks;
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string RenderLineChart(const LineChart& chart) {
  Range x, y;
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      if (!std::isfinite(point.y)) continue;
      x.Add(point.x);
      y.Add(point.y);
    }
  }
  if (x.empty() || y.empty()) return Empty(chart.title);
  Frame frame;
  frame.x_ticks = NiceTicks(std::min(0.0, x.low), x.high, 8);
  // A byte is the least step: half a byte per second would be labelled as 0.
  const double least = chart.binary_bytes ? 4 : 0;
  const double high = std::max({y.high, chart.y_max, least});
  if (chart.binary_bytes) {
    // Whole steps in the unit that the ticks are written in.
    const double unit = std::pow(1024, std::floor(std::log2(high) / 10));
    for (const double tick : NiceTicks(0, high / unit, 4)) frame.y_ticks.push_back(tick * unit);
  } else {
    frame.y_ticks = NiceTicks(std::min(0.0, y.low), high, 4);
  }
  return RenderWith(frame, chart);
}

std::string RenderCdfChart(const CdfChart& chart) {
  LineChart line;
  line.title = chart.title;
  line.x_label = chart.x_label;
  line.y_label = "% of requests";
  Range x;
  for (const ChartSeries& series : chart.series) {
    ChartSeries steps{series.name, {}};
    for (const ChartPoint& point : series.points) {
      x.Add(point.x);
      const double before = steps.points.empty() ? 0 : steps.points.back().y;
      steps.points.push_back({point.x, before});  // a CDF goes up in steps
      steps.points.push_back({point.x, 100 * point.y});
    }
    line.series.push_back(std::move(steps));
  }
  if (x.empty()) return Empty(chart.title);
  Frame frame;
  frame.x_ticks = NiceTicks(0, x.high, 8);
  frame.y_ticks = {0, 25, 50, 75, 100};
  return RenderWith(frame, line);
}

std::string RenderBarChart(const BarChart& chart) {
  constexpr double kBar = 22, kRow = 34;
  if (chart.rows.empty() || !(chart.total > 0)) return Empty(chart.title);
  const double width = kWidth - kLeft - kRight;
  std::string body;
  double y = kTop;
  for (const BarChart::Row& row : chart.rows) {
    body += Text(kLeft - 8, y + 15, "tick end", row.name);
    absl::StrAppend(&body, "<rect class=\"rest\" x=\"", Num(kLeft), "\" y=\"", Num(y),
                    "\" width=\"", Num(width), "\" height=\"", Num(kBar), "\" rx=\"3\"/>\n");
    double x = kLeft;
    for (size_t i = 0; i < row.values.size() && i < chart.parts.size(); ++i) {
      if (!(row.values[i] > 0)) continue;
      const double w = std::min(row.values[i] / chart.total * width, kLeft + width - x);
      absl::StrAppend(&body, "<rect class=\"c", i % kColors, " bar\" x=\"", Num(x), "\" y=\"",
                      Num(y), "\" width=\"", absl::StrFormat("%.2f", w), "\" height=\"", Num(kBar),
                      "\"><title>", EscapeHtml(row.name), ", ", EscapeHtml(chart.parts[i]), ": ",
                      absl::StrFormat("%.3g", row.values[i]), " ", EscapeHtml(chart.unit),
                      "</title></rect>\n");
      x += w;
    }
    y += kRow;
  }
  const std::vector<double> ticks = NiceTicks(0, chart.total, 8);
  for (const double tick : ticks) {
    if (tick > chart.total * 1.0001) break;
    body += Text(kLeft + tick / chart.total * width, y + 6, "tick mid",
                 TickText(tick, ticks[1] - ticks[0], false));
  }
  body += Text(kLeft + width / 2, y + 26, "label mid", chart.unit);
  double height = y + 36;
  body += Legend(chart.parts, height);
  return absl::StrCat(Open(height, chart.title), body, "</svg>\n");
}

std::string_view ChartCss() {
  return R"(.chart{display:block;width:100%;height:auto;font:12px var(--font)}
.chart text{fill:var(--muted)}
.chart .legend{fill:var(--text)}
.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}
.chart .tick{font-variant-numeric:tabular-nums;font-size:11.5px}
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--axis);stroke-width:1}
.chart .curve{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;
stroke-linecap:round}
.chart .area{fill:currentColor;opacity:.13}
.chart .bar,.chart .patch,.chart .dot{fill:currentColor}.chart .rest{fill:var(--grid)}
.chart .bar:hover{opacity:.75}
.chart .c0{color:var(--c0)}.chart .c1{color:var(--c1)}.chart .c2{color:var(--c2)}
.chart .c3{color:var(--c3)}.chart .c4{color:var(--c4)}.chart .c5{color:var(--c5)}
)";
}

}  // namespace rackmark
