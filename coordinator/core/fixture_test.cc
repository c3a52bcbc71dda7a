// Logs of every format that was ever written must load for ever. A fixture is never rewritten; a
// new format adds one (tests/scenarios: RACKMARK_WRITE_FIXTURE).
#include <fstream>
#include <iterator>
#include <map>

#include "coordinator/core/decide.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

// Each event: 4 bytes little-endian length, then the serialised message.
std::vector<std::string> ReadRecords(const std::string& name) {
  std::ifstream in(std::string(RACKMARK_CORE_TESTDATA) + "/" + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::string> records;
  for (size_t at = 0; at + 4 <= bytes.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) {
      length |= static_cast<size_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    }
    records.push_back(bytes.substr(at + 4, length));
    at += 4 + length;
  }
  return records;
}

TEST(Fixture, FirstFormatLoads) {
  const std::vector<std::string> records = ReadRecords("events-v1.bin");
  ASSERT_GT(records.size(), 60u);
  State state;
  std::vector<v1::EndedJob> ended;
  for (const std::string& record : records) {
    v1::Event event;
    ASSERT_TRUE(event.ParseFromString(record));
    const absl::Status status = Replay(state, event, &ended);
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(state.hard.cluster_id, "c0ffee00");
  EXPECT_EQ(state.hard.nodes.size(), 3u);
  EXPECT_TRUE(state.hard.jobs.empty());
  EXPECT_TRUE(state.hard.runs.empty());
  EXPECT_TRUE(state.hard.leases.empty());
  std::map<uint64_t, v1::EndedJob> jobs;
  for (v1::EndedJob& job : ended) jobs[job.job().job_id()] = std::move(job);
  ASSERT_EQ(jobs.size(), 3u);
  EXPECT_EQ(jobs.at(1).job().verdict(), v1::VERDICT_PASS);
  EXPECT_EQ(jobs.at(3).job().cancel_reason(), "not needed");
  for (const auto& [id, job] : jobs) {
    ASSERT_EQ(static_cast<uint32_t>(job.runs_size()), job.job().runs_total());
    for (const v1::RunRecord& run : job.runs()) {
      EXPECT_EQ(run.phase(), v1::RUN_PHASE_ENDED);
      EXPECT_TRUE(run.spec().has_null());
    }
  }
}

TEST(Fixture, MissingOrRepeatedEventsAreFound) {
  const std::vector<std::string> records = ReadRecords("events-v1.bin");
  for (size_t skipped = 0; skipped + 1 < records.size(); ++skipped) {
    State state;
    absl::Status status;
    for (size_t i = 0; i < records.size() && status.ok(); ++i) {
      v1::Event event;
      ASSERT_TRUE(event.ParseFromString(records[i]));
      if (i != skipped) status = Replay(state, event);
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << skipped;
  }
}

}  // namespace
}  // namespace rackmark
