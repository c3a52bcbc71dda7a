// The samples of one run laid out for the summary: points by rank and by node on one time axis (the
// clock of rank 0's node), and the measured window. Built once, then only read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/series.h"
#include "report/summarize.h"

namespace rackmark {

struct Point {
  int64_t t_ns = 0;
  double value = 0;
};
using Points = std::vector<Point>;

struct StreamData {
  uint32_t stream = 0;  // rank, or the lowest rank of the node
  uint64_t node_id = 0;
  bool complete = false;  // no sequence number is missing up to the last chunk
  bool on_axis = true;    // false: its clock could not be mapped; only values that need no time
  std::map<SeriesId, Points> series;
  std::vector<v1::RequestRecord> requests;
  uint64_t samples = 0;  // points and requests that came, read or not
  uint64_t dropped_results = 0;
  uint64_t dropped_telemetry = 0;

  const Points& Of(SeriesId id) const;
  std::optional<double> First(SeriesId id) const;
};

struct RunData {
  std::vector<StreamData> ranks;  // ascending
  std::vector<StreamData> nodes;
  std::optional<int64_t> t0_ns;
  std::optional<int64_t> t1_ns;
  std::optional<int64_t> clock_uncertainty_ns;
  uint64_t samples = 0;
  uint64_t dropped_results = 0;
  uint64_t dropped_telemetry = 0;
  std::vector<v1::MissingValue> missing;

  bool has_window() const { return t0_ns && t1_ns && *t1_ns > *t0_ns; }
  double window_s() const { return static_cast<double>(*t1_ns - *t0_ns) / 1e9; }
  bool InWindow(int64_t t_ns) const { return t_ns >= *t0_ns && t_ns < *t1_ns; }
  const StreamData* Rank(uint32_t rank) const;
  double SumInWindow(const Points& points) const;
  void Miss(std::string_view name, std::string_view reason);
};

// Takes the streams over; their points stay where they are.
RunData LayOut(std::map<IntakeKey, StreamIntake> streams, const RunFacts& facts);

}  // namespace rackmark
