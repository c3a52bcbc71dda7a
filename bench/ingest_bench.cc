// How fast samples get to the disk: the product's PushSamples service, ingest and store, with full
// sync, beside the same gRPC stream whose server throws away what it reads and acks it: once after
// the checks that any server must make (who speaks, checksums), once unread. By turns in one
// process over a unix socket; the chunks are packed before, non-constant, and sent by as many
// streams as given. The window ends when the database has been closed, so its checkpoints are in
// it.
//
//   ingest_bench [--data FOLDER] [--streams 4] [--mib 192] [--turns 5]
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/exit_codes.h"
#include "common/log.h"
#include "common/program.h"
#include "common/random.h"
#include "common/series.h"
#include "coordinator/live.h"
#include "coordinator/serve/ingest.h"
#include "coordinator/serve/worker_service.h"
#include "coordinator/store/sql_store.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/listener.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr uint64_t kPointsPerChunk = 16'000;  // of 4 series: about what a second of a rank gives
constexpr size_t kBatchBytes = 2 << 20;
constexpr size_t kWindow = 4;  // batches sent and not acked, as the worker's 8 MiB

struct Load {
  std::vector<v1::Chunk> chunks;  // packed once, sent again and again under new numbers
  uint64_t packed_bytes = 0;      // of all of them
};

// Values walk at random, stamps jitter: nothing that packs away.
Load MakeLoad(uint64_t seed) {
  constexpr SeriesId kSeries[] = {SeriesId::kStepCompute, SeriesId::kStepHost,
                                  SeriesId::kRequestsRunning, SeriesId::kKvBlocksUsed};
  Random random(seed, 0);
  Load load;
  for (int n = 0; n < 8; ++n) {
    v1::ChunkPayload payload;
    PayloadBuilder builder(&payload);
    Nanos t = static_cast<Nanos>(seed) * kSecond;
    double value = 0.001;
    for (uint64_t i = 0; i < kPointsPerChunk; ++i) {
      t += 50'000 + static_cast<Nanos>(random.Uniform() * 20'000);
      value += (random.Uniform() - 0.5) * 1e-5;
      builder.Add(kSeries[i % 4], t, value);
    }
    load.chunks.push_back(*PackChunk({}, payload));
    load.packed_bytes += load.chunks.back().ByteSizeLong();
  }
  return load;
}

// Reads a batch, perhaps checks it, acks it, and forgets it.
class ThrowAway : public v1::WorkerService::CallbackService {
 public:
  explicit ThrowAway(const Gate* gate) : gate_(gate) {}  // nullptr = unread
  grpc::ServerBidiReactor<v1::SampleBatch, v1::SampleAck>* PushSamples(
      grpc::CallbackServerContext*) override {
    class Stream : public grpc::ServerBidiReactor<v1::SampleBatch, v1::SampleAck> {
     public:
      explicit Stream(const Gate* gate) : gate_(gate) { StartRead(&batch_); }
      void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        if (gate_ != nullptr) {
          RACKMARK_CHECK(gate_->CheckProtocolOf(batch_.identity()).ok());
          for (const v1::Chunk& chunk : batch_.chunks()) RACKMARK_CHECK(CheckChunk(chunk).ok());
        }
        StartWrite(&ack_);
      }
      void OnWriteDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        batch_.Clear();
        StartRead(&batch_);
      }
      void OnDone() override { delete this; }

     private:
      const Gate* const gate_;
      v1::SampleBatch batch_;
      v1::SampleAck ack_;
    };
    return new Stream(gate_);
  }

 private:
  const Gate* const gate_;
};

