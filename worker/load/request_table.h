// What happened to each request of a schedule, stamp by stamp. All memory is taken before T0: the
// timed loop writes stamps and allocates nothing. One thread writes; once End was called for a
// request another thread may read that one (Record, TtftMs), if it learned the index through a
// release/acquire pair such as the ring of finished requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/sample.pb.h"
#include "worker/load/arrivals.h"

namespace rackmark {

// Bound of a table's memory; a schedule that needs more is refused before it starts.
constexpr size_t kRequestTableBytesMax = size_t{1} << 30;

class RequestTable {
 public:
  // t_sched of request i is t0 + schedule[i].offset_ns.
  static absl::StatusOr<RequestTable> Create(const std::vector<Arrival>& schedule, Nanos t0 = 0);
  // Moves all t_sched by t0, before the first request is issued: making a large table takes longer
  // than its T0 lies ahead, so T0 is chosen after it.
  void Begin(Nanos t0);

  size_t size() const { return requests_.size(); }
  Nanos t_sched(size_t index) const { return requests_[index].t_sched; }
  const Lengths& lengths(size_t index) const { return requests_[index].lengths; }
  size_t ended() const { return ended_; }

  // Seen by admission.
  void Issue(size_t index, Nanos now);
  // One output token arrived. More tokens than planned are our bug.
  void Token(size_t index, Nanos now);
  // With prefix reuse: prompt tokens that were not computed.
  void Cached(size_t index, uint32_t tokens);
  // Closed for good; exactly once per request.
  void End(size_t index, Nanos now, v1::FinishReason finish);
  bool has_ended(size_t index) const {
    return requests_[index].finish != v1::FINISH_REASON_UNKNOWN;
  }

  // The record of an ended request. Allocates: not for the timed loop.
  v1::RequestRecord Record(size_t index) const;
  // First token - t_sched; missing without a token.
  std::optional<double> TtftMs(size_t index) const;

 private:
  struct Request {
    Nanos t_sched = 0;
    Nanos t_issue = 0;  // meaningful if issued
    Nanos t_first = 0;  // meaningful if tokens > 0; t_last too
    Nanos t_last = 0;
    Nanos t_end = 0;
    size_t first_gap = 0;  // in gaps_
    Lengths lengths;
    uint32_t tokens = 0;
    uint32_t cached = 0;  // meaningful if reuse
    bool issued = false;
    bool reuse = false;
    v1::FinishReason finish = v1::FINISH_REASON_UNKNOWN;
  };

  RequestTable() = default;

  std::vector<Request> requests_;
  std::vector<int64_t> gaps_;  // output_tokens - 1 per request
  size_t ended_ = 0;
};

}  // namespace rackmark
