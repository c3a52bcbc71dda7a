// The threads that unpack must not be seen in the result.
#include <string>

#include "coordinator/reporter.h"
#include "gtest/gtest.h"
#include "report/judge.h"
#include "report/test_data.h"

namespace rackmark {
namespace {

v1::RunSummary Known() {
  v1::RunSummary known;
  const RunFacts facts = TestFacts();
  known.set_run_id(facts.run_id);
  known.set_attempt(facts.attempt);
  *known.mutable_spec() = facts.spec;
  *known.mutable_placement() = facts.placement;
  for (const v1::NodeFacts& node : facts.nodes) *known.add_nodes() = node;
  return known;
}

ChunkSource From(const std::vector<v1::Chunk>& chunks) {
  return [&chunks](const SampleStore::ChunkVisitor& visit) {
    for (const v1::Chunk& chunk : chunks) RETURN_IF_ERROR(visit(chunk));
    return absl::OkStatus();
  };
}

// Rank 0's stream in many small chunks.
std::vector<v1::Chunk> ManyChunks() {
  std::vector<v1::Chunk> chunks = TestChunks();
  chunks[1].mutable_header()->set_last(false);
  for (uint64_t seq = 3; seq <= 200; ++seq) {
    v1::ChunkPayload payload;
    PayloadBuilder builder(&payload);
    AddTestStep(builder, static_cast<int64_t>(300 + seq * 10), 1 + 0.1 * static_cast<double>(seq),
                0);
    chunks.push_back(TestChunk(v1::STREAM_KIND_RANK, 0, seq, seq == 200, payload));
  }
  return chunks;
}

TEST(SummarizeWithReport, ThreadsGiveTheBytesOfOne) {
  const std::vector<v1::Chunk> chunks = ManyChunks();
  RunSummarizer alone;
  for (const v1::Chunk& chunk : chunks) ASSERT_TRUE(alone.AddChunk(chunk).ok());
  v1::RunSummary expected = alone.Finish(TestFacts());
  Judge(expected);
  EXPECT_GT(expected.serve().decode_tok_s(), 0);
  for (int turn = 0; turn < 20; ++turn) {
    const auto summary = SummarizeWithReport(Known(), From(chunks));
    ASSERT_TRUE(summary.ok()) << summary.status();
    ASSERT_EQ(summary->SerializeAsString(), expected.SerializeAsString());
  }
}

TEST(SummarizeWithReport, ADamagedChunkIsAnErrorAndSoIsOneOfTheStore) {
  std::vector<v1::Chunk> chunks = ManyChunks();
  chunks[150].mutable_payload()->back() ^= 1;
  EXPECT_EQ(SummarizeWithReport(Known(), From(chunks)).status().code(),
            absl::StatusCode::kDataLoss);
  const auto broken = [](const SampleStore::ChunkVisitor&) {
    return absl::InternalError("the disk");
  };
  EXPECT_EQ(SummarizeWithReport(Known(), broken).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace rackmark
