// PushSamples: a stream is read on while its first batches wait for the disk, and every batch has
// its ack, in order.
#include <memory>
#include <string>

#include "common/series.h"
#include "coordinator/serve/ingest.h"
#include "coordinator/serve/sample_stream.h"
#include "coordinator/serve/worker_service.h"
#include "coordinator/store/memory_store.h"
#include "gtest/gtest.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/listener.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

class SampleStreamTest : public testing::Test {
 protected:
  // Nothing is committed but with a stream's last chunk: the rest would take an hour.
  SampleStreamTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    const auto fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
    Ingest::Options options;
    options.store = &store_;
    options.live = &live_;
    options.cluster_id = "c1";
    options.knows = [](uint64_t, uint32_t) { return absl::StatusOr<bool>(true); };
    options.fatal = fatal;
    options.gather = 3600 * kSecond;
    options.bytes_max = 1 << 20;
    options.run_bytes_max = 1 << 20;
    ingest_ = std::make_unique<Ingest>(options);
    service_ = std::make_unique<WorkerService>(WorkerService::Options{nullptr,
                                                                      ingest_.get(),
                                                                      &gate_,
                                                                      &SystemClock(),
                                                                      MakeIdentity("c1", 1, "c"),
                                                                      "boot",
                                                                      {},
                                                                      fatal,
                                                                      nullptr});
    ours_.ingest = ingest_.get();
    ours_.gate = &gate_;
    ours_.identity = MakeIdentity("c1", 1, "c");
    ours_.doubted = [this](const absl::Status& status) { doubts_.push_back(status); };
    listener_ =
        *Listener::Start({service_.get()}, {Endpoint::Kind::kUnix, folder_ + "/c.sock"}, {});
    stub_ = v1::WorkerService::NewStub(*Dial(*ParseEndpoint(listener_->address()), {}));
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stream_ = stub_->PushSamples(&context_);
  }
  ~SampleStreamTest() override {
    listener_->Shutdown(0);
    ingest_->Stop();
  }

  static v1::SampleBatch Batch(uint64_t seq, bool last) {
    v1::ChunkPayload payload;
    PayloadBuilder(&payload).Add(SeriesId::kRankRss, 1, 42);
    v1::ChunkHeader header;
    header.set_cluster_id("c1");
    header.set_run(1);
    header.set_attempt(1);
    header.set_kind(v1::STREAM_KIND_RANK);
    header.set_seq(seq);
    header.set_last(last);
    v1::SampleBatch batch;
    *batch.mutable_identity() = MakeIdentity("c1", 1, "w");
    *batch.add_chunks() = *PackChunk(header, payload);
    return batch;
  }
  bool Send(uint64_t seq, bool last) { return stream_->Write(Batch(seq, last)); }

  std::string folder_ = testing::TempDir() + "/sample-stream-XXXXXX";
  MemorySampleStore store_;
  LiveBoard live_;
  const Gate gate_{*PeerPolicy::Create({}), "c1"};
  WorkerService::Options ours_;  // of streams that the test plays gRPC for
  std::vector<absl::Status> doubts_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<WorkerService> service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SampleBatch, v1::SampleAck>> stream_;
};

TEST_F(SampleStreamTest, IsReadAheadOfItsAcks) {
  ASSERT_TRUE(Send(1, false));
  ASSERT_TRUE(Send(2, false));
  ASSERT_TRUE(Send(3, true));  // only if it is read are the first two stored
  v1::SampleAck ack;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream_->Read(&ack));
    ASSERT_EQ(ack.watermarks_size(), 1);
    EXPECT_EQ(ack.watermarks(0).seq(), 3U);  // one transaction
    EXPECT_EQ(ack.identity().cluster_id(), "c1");
  }
  EXPECT_EQ(*store_.Watermark({1, 1, v1::STREAM_KIND_RANK, 0}), 3U);
  ASSERT_TRUE(stream_->WritesDone());
  EXPECT_FALSE(stream_->Read(&ack));
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(SampleStreamTest, HearsTheAcksOfWhatItSentBeforeItsEnd) {
  for (uint64_t seq = 1; seq <= 12; ++seq) ASSERT_TRUE(Send(seq, seq % 3 == 0));
  ASSERT_TRUE(stream_->WritesDone());
  v1::SampleAck ack;
  uint64_t acks = 0, mark = 0;
  for (; stream_->Read(&ack); ++acks) {
    EXPECT_GE(ack.watermarks(0).seq(), mark);
    mark = ack.watermarks(0).seq();
  }
  EXPECT_EQ(acks, 12U);
  EXPECT_EQ(mark, 12U);
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(SampleStreamTest, EndsWithWhatIngestSaysOfABatchThatWaits) {
  ASSERT_TRUE(Send(1, false));
  ASSERT_TRUE(Send(2, true));
  v1::SampleAck ack;
  ASSERT_TRUE(stream_->Read(&ack));
  ASSERT_TRUE(stream_->Read(&ack));
  ASSERT_TRUE(Send(3, false));
  ingest_->Stop();  // whether it has the batch already or not: the stream must end, unacked
  EXPECT_FALSE(stream_->Read(&ack));
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Not bound to any stream: what it asks gRPC for is kept, and the test says what came of it.
class PlayedStream : public SampleStream {
 public:
  explicit PlayedStream(const WorkerService::Options& options) : SampleStream(options, {}) {}
  void Read(v1::SampleBatch batch) {
    batch_ = std::move(batch);
    OnReadDone(true);
  }
};

// gRPC may be done with the stream while ingest still has a batch of it.
TEST_F(SampleStreamTest, LivesAsLongAsIngestHasABatchOfIt) {
  auto stream = std::make_shared<PlayedStream>(ours_);
  const std::weak_ptr<PlayedStream> watched = stream;
  stream->Begin();
  stream->Read(Batch(1, false));
  PlayedStream* const grpcs = stream.get();
  stream.reset();
  grpcs->OnDone();
  EXPECT_FALSE(watched.expired());
  ingest_->Stop();  // the ack speaks to it
  EXPECT_TRUE(watched.expired());
}

// What was on its way when the end was told is not taken: nothing may wait for its ack.
TEST_F(SampleStreamTest, TakesNothingAfterItsEnd) {
  auto stream = std::make_shared<PlayedStream>(ours_);
  stream->Begin();
  stream->Read(Batch(1, false));
  ingest_->Stop();  // an ack that is an error: the stream is finished while it reads
  v1::SampleBatch late = Batch(2, false);
  late.mutable_identity()->set_epoch(99);  // taking it would be noticed
  stream->Read(std::move(late));
  EXPECT_TRUE(doubts_.empty());
  stream->OnDone();
}

// Its word ends its own stream; what is true the database says.
TEST_F(SampleStreamTest, WhoHasHeardALaterLeaderIsRefusedAndDoubtedOfOnce) {
  auto stream = std::make_shared<PlayedStream>(ours_);
  stream->Begin();
  v1::SampleBatch ahead = Batch(1, true);
  ahead.mutable_identity()->set_epoch(UINT64_MAX);
  stream->Read(std::move(ahead));
  ASSERT_EQ(doubts_.size(), 1U);
  EXPECT_TRUE(absl::IsAborted(doubts_.front())) << doubts_.front();
  EXPECT_EQ(*store_.Watermark({1, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  stream->OnDone();
  ASSERT_TRUE(Send(1, true));  // another's goes on
  v1::SampleAck ack;
  ASSERT_TRUE(stream_->Read(&ack));
  EXPECT_EQ(ack.watermarks(0).seq(), 1U);
}

}  // namespace
}  // namespace rackmark