// One worker's stream: `chunks` of them in batches, at most kWindow batches unacked.
uint64_t Push(const std::shared_ptr<grpc::Channel>& channel, const Load& load, uint32_t stream_id,
              uint64_t chunks) {
  auto stub = v1::WorkerService::NewStub(channel);
  grpc::ClientContext context;
  auto stream = stub->PushSamples(&context);
  uint64_t acked = 0, seq = 0, sent = 0;
  v1::SampleAck ack;
  while (seq < chunks) {
    v1::SampleBatch batch;
    *batch.mutable_identity() = MakeIdentity("bench", 1, "bench/1");
    for (size_t bytes = 0; bytes < kBatchBytes && seq < chunks;) {
      v1::Chunk* chunk = batch.add_chunks();
      *chunk = load.chunks[seq % load.chunks.size()];
      v1::ChunkHeader* header = chunk->mutable_header();
      header->set_format(kChunkFormat);
      header->set_cluster_id("bench");
      header->set_run(1);
      header->set_attempt(1);
      header->set_kind(v1::STREAM_KIND_RANK);
      header->set_stream(stream_id);
      header->set_seq(++seq);
      bytes += chunk->ByteSizeLong();
    }
    if (!stream->Write(batch)) return 0;
    ++sent;
    while (sent - acked >= kWindow) {
      if (!stream->Read(&ack)) return 0;
      ++acked;
    }
  }
  stream->WritesDone();
  while (acked < sent && stream->Read(&ack)) ++acked;
  return stream->Finish().ok() && acked == sent ? chunks : 0;
}

struct Usage {
  double wall, cpu;
  uint64_t disk_bytes;
};

Usage Now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  uint64_t written = 0;
  std::ifstream io("/proc/self/io");
  for (std::string word; io >> word;) {
    if (word == "write_bytes:") io >> written;
  }
  return {static_cast<double>(SystemClock().Monotonic()) / 1e9,
          seconds(usage.ru_utime) + seconds(usage.ru_stime), written};
}

struct Turn {
  double wall = 0, cpu = 0, disk_bytes = 0;
  uint64_t chunks = 0;
};

class Bench {
 public:
  Bench(std::string folder, size_t streams, uint64_t mib) : folder_(std::move(folder)) {
    for (size_t i = 0; i < streams; ++i) loads_.push_back(MakeLoad(i + 1));
    const uint64_t per_chunk = loads_[0].packed_bytes / loads_[0].chunks.size();
    chunks_ = (mib << 20) / per_chunk / streams;
  }
  double packed_bytes_per_sample() const {
    return static_cast<double>(loads_[0].packed_bytes) /
           static_cast<double>(loads_[0].chunks.size() * kPointsPerChunk);
  }

  // Everything sent by every stream; `end` closes what the server wrote to.
  Turn Send(grpc::Service* service, const std::function<void()>& end) {
    auto listener = Listener::Start({service}, {Endpoint::Kind::kUnix, folder_ + "/s"}, {});
    RACKMARK_CHECK(listener.ok());
    const Usage before = Now();
    std::vector<std::thread> threads;
    std::vector<uint64_t> sent(loads_.size());
    for (size_t i = 0; i < loads_.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto channel = Dial(*ParseEndpoint((*listener)->address()), {});
        sent[i] = Push(*channel, loads_[i], static_cast<uint32_t>(i), chunks_);
      });
    }
    for (std::thread& thread : threads) thread.join();
    end();
    const Usage after = Now();
    (*listener)->Shutdown(0);
    Turn turn{after.wall - before.wall, after.cpu - before.cpu,
              static_cast<double>(after.disk_bytes - before.disk_bytes), 0};
    for (uint64_t n : sent) turn.chunks += n;
    return turn;
  }

  Turn Stored() {
    const std::string data = folder_ + "/data";
    std::filesystem::create_directories(data);
    auto stores = OpenSqlStores(data);
    RACKMARK_CHECK(stores.ok());
    LiveBoard live;
    const auto fatal = [](const absl::Status& status) {
      std::fprintf(stderr, "ingest_bench: %s\n", std::string(status.message()).c_str());
      _Exit(kExitError);
    };
    Ingest::Options options;
    options.store = stores->samples.get();
    options.live = &live;
    options.cluster_id = "bench";
    options.knows = [](uint64_t, uint32_t) { return absl::StatusOr<bool>(true); };
    options.fatal = fatal;
    options.bytes_max = kIngestBytesMax;
    options.run_bytes_max = kRunSampleBytesMax;
    Ingest ingest(options);
    WorkerService service(WorkerService::Options{nullptr,
                                                 &ingest,
                                                 &gate_,
                                                 &SystemClock(),
                                                 MakeIdentity("bench", 1, "c"),
                                                 "boot",
                                                 {},
                                                 fatal,
                                                 nullptr});
    const Turn turn = Send(&service, [&] {
      ingest.Stop();
      stores->samples.reset();  // the last checkpoint
    });
    *stores = {};
    std::filesystem::remove_all(data);
    return turn;
  }
  Turn Thrown(bool checked) {
    ThrowAway service(checked ? &gate_ : nullptr);
    return Send(&service, [] {});
  }

 private:
  const std::string folder_;
  const Gate gate_{*PeerPolicy::Create({}), "bench"};
  std::vector<Load> loads_;
  uint64_t chunks_ = 0;  // of each stream, in each turn
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Turns {
  std::vector<Turn> stored, thrown, unread;
};

