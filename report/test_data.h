// A small run made by hand for the tests: three requests on two ranks, times in ms after T0.
#pragma once

#include <vector>

#include "common/time.h"
#include "report/summarize.h"
#include "samples/chunk_codec.h"

namespace rackmark {

constexpr Nanos kTestT0 = 1000 * kSecond;

inline RunFacts TestFacts() {
  RunFacts facts;
  facts.run_id = 7;
  facts.attempt = 1;
  facts.spec.set_seed(42);
  v1::ServeWorkload& serve = *facts.spec.mutable_serve();
  serve.set_model("tiny");
  serve.set_tensor_parallel(2);
  serve.mutable_load()->mutable_auto_()->set_share(0.6);
  serve.mutable_load()->set_duration_ns(4 * kSecond);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    v1::RankPlace* place = facts.placement.add_ranks();
    place->set_rank(rank);
    place->set_node_id(rank + 1);
    place->set_node(rank == 0 ? "a" : "b");
    v1::NodeFacts node;
    node.set_node_id(rank + 1);
    node.set_name(rank == 0 ? "a" : "b");
    facts.nodes.push_back(node);
  }
  return facts;
}

inline v1::RequestRecord TestRequest(uint64_t index, int64_t sched_ms, int64_t first_ms,
                                     const std::vector<int64_t>& gaps_ms) {
  v1::RequestRecord r;
  r.set_index(index);
  r.set_phase(v1::LOAD_PHASE_MEASURE);
  r.set_t_sched_ns(kTestT0 + sched_ms * kMillisecond);
  r.set_t_issue_ns(r.t_sched_ns() + 10 * kMillisecond);
  int64_t t = kTestT0 + first_ms * kMillisecond;
  r.set_t_first_token_ns(t);
  for (const int64_t gap : gaps_ms) {
    r.add_token_delta_ns(gap * kMillisecond);
    t += gap * kMillisecond;
  }
  r.set_t_last_ns(t);
  r.set_t_end_ns(t);
  r.set_output_tokens(static_cast<uint32_t>(gaps_ms.size()) + 1);
  r.set_output_tokens_planned(r.output_tokens());
  r.set_finish(v1::FINISH_REASON_LENGTH);
  return r;
}

inline v1::Chunk TestChunk(v1::StreamKind kind, uint32_t stream, uint64_t seq, bool last,
                           const v1::ChunkPayload& payload) {
  v1::ChunkHeader header;
  header.set_run(7);
  header.set_attempt(1);
  header.set_kind(kind);
  header.set_stream(stream);
  header.set_seq(seq);
  header.set_last(last);
  header.set_node_id(stream + 1);
  header.set_boot_id("boot");
  return *PackChunk(header, payload);
}

inline void AddTestStep(PayloadBuilder& builder, int64_t at_ms, double decode, double prefill) {
  const Nanos t = kTestT0 + at_ms * kMillisecond;
  builder.Add(SeriesId::kStepCompute, t, 0.006);
  builder.Add(SeriesId::kStepCollectiveWait, t, 0.001);
  builder.Add(SeriesId::kStepCollectiveTransfer, t, 0.002);
  builder.Add(SeriesId::kStepPlanWait, t, 0.0005);
  builder.Add(SeriesId::kStepHost, t, 0.0005);
  builder.Add(SeriesId::kStepDecodeTokens, t, decode);
  builder.Add(SeriesId::kStepPrefillTokens, t, prefill);
  builder.Add(SeriesId::kStepLateness, t, 0.003);
}

inline void AddTestFacts(PayloadBuilder& builder, bool leader) {
  builder.Add(SeriesId::kReadBandwidth, kTestT0 - kSecond, 5e9);
  builder.Add(SeriesId::kInstrumentNsPerSample, kTestT0 - kSecond, 50);
  builder.Add(SeriesId::kVerifyChecked, kTestT0 + 9 * kSecond, 8);
  builder.Add(SeriesId::kVerifyWrong, kTestT0 + 9 * kSecond, 0);
  builder.Add(SeriesId::kRankRss, kTestT0 + kSecond, 64.0 * (1 << 20));
  if (!leader) return;
  builder.Add(SeriesId::kWindowStart, kTestT0, 1);
  builder.Add(SeriesId::kWindowEnd, kTestT0 + 4 * kSecond, 1);
  builder.Add(SeriesId::kRequestsScheduled, kTestT0, 3);
  builder.Add(SeriesId::kRequestedRate, kTestT0, 0.75);
  builder.Add(SeriesId::kCalibrationRate, kTestT0, 1.25);
  builder.Add(SeriesId::kFloorBytesPerStep, kTestT0, 1e7);
  builder.Add(SeriesId::kFloorBytesPerToken, kTestT0, 5e6);
  builder.Add(SeriesId::kGangTransport, kTestT0, static_cast<double>(TransportCode::kShm));
  for (const int64_t ms : {100, 200}) {
    const Nanos t = kTestT0 + ms * kMillisecond;
    builder.Add(SeriesId::kAllreduceBytes, t, 3000);
    builder.Add(SeriesId::kAllreduceWait, t, 0.001);
    builder.Add(SeriesId::kAllreduceTransfer, t, 0.003);
    builder.Add(SeriesId::kRequestsRunning, t, 2);
    builder.Add(SeriesId::kRequestsWaiting, t, 1);
  }
}

// Rank 0 in two chunks, rank 1 in one, a node stream each.
inline std::vector<v1::Chunk> TestChunks() {
  std::vector<v1::Chunk> chunks;
  v1::ChunkPayload a, b, c;
  PayloadBuilder first(&a), second(&b), other(&c);
  AddTestFacts(first, true);
  AddTestStep(first, 100, 2, 0);
  AddTestStep(first, 200, 0, 30);
  AddTestStep(second, 300, 2, 0);
  AddTestStep(second, 4500, 9, 9);  // after the window
  *a.add_requests() = TestRequest(0, 0, 100, {10, 20});
  *a.add_requests() = TestRequest(1, 1000, 1300, {});
  *b.add_requests() = TestRequest(2, 3900, 3950, {40, 40, 40});  // two tokens after T1
  AddTestFacts(other, false);
  AddTestStep(other, 100, 2, 0);
  chunks.push_back(TestChunk(v1::STREAM_KIND_RANK, 0, 1, false, a));
  chunks.push_back(TestChunk(v1::STREAM_KIND_RANK, 0, 2, true, b));
  chunks.push_back(TestChunk(v1::STREAM_KIND_RANK, 1, 1, true, c));
  for (uint32_t node = 0; node < 2; ++node) {
    v1::ChunkPayload d;
    PayloadBuilder builder(&d);
    builder.Add(SeriesId::kDaemonCpu, kTestT0 + kSecond, 5);
    builder.Add(SeriesId::kDaemonCpu, kTestT0 + 3 * kSecond, 5.02);
    builder.Add(SeriesId::kHostCpuBusy, kTestT0 + kSecond, 0.5);
    builder.Add(SeriesId::kHostMemoryUsed, kTestT0 + kSecond, 3.0 * (1 << 30));
    builder.Add(SeriesId::kHostMemoryUsed, kTestT0 + 3 * kSecond, 4.0 * (1 << 30));
    chunks.push_back(TestChunk(v1::STREAM_KIND_NODE, node, 1, true, d));
  }
  return chunks;
}

}  // namespace rackmark
