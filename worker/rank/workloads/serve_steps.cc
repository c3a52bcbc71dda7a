#include "worker/rank/workloads/serve_steps.h"

namespace rackmark {
namespace {

double Seconds(Nanos t) { return static_cast<double>(t) / 1e9; }

struct CollectiveSeries {
  SeriesId bytes;
  SeriesId wait;
  SeriesId transfer;
};

CollectiveSeries SeriesOf(CollectiveOp op) {
  if (op == CollectiveOp::kAllReduce) {
    return {SeriesId::kAllreduceBytes, SeriesId::kAllreduceWait, SeriesId::kAllreduceTransfer};
  }
  return {SeriesId::kAllgatherBytes, SeriesId::kAllgatherWait, SeriesId::kAllgatherTransfer};
}

}  // namespace

void RecordStep(const StepResult& step, bool leader, Recorder* recorder) {
  const StepStats& s = step.stats;
  const Nanos t = s.t_end_ns;
  recorder->Record(SeriesId::kStepCompute, t, s.compute_s);
  recorder->Record(SeriesId::kStepCollectiveWait, t, s.collective_wait_s);
  recorder->Record(SeriesId::kStepCollectiveTransfer, t, s.collective_transfer_s);
  recorder->Record(SeriesId::kStepPlanWait, t, s.plan_wait_s);
  recorder->Record(SeriesId::kStepHost, t, s.host_s);
  recorder->Record(SeriesId::kStepDecodeTokens, t, s.decode_tokens);
  recorder->Record(SeriesId::kStepPrefillTokens, t, s.prefill_tokens);
  recorder->Record(SeriesId::kStepLateness, t, s.lateness_s);
  for (const CollectiveRecord& c : step.collectives) {
    const CollectiveSeries series = SeriesOf(c.op);
    recorder->Record(series.bytes, c.t_end_ns, static_cast<double>(c.bytes));
    recorder->Record(series.wait, c.t_end_ns, Seconds(c.wait));
    recorder->Record(series.transfer, c.t_end_ns, Seconds(c.transfer));
  }
  if (!leader) return;
  recorder->Record(SeriesId::kRequestsRunning, t, s.running);
  recorder->Record(SeriesId::kRequestsWaiting, t, s.waiting);
  recorder->Record(SeriesId::kKvBlocksUsed, t, s.kv_blocks_used);
}

}  // namespace rackmark