void Print(const Bench& bench, const Turns& turns) {
  const auto& [stored, thrown, unread] = turns;
  std::vector<double> wall, cpu, wall_unread, rate, disk;
  for (size_t i = 0; i < stored.size(); ++i) {
    wall_unread.push_back(unread[i].wall / stored[i].wall);
    wall.push_back(thrown[i].wall / stored[i].wall);
    cpu.push_back(thrown[i].cpu / stored[i].cpu);
    rate.push_back(static_cast<double>(stored[i].chunks * kPointsPerChunk) / stored[i].wall);
    disk.push_back(stored[i].disk_bytes / stored[i].wall);
  }
  std::printf("ingest, full sync, beside the same stream thrown away; medians of %zu turns\n",
              stored.size());
  std::printf("  rate stored / thrown away after the checks   %5.1f %%\n", 100 * Median(wall));
  std::printf("  the same by CPU time of the process          %5.1f %%\n", 100 * Median(cpu));
  std::printf("  rate stored / thrown away unread             %5.1f %%\n",
              100 * Median(wall_unread));
  std::printf("  stored                                       %5.1f M samples/s\n",
              Median(rate) / 1e6);
  std::printf("  disk writes while storing                    %5.1f MB/s\n", Median(disk) / 1e6);
  std::printf("  packed bytes per sample                      %5.2f\n",
              bench.packed_bytes_per_sample());
}

int Main(int argc, char** argv) {
  std::string data = ".";
  int64_t streams = 4, mib = 192, turns = 5;
  Flags flags("ingest_bench", "[flags]", "Samples to disk beside samples thrown away.");
  flags.Add("data", &data, "a folder on the disk to measure (the current one)");
  flags.Add("streams", &streams, "PushSamples streams (4)", 1, 64);
  flags.Add("mib", &mib, "packed MiB in each turn (192)", 1, 65'536);
  flags.Add("turns", &turns, "turns of each of the two (5)", 1, 1000);
  if (const auto code = flags.ParseMain(argc, argv)) return *code;
  InitLog("ingest_bench", LogLevel::kError);
  std::string folder = data + "/ingest-bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return kExitError;
  Bench bench(folder, static_cast<size_t>(streams), static_cast<uint64_t>(mib));
  Turns taken;
  uint64_t lost = 0;
  for (int64_t i = 0; i < turns; ++i) {
    const Turn unread = taken.unread.emplace_back(bench.Thrown(false));
    const Turn thrown = taken.thrown.emplace_back(bench.Thrown(true));
    const Turn stored = taken.stored.emplace_back(bench.Stored());
    lost += stored.chunks == 0 || thrown.chunks != stored.chunks || unread.chunks != stored.chunks;
  }
  std::filesystem::remove_all(folder);
  if (lost > 0) {
    std::fprintf(stderr, "ingest_bench: %lu turns did not deliver everything\n", lost);
    return kExitError;
  }
  Print(bench, taken);
  return kExitPass;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }
