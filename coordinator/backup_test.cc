// A backup comes back as another cluster, without what its events never heard of.
#include "coordinator/backup.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/test_folder.h"
#include "coordinator/core/decide.h"
#include "coordinator/snapshot.h"
#include "coordinator/store/sql_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string NewFolder() { return TestFolders::New("rm_backup"); }

// A coordinator's folder with a log that is written event by event.
struct Source {
  Source() {
    Add([&](v1::Event& e) { e.mutable_cluster_created()->set_cluster_id(id()); });
    Add([](v1::Event& e) {
      e.mutable_leadership_taken()->set_epoch(1);
      e.mutable_leadership_taken()->set_incarnation("boot/1");
    });
    Add([](v1::Event& e) {
      e.mutable_node_joined()->set_node_id(1);
      e.mutable_node_joined()->set_incarnation("w/1");
      e.mutable_node_joined()->mutable_info()->set_name("n1");
    });
    Add([](v1::Event& e) {  // run 1 is at work, run 2 waits
      v1::JobSubmitted& job = *e.mutable_job_submitted();
      job.set_job_id(1);
      job.set_first_run_id(1);
      job.set_submission_id("s1");
      job.mutable_job()->set_name("busy");
      job.mutable_job()->mutable_spec()->mutable_gang()->set_devices(1);
      job.mutable_job()->mutable_spec()->add_runs()->mutable_null();
      job.mutable_job()->mutable_spec()->add_runs()->mutable_null();
    });
    Add([](v1::Event& e) {
      e.mutable_lease_placed()->set_lease_id(1);
      e.mutable_lease_placed()->set_job_id(1);
      e.mutable_lease_placed()->set_generation(1);
      e.mutable_lease_placed()->mutable_placement()->add_ranks()->set_node_id(1);
    });
    Add([](v1::Event& e) { e.mutable_lease_go()->set_lease_id(1); });
    Add([](v1::Event& e) { e.mutable_lease_active()->set_lease_id(1); });
    Add([](v1::Event& e) {
      e.mutable_run_preparing()->set_run_id(1);
      e.mutable_run_preparing()->set_lease_id(1);
      e.mutable_run_preparing()->set_attempt(1);
    });
  }
  const std::string& id() const { return stores.events->cluster_id(); }
  template <typename Fill>
  void Add(Fill fill) {
    std::vector<v1::Event> events(1);
    events[0].set_format(1);
    events[0].set_seq(state.hard.last_seq + 1);
    fill(events[0]);
    const absl::Status status = Replay(state, events[0]);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(stores.events->Append(events).ok());
  }
  void Put(uint64_t run, uint32_t attempt) {
    std::vector<v1::Chunk> chunks(1);
    chunks[0].mutable_header()->set_run(run);
    chunks[0].mutable_header()->set_attempt(attempt);
    chunks[0].mutable_header()->set_kind(v1::STREAM_KIND_RANK);
    chunks[0].mutable_header()->set_seq(1);
    ASSERT_TRUE(stores.samples->PutChunks(chunks).ok());
  }

  std::string folder = NewFolder();
  SqlStores stores = *OpenSqlStores(folder);
  State state;
};

