// Sketches of the requests that ended since the last ones left, for the live view: soft, mergeable,
// never part of a report. Used under the emitter's lock.
#pragma once

#include <string_view>

#include "common/sketch.h"
#include "rackmark/v1/sample.pb.h"

namespace rackmark {

// Their names in the chunks; METRICS rule 3 says what they are.
constexpr std::string_view kTtftSketch = "ttft_ms";
constexpr std::string_view kTpotSketch = "tpot_ms";
constexpr std::string_view kItlSketch = "itl_ms";
constexpr std::string_view kE2eSketch = "e2e_ms";

class LiveSketches {
 public:
  // An ended request. TTFT if it got a token, a gap per further token; TPOT and end-to-end time
  // only if it got all of them: a cut request would make them look short.
  void Add(const v1::RequestRecord& request);
  // Moves those that hold something to the payload.
  void MoveTo(v1::ChunkPayload* payload);
  void Clear() { *this = LiveSketches(); }

 private:
  QuantileSketch ttft_;
  QuantileSketch tpot_;
  QuantileSketch itl_;
  QuantileSketch e2e_;
};

}  // namespace rackmark
