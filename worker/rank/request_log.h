// The preallocated path of request records: the timed loop writes stamps into the table and pushes
// the index of an ended request; the emitter reads that row and never another. The ring has room
// for every request, so nothing can be dropped here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/status.h"
#include "common/time.h"
#include "worker/load/request_table.h"
#include "worker/rank/spsc_ring.h"

namespace rackmark {

class RequestLog {
 public:
  explicit RequestLog(RequestTable table) : table_(std::move(table)), ended_(table_.size()) {}

  // The timed thread's.
  RequestTable& table() { return table_; }
  void End(size_t index, Nanos now, v1::FinishReason finish) {
    table_.End(index, now, finish);
    RACKMARK_CHECK(ended_.TryPush(static_cast<uint32_t>(index)));
  }

  // The emitter's: the next ended request, whose row may be read from then on.
  bool PopEnded(uint32_t* index) { return ended_.TryPop(index); }
  const RequestTable& ended_rows() const { return table_; }

 private:
  RequestTable table_;
  SpscRing<uint32_t> ended_;
};

}  // namespace rackmark