TEST(Backup, ComesBackAsAnotherClusterWithoutWhatItsEventsNeverHeardOf) {
  Source source;
  source.Put(1, 1);
  // Samples are copied after events: by then these attempts may have begun, and even ended.
  source.Put(1, 2);
  source.Put(2, 1);
  ASSERT_TRUE(source.stores.samples->PutReport(1, "of attempt 1, judged later").ok());
  fs::create_directories(source.folder + "/artifacts");
  const std::string hash(64, 'a');
  std::ofstream(source.folder + "/artifacts/" + hash) << "a trace";
  std::ofstream(source.folder + "/artifacts/.partial-x") << "half";

  const std::string to = NewFolder() + "/saved", data = NewFolder() + "/new";
  const auto manifest = TakeBackup(source.folder, to);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->last_seq(), 8U);
  EXPECT_EQ(manifest->files_size(), 3);
  const auto restored = RestoreBackup(to, data);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_NE(restored->cluster_id, source.id());
  EXPECT_TRUE(fs::exists(data + "/artifacts/" + hash));
  EXPECT_FALSE(fs::exists(data + "/restoring"));

  auto stores = OpenSqlStores(data);
  ASSERT_TRUE(stores.ok()) << stores.status();
  EXPECT_EQ(stores->events->cluster_id(), restored->cluster_id);
  State state;
  ASSERT_TRUE(RecoverState(*stores->events, state).ok());
  EXPECT_EQ(state.hard.cluster_id, restored->cluster_id);
  EXPECT_EQ(state.hard.last_seq, 9U);
  EXPECT_GT(*stores->samples->BytesOf(1, 1), 0U);
  EXPECT_EQ(*stores->samples->BytesOf(1, 2), 0U);
  EXPECT_EQ(*stores->samples->BytesOf(2, 1), 0U);
  EXPECT_EQ(*stores->samples->Watermark({2, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_FALSE(stores->samples->GetReport(1)->has_value());
  // The source is as it was, and still writable.
  source.Add([](v1::Event& e) { e.mutable_run_measuring()->set_run_id(1); });
  EXPECT_EQ(*source.stores.samples->BytesOf(2, 1), *source.stores.samples->BytesOf(1, 2));
}

// The newer of two snapshots was damaged and dropped, and the log begins behind the older one.
TEST(Backup, ALogThatBeginsBehindItsOnlySnapshotIsWhole) {
  Source source;
  EventStore& events = *source.stores.events;
  EXPECT_EQ(*events.FirstSeq(), 1U);
  ASSERT_TRUE(events.PutSnapshot(SnapshotBytes(source.state.hard)).ok());
  source.Add([](v1::Event& e) { e.mutable_run_measuring()->set_run_id(1); });
  ASSERT_TRUE(events.PutSnapshot("damaged").ok());
  source.Add([](v1::Event& e) { e.mutable_run_draining()->set_run_id(1); });
  ASSERT_EQ(*events.Trim(100), 8U);
  EXPECT_EQ(*events.FirstSeq(), 9U);
  State state;
  ASSERT_TRUE(RecoverState(events, state).ok());  // drops the damaged one
  ASSERT_EQ(events.Snapshots()->size(), 1U);
  const std::string to = NewFolder() + "/saved";
  const auto manifest = TakeBackup(source.folder, to);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->last_seq(), 10U);
  EXPECT_TRUE(RestoreBackup(to, NewFolder() + "/new").ok());
}

TEST(Backup, TheTargetMayEndInASlash) {
  Source source;
  const std::string to = NewFolder() + "/saved";
  ASSERT_TRUE(TakeBackup(source.folder, to + "//").ok());
  EXPECT_TRUE(fs::exists(to + "/manifest.json"));
  EXPECT_FALSE(fs::exists(to + ".partial"));
  EXPECT_TRUE(absl::IsAlreadyExists(TakeBackup(source.folder, to + "/").status()));
}

TEST(Backup, ArtifactsThatCannotBeReadAreNoBackupWithoutThem) {
  Source source;
  std::ofstream(source.folder + "/artifacts") << "no folder";
  const std::string to = NewFolder() + "/saved";
  EXPECT_THAT(std::string(TakeBackup(source.folder, to).status().message()),
              HasSubstr("reading " + source.folder + "/artifacts"));
  EXPECT_FALSE(fs::exists(to));
}

TEST(Backup, WhatLiesBesideItIsLeftAlone) {
  Source source;
  const std::string folder = NewFolder(), to = folder + "/saved";
  fs::create_directory(to + ".partial");
  std::ofstream(to + ".partial/mine") << "of somebody";
  ASSERT_TRUE(TakeBackup(source.folder, to).ok());
  EXPECT_TRUE(fs::exists(to + ".partial/mine"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
}

TEST(Backup, WhatIsDamagedOrInTheWayIsRefusedAndNothingIsLeft) {
  Source source;
  const std::string to = NewFolder() + "/saved", data = NewFolder() + "/new";
  ASSERT_TRUE(TakeBackup(source.folder, to).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(TakeBackup(source.folder, to).status()));
  EXPECT_TRUE(absl::IsNotFound(TakeBackup(NewFolder(), to + "2").status()));
  EXPECT_EQ(std::distance(fs::directory_iterator(fs::path(to).parent_path()), {}), 1);
  EXPECT_TRUE(absl::IsPermissionDenied(RestoreBackup(to, source.folder).status()));
  EXPECT_TRUE(absl::IsNotFound(RestoreBackup(NewFolder(), data).status()));
  const auto spoiled = [&](const std::string& name, const std::string& bytes) {
    const std::string bad = NewFolder() + "/bad";
    fs::copy(to, bad, fs::copy_options::recursive);
    std::ofstream(bad + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
    const auto restored = RestoreBackup(bad, data);
    EXPECT_EQ(restored.status().code(), absl::StatusCode::kDataLoss) << restored.status();
    EXPECT_FALSE(fs::exists(data));
    return std::string(restored.status().message());
  };
  EXPECT_THAT(spoiled("events.db", "short"), HasSubstr("events.db is damaged"));
  EXPECT_THAT(spoiled("samples.db", ""), HasSubstr("samples.db is damaged"));
  EXPECT_THAT(spoiled("manifest.json", "{"), HasSubstr("manifest.json"));
  EXPECT_THAT(spoiled("manifest.json", R"({"format": 1, "files": [{"name": "../../x"}]})"),
              HasSubstr("that no backup has"));
  EXPECT_THAT(spoiled("manifest.json", R"({"format": 1, "files": [{"name": "events.db"}]})"),
              HasSubstr("not in it"));
  EXPECT_TRUE(RestoreBackup(to, data).ok());
}

}  // namespace
}  // namespace rackmark
