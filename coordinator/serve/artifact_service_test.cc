// Files that jobs refer to by hash: up in pieces, down to workers.
#include "coordinator/serve/service_test_fixture.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

// Uploads in pieces of a given size, announcing `name` and `total`.
absl::StatusOr<v1::PutArtifactReply> Put(const Coordinator& coordinator, const std::string& content,
                                         const std::string& name, uint64_t total,
                                         size_t piece = 64 << 10) {
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PutArtifactReply reply;
  auto stream = stub->PutArtifact(&context, &reply);
  v1::PutArtifactRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  request.set_sha256(name);
  request.set_total_bytes(total);
  bool open = stream->Write(request);
  for (size_t at = 0; open && at < content.size(); at += piece) {
    v1::PutArtifactRequest more;
    more.set_piece(content.substr(at, piece));
    open = stream->Write(more);
  }
  stream->WritesDone();
  RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return reply;
}
absl::StatusOr<v1::PutArtifactReply> Put(const Coordinator& coordinator,
                                         const std::string& content) {
  return Put(coordinator, content, Sha256Hex(content), content.size());
}
absl::StatusOr<std::string> Get(const Coordinator& coordinator, const std::string& sha256) {
  auto stub = v1::WorkerService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetArtifactRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "boot-n1/1");
  request.set_sha256(sha256);
  auto stream = stub->GetArtifact(&context, request);
  std::string content;
  v1::ArtifactPiece piece;
  while (stream->Read(&piece)) {
    content += piece.piece();
    EXPECT_EQ(piece.identity().cluster_id(), coordinator.cluster_id());
    EXPECT_LE(piece.piece().size(), kArtifactPieceBytesMax);
    EXPECT_LE(content.size(), piece.total_bytes());
  }
  RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return content;
}
std::string Content(size_t bytes) {
  std::string content(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 2654435761U >> 13);
  return content;
}

TEST(Services, AnArtifactGoesUpInPiecesAndDownWhole) {
  Coordinator coordinator;
  const std::string content = Content((3 << 20) + 17);
  const std::string sha256 = Sha256Hex(content);
  v1::FindArtifactRequest find;
  find.set_sha256(sha256);
  const auto found = [&] {
    return Call<v1::FindArtifactRequest, v1::FindArtifactReply>(coordinator, &Stub::FindArtifact,
                                                                find);
  };
  EXPECT_FALSE(found()->present());
  EXPECT_TRUE(absl::IsNotFound(Get(coordinator, sha256).status()));

  const auto put = Put(coordinator, content);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_FALSE(put->was_there());
  EXPECT_TRUE(found()->present());
  EXPECT_EQ(found()->bytes(), content.size());
  EXPECT_EQ(*Get(coordinator, sha256), content);
  const auto again = Put(coordinator, content);  // its reply was lost, say
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->was_there());
  EXPECT_EQ(coordinator.artifacts().List().size(), 1U);
}

// A gang of a thousand nodes asks for its trace at once.
TEST(Services, DownloadsHaveABoundAndWhoIsRefusedHearsItBeforeTheFirstByte) {
  Coordinator coordinator;
  const std::string content = Content((2 << 20) + 17);
  ASSERT_TRUE(Put(coordinator, content).ok());
  for (size_t i = 0; i < ArtifactDesk::kDownloadsMax; ++i) {
    ASSERT_TRUE(coordinator.desk().TakePlace().ok()) << i;
  }
  const absl::Status refused = Get(coordinator, Sha256Hex(content)).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("ask again"));
  coordinator.desk().FreePlace();
  for (int i = 0; i < 3; ++i) {  // each gives its place back, a moment after it is over
    absl::StatusOr<std::string> got = Get(coordinator, Sha256Hex(content));
    while (i > 0 && absl::IsResourceExhausted(got.status())) {
      got = Get(coordinator, Sha256Hex(content));
    }
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, content);
  }
}

TEST(Services, AnArtifactThatIsNotWhatItSaysIsRefused) {
  Coordinator coordinator;
  const std::string content = Content(100'000);
  const auto refused = [&](const absl::StatusOr<v1::PutArtifactReply>& put, absl::StatusCode code,
                           const std::string& words) {
    EXPECT_EQ(put.status().code(), code) << put.status();
    EXPECT_THAT(std::string(put.status().message()), HasSubstr(words));
  };
  const auto kBad = absl::StatusCode::kInvalidArgument;
  refused(Put(coordinator, content, Sha256Hex("other"), content.size()), kBad, "sha256");
  refused(Put(coordinator, content, Sha256Hex(content), content.size() - 1), kBad, "more bytes");
  refused(Put(coordinator, content, Sha256Hex(content), content.size() + 1), kBad, "announced");
  refused(Put(coordinator, content, "../../etc/passwd", content.size()), kBad, "64 lower-case");
  refused(Put(coordinator, content, Sha256Hex(content), (64 << 20) + 1), kBad, "cut it");
  refused(Put(coordinator, content, Sha256Hex(content), 0), kBad, "cut it");
  refused(Put(coordinator, Content(2 << 20), Sha256Hex(content), 2 << 20, 2 << 20), kBad,
          "a piece of");
  refused(Put(coordinator, Content(6 << 20)), absl::StatusCode::kResourceExhausted,
          "--artifact-bytes");
  EXPECT_TRUE(coordinator.artifacts().List().empty());
  EXPECT_TRUE(std::filesystem::is_empty(coordinator.folder() + "/artifacts"));
  EXPECT_TRUE(Put(coordinator, Content(5 << 20)).ok());  // what was refused takes no room
}

TEST(Services, AnUploadThatStandsStillIsEndedAndTakesNoRoom) {
  Coordinator coordinator(/*upload_idle_max=*/kMillisecond);
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PutArtifactReply reply;
  auto stream = stub->PutArtifact(&context, &reply);
  v1::PutArtifactRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  const std::string content = Content(5 << 20);
  request.set_sha256(Sha256Hex(content));
  request.set_total_bytes(content.size());
  stream->Write(request);  // and then nothing, not even that it is over
  const absl::Status status = FromGrpc(stream->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("send the file again"));
  EXPECT_TRUE(std::filesystem::is_empty(coordinator.folder() + "/artifacts"));
  EXPECT_EQ(coordinator.artifacts().BytesOver(), 0U);
}

TEST(Services, AJobWhoseTraceIsNotHereIsRefusedWithTheRemedy) {
  Coordinator coordinator;
  const std::string content = Content(1000);
  v1::Job job = MakeJob();
  v1::TraceLoad* trace =
      job.mutable_spec()->mutable_runs(0)->mutable_serve()->mutable_load()->mutable_trace();
  trace->set_name("day\x1b.csv");
  trace->set_sha256(Sha256Hex(content));
  trace->set_bytes(content.size());
  const absl::Status before = CheckArtifacts(job, coordinator.artifacts());
  EXPECT_EQ(before.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(before.message()), HasSubstr("does not have the file day\\x1b.csv"));
  EXPECT_THAT(std::string(before.message()), HasSubstr("upload it"));
  ASSERT_TRUE(Put(coordinator, content).ok());
  EXPECT_TRUE(CheckArtifacts(job, coordinator.artifacts()).ok());
  trace->set_bytes(999);
  EXPECT_THAT(std::string(CheckArtifacts(job, coordinator.artifacts()).message()),
              HasSubstr("1000 bytes, the job says 999"));
}

}  // namespace
}  // namespace rackmark
