// What a worker pushes: batches through ingest into a store, chunks through the codec into a
// report. Input: one byte that chooses, then a SampleBatch, or a ChunkPayload that is packed here
// (behind the checksum, which mutations would hardly get right).
#include <future>
#include <memory>

#include "common/status.h"
#include "coordinator/serve/ingest.h"
#include "coordinator/store/memory_store.h"
#include "report/judge.h"
#include "report/render.h"
#include "report/test_data.h"
#include "tests/fuzz/target.h"

namespace rackmark::fuzz {
namespace {

constexpr char kCluster[] = "c";

v1::SampleBatch TestBatch() {
  v1::SampleBatch batch;
  for (v1::Chunk& chunk : TestChunks()) {
    chunk.mutable_header()->set_cluster_id(kCluster);
    *batch.add_chunks() = std::move(chunk);
  }
  return batch;
}

void CheckRoundTrip(const v1::ChunkPayload& payload) {
  v1::ChunkHeader header;
  const auto packed = PackChunk(header, payload);
  RACKMARK_CHECK(packed.ok() && CheckChunk(*packed).ok());
  const auto again = UnpackChunk(*packed);
  RACKMARK_CHECK(again.ok());
  RACKMARK_CHECK(again->SerializeAsString() == payload.SerializeAsString());
  v1::ChunkPayload copy;
  PayloadBuilder builder(&copy);
  RACKMARK_CHECK(builder.Append(payload).ok() || payload.sketches_size() > 0);
}

// Whatever ranks wrote, a report comes of it, and the same twice.
void CheckReport(const std::vector<v1::Chunk>& chunks) {
  std::string before;
  for (int turn = 0; turn < 2; ++turn) {
    RunSummarizer summarizer;
    for (const v1::Chunk& chunk : chunks) {
      const absl::Status taken = summarizer.AddChunk(chunk);
      if (!taken.ok()) RACKMARK_CHECK(!taken.message().empty());
    }
    v1::JobSummary job;
    *job.add_runs() = summarizer.Finish(TestFacts());
    Judge(*job.mutable_runs(0));
    const std::string json = RenderJson(job) + RenderHtml(job) + RenderCsv(job);
    RACKMARK_CHECK(turn == 0 || json == before);
    before = json;
  }
}

// Ingest itself, on its own thread; what it stores must come back as it was.
void ThroughIngest(const v1::SampleBatch& batch) {
  MemorySampleStore store;
  LiveBoard live;
  Ingest ingest({.store = &store,
                 .live = &live,
                 .cluster_id = kCluster,
                 .knows = [](uint64_t run, uint32_t) { return run < 100; },
                 .fatal = [](const absl::Status&) { RACKMARK_CHECK(false); },
                 .gather = 0,
                 .bytes_max = 1 << 24,
                 .run_bytes_max = 1 << 24});
  std::promise<absl::StatusOr<v1::SampleAck>> acked;
  const absl::Status offered = ingest.Offer(
      batch, [&](absl::StatusOr<v1::SampleAck> ack) { acked.set_value(std::move(ack)); });
  if (!offered.ok()) return;
  const auto ack = acked.get_future().get();
  RACKMARK_CHECK(ack.ok());
  for (const v1::Watermark& mark : ack->watermarks()) {
    if (!mark.refused().empty()) continue;
    uint64_t seen = 0;
    RACKMARK_CHECK(store
                       .ForEachChunk(mark.run_id(), mark.attempt(),
                                     [&](const v1::Chunk& chunk) {
                                       RACKMARK_CHECK(CheckChunk(chunk).ok());
                                       ++seen;
                                       return absl::OkStatus();
                                     })
                       .ok());
    RACKMARK_CHECK(seen > 0 || mark.seq() == 0);
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {std::string(1, '\0') + TestBatch().SerializeAsString()};
  for (const v1::Chunk& chunk : TestChunks()) {
    seeds.push_back("\x01" + UnpackChunk(chunk)->SerializeAsString());
  }
  return seeds;
}

}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  if (size < 1) return 0;
  const std::string bytes(fuzz::AsText(data + 1, size - 1));
  std::vector<v1::Chunk> chunks;
  if ((data[0] & 1U) == 0) {
    v1::SampleBatch batch;
    if (!batch.ParseFromString(bytes)) return 0;
    fuzz::ThroughIngest(batch);
    chunks = {batch.chunks().begin(), batch.chunks().end()};
  } else {
    v1::ChunkPayload payload;
    if (!payload.ParseFromString(bytes)) return 0;
    v1::ChunkHeader header = TestChunks()[data[0] & 4U ? 3 : 0].header();
    header.set_last(true);
    const auto packed = PackChunk(header, payload);
    if (!packed.ok()) return 0;
    chunks = {*packed, TestChunks()[2]};
  }
  for (const v1::Chunk& chunk : chunks) {
    const auto payload = UnpackChunk(chunk);
    if (payload.ok()) fuzz::CheckRoundTrip(*payload);
  }
  fuzz::CheckReport(chunks);
  return 0;
}
