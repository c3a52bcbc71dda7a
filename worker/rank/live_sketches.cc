#include "worker/rank/live_sketches.h"

#include <cstdint>
#include <string>

namespace rackmark {
namespace {

double Ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

void MoveOne(std::string_view name, QuantileSketch* from, v1::ChunkPayload* payload) {
  if (from->count() == 0) return;
  v1::Sketch* sketch = payload->add_sketches();
  sketch->set_name(static_cast<uint32_t>(payload->dictionary_size()));
  payload->add_dictionary(std::string(name));
  sketch->set_relative_error(from->relative_error());
  sketch->set_zero_count(from->zero_count());
  sketch->set_first_bucket(from->first_bucket());
  for (const uint64_t count : from->counts()) sketch->add_counts(count);
  *from = QuantileSketch();
}

}  // namespace

void LiveSketches::Add(const v1::RequestRecord& request) {
  if (!request.has_t_first_token_ns()) return;
  // A first token before its planned arrival cannot be; the sketch refuses it as our bug.
  ttft_.Add(Ms(request.t_first_token_ns() - request.t_sched_ns()));
  for (const int64_t gap : request.token_delta_ns()) itl_.Add(Ms(gap));
  if (request.finish() != v1::FINISH_REASON_LENGTH) return;
  e2e_.Add(Ms(request.t_last_ns() - request.t_sched_ns()));
  if (request.output_tokens() < 2) return;
  tpot_.Add(Ms(request.t_last_ns() - request.t_first_token_ns()) / (request.output_tokens() - 1));
}

void LiveSketches::MoveTo(v1::ChunkPayload* payload) {
  MoveOne(kTtftSketch, &ttft_, payload);
  MoveOne(kTpotSketch, &tpot_, payload);
  MoveOne(kItlSketch, &itl_, payload);
  MoveOne(kE2eSketch, &e2e_, payload);
}

}  // namespace rackmark
