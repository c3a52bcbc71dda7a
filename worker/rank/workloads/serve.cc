#include "worker/rank/workloads/serve.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/text.h"
#include "model/memory.h"
#include "model/presets.h"
#include "model/roofline.h"
#include "model/shard.h"
#include "worker/load/arrivals.h"
#include "worker/rank/workloads/serve_loops.h"
#include "worker/rank/workloads/serve_trace.h"
#include "worker/serving/engine.h"
#include "worker/serving/verify.h"

namespace rackmark {
namespace {

constexpr Nanos kReadTime = 200 * kMillisecond;
constexpr int kReadPassesMin = 3;
constexpr Nanos kLead = 20 * kMillisecond;  // between making the table and T0
constexpr Nanos kGraceMin = 2 * kSecond;
constexpr double kGraceShare = 0.1;  // of the window

EngineOptions OptionsOf(const v1::RunSpec& spec, const ModelShape& shape) {
  EngineOptions options;
  options.shape = shape;
  options.seed = spec.seed();
  options.deterministic = spec.serve().deterministic();
  options.kv_block_tokens = spec.serve().kv_block_tokens();
  options.kv_memory_bytes = spec.serve().kv_memory_bytes();
  options.max_batch = spec.serve().max_batch();
  options.prefill_chunk = spec.serve().prefill_chunk();
  options.queue_max = kArrivalsMax;  // the schedule is the bound; the queue must not be another
  return options;
}

// The longest request of the load must fit the model and the KV cache: a load that is partly
// refused would measure something else than it says.
absl::Status CheckLongest(const v1::ServeWorkload& serve, const ModelShape& shape,
                          uint64_t longest) {
  if (longest > shape.context_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        "requests of up to ", longest, " tokens do not fit the ", shape.context_max, " that ",
        ToAbsl(shape.name), " holds; lower ",
        serve.load().has_trace() ? "load.length_max or load.length_scale"
                                 : "load.prompt_tokens.max or load.output_tokens.max"));
  }
  ASSIGN_OR_RETURN(const ShardShape shard,
                   ShardOf(shape, serve.tensor_parallel(), serve.deterministic()));
  const uint64_t blocks = KvBlocks(shape, shard, serve.kv_memory_bytes(), serve.kv_block_tokens());
  const uint64_t needed = (longest + serve.kv_block_tokens() - 1) / serve.kv_block_tokens();
  if (blocks >= needed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a request of ", longest, " tokens needs ", needed,
                                                 " KV blocks, kv_memory holds ", blocks,
                                                 "; raise kv_memory"));
}

class ServeWorkload : public Workload {
 public:
  ServeWorkload(const v1::RunSpec& spec, const ModelShape& shape, const RunContext& context)
      : spec_(spec),
        load_(spec_.serve().load()),
        options_(OptionsOf(spec_, shape)),
        context_(context),
        ops_(MakeCpuOps()) {}

  absl::Status Prepare() override;
  absl::Status Measure() override;
  absl::Status Verify() override;
  uint64_t BytesWanted() const override {
    return Engine::BytesWanted(options_, spec_.serve().tensor_parallel()).value_or(0);
  }

 private:
  bool leader() const { return context_.gang->rank() == 0; }
  void Record(SeriesId series, double value) {
    context_.recorder->Record(series, context_.clock->Monotonic(), value);
  }
  absl::Status ReadTrace();
  MeanLengths Mean() const { return trace_ ? MeanOf(trace_->replay()) : MeanOf(load_); }
  absl::Status RecordFacts();
  absl::Status ReadBandwidth();
  absl::StatusOr<double> WarmAndCalibrate();  // the rate of the schedule
  absl::Status MeasureWindow(double rate);
  absl::Status Follow();

  const v1::RunSpec spec_;
  const v1::Load& load_;
  const EngineOptions options_;
  const RunContext context_;
  const std::unique_ptr<Ops> ops_;
  std::unique_ptr<ServeTrace> trace_;  // of a load that replays one
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<RequestLog> log_;
  std::vector<MeasuredRequest> captured_;
};

absl::Status ServeWorkload::ReadTrace() {
  ASSIGN_OR_RETURN(
      trace_, ServeTrace::Create(load_, *context_.artifacts, {spec_.seed(), options_.shape.vocab}));
  const ReplayRequest& longest = trace_->replay().Longest();
  return CheckLongest(spec_.serve(), options_.shape,
                      uint64_t{longest.prompt_tokens} + longest.output_tokens);
}

absl::Status ServeWorkload::Prepare() {
  if (load_.has_trace()) RETURN_IF_ERROR(ReadTrace());
  ASSIGN_OR_RETURN(
      engine_, Engine::Create(options_, {ops_.get(), &context_.gang->collective(),
                                         context_.gang->channel(), context_.clock, trace_.get()}));
  Record(SeriesId::kInstrumentNsPerSample, MeasureNsPerSample(*context_.clock));
  Record(SeriesId::kWeightsBytes, static_cast<double>(engine_->weight_bytes()));
  Record(SeriesId::kKvBytes, static_cast<double>(engine_->kv_bytes()));
  return leader() ? RecordFacts() : absl::OkStatus();
}

absl::Status ServeWorkload::RecordFacts() {
  ASSIGN_OR_RETURN(const ShardShape shard, ShardOf(options_.shape, spec_.serve().tensor_parallel(),
                                                   options_.deterministic));
  const MeanLengths mean = Mean();
  // A sequence attends to its prompt and, on average over its life, to half of its output.
  const double context = mean.prompt_tokens + mean.output_tokens / 2;
  Record(SeriesId::kKvBlocksTotal, engine_->kv_blocks_total());
  Record(SeriesId::kFloorBytesPerStep, GangWeightBytesPerStep(options_.shape, shard));
  Record(SeriesId::kFloorBytesPerToken, GangKvBytesPerSequence(options_.shape, shard, context));
  return absl::OkStatus();
}

absl::Status ServeWorkload::Measure() {
  context_.progress->Phase(v1::RANK_PHASE_WARMING);
  RETURN_IF_ERROR(context_.gang->Barrier());
  RETURN_IF_ERROR(ReadBandwidth());
  if (!leader()) return Follow();
  ASSIGN_OR_RETURN(const double rate, WarmAndCalibrate());
  return MeasureWindow(rate);
}

// All ranks read at once, because they will when they decode. The best pass counts: it is a limit.
absl::Status ServeWorkload::ReadBandwidth() {
  const Nanos start = context_.clock->Monotonic();
  Nanos now = start;
  Nanos best = std::numeric_limits<Nanos>::max();
  uint64_t bytes = 0;
  uint64_t checksum = 0;
  for (int pass = 0; pass < kReadPassesMin || now - start < kReadTime; ++pass) {
    const Nanos before = context_.clock->Monotonic();
    const ReadPass read = engine_->ReadWeights();
    now = context_.clock->Monotonic();
    if (pass > 0 && read.checksum != checksum) {
      return absl::DataLossError(
          "two reads of this rank's weights gave different sums; its "
          "memory is faulty");
    }
    bytes = read.bytes;
    checksum = read.checksum;
    best = std::min(best, std::max<Nanos>(now - before, 1));
  }
  Record(SeriesId::kReadBandwidth, static_cast<double>(bytes) / (static_cast<double>(best) / 1e9));
  return absl::OkStatus();
}

absl::StatusOr<double> ServeWorkload::WarmAndCalibrate() {
  LengthSource lengths =
      trace_ ? LengthSource(trace_->replay())
             : LengthSource(load_, spec_.seed(), LengthSource::Purpose::kClosedLoop);
  ClosedLoop loop(engine_.get(), std::move(lengths), Mean(), context_);
  RETURN_IF_ERROR(loop.Warm(load_.warmup_ns()));
  double rate = load_.requests_per_second();
  if (trace_) {
    rate = static_cast<double>(trace_->replay().requests.size()) * 1e9 /
           static_cast<double>(load_.duration_ns());
  }
  if (load_.has_auto_()) {
    context_.progress->Phase(v1::RANK_PHASE_CALIBRATING);
    ASSIGN_OR_RETURN(const double capacity, loop.Calibrate(load_.auto_().calibration_ns()));
    Record(SeriesId::kCalibrationRate, capacity);
    rate = load_.auto_().share() * capacity;
  }
  // What the closed loop still had in flight is nobody's result.
  RETURN_IF_ERROR(engine_->EndPhase());
  Record(SeriesId::kRequestedRate, rate);
  return rate;
}

absl::Status ServeWorkload::MeasureWindow(double rate) {
  std::vector<Arrival> schedule;
  if (trace_) {
    schedule = MakeSchedule(trace_->replay());
  } else {
    ASSIGN_OR_RETURN(schedule, MakeSchedule(load_, rate, spec_.seed()));
  }
  if (schedule.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a load of ", rate, " requests/s has no arrival in a window of ",
        ToAbsl(FormatDuration(load_.duration_ns())), "; raise load.rate or load.duration"));
  }
  Record(SeriesId::kRequestsScheduled, static_cast<double>(schedule.size()));
  context_.progress->Phase(v1::RANK_PHASE_MEASURING);
  context_.progress->Note(absl::StrCat("load ", FormatCount(rate), " requests/s"));
  const auto share = static_cast<Nanos>(kGraceShare * static_cast<double>(load_.duration_ns()));
  // The table first: a large one takes longer to make than the lead, and the first requests would
  // be late by it.
  ASSIGN_OR_RETURN(RequestTable table, RequestTable::Create(schedule));
  log_ = std::make_shared<RequestLog>(std::move(table));
  const Nanos t0 = context_.clock->Monotonic() + kLead;
  const Nanos t1 = t0 + load_.duration_ns();
  log_->table().Begin(t0);
  context_.emitter->WatchRequests(log_);
  const bool shares = trace_ && trace_->shares_prefixes();
  OpenLoop loop(engine_.get(), log_.get(), {t0, t1, t1 + std::max(kGraceMin, share), shares},
                context_);
  context_.recorder->Record(SeriesId::kWindowStart, t0, 1);
  RETURN_IF_ERROR(loop.Run());
  context_.recorder->Record(SeriesId::kWindowEnd, t1, 1);
  captured_ = loop.Captured();
  return absl::OkStatus();
}

absl::Status ServeWorkload::Follow() {
  std::optional<Nanos> calibrating_at;
  if (load_.has_auto_()) calibrating_at = context_.clock->Monotonic() + load_.warmup_ns();
  RETURN_IF_ERROR(FollowPhase(engine_.get(), context_, nullptr, calibrating_at));
  context_.progress->Phase(v1::RANK_PHASE_MEASURING);
  return FollowPhase(engine_.get(), context_, context_.recorder);
}

absl::Status ServeWorkload::Verify() {
  if (!leader()) return FollowPhase(engine_.get(), context_, nullptr);
  ASSIGN_OR_RETURN(const VerifyResult result, VerifyGang(*engine_, captured_));
  Record(SeriesId::kVerifyChecked, static_cast<double>(result.checked));
  Record(SeriesId::kVerifyWrong, static_cast<double>(result.wrong));
  if (result.wrong > 0) Log(LogLevel::kError, result.first_wrong);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckServe(const v1::RunSpec& spec, const Gang& gang) {
  const v1::ServeWorkload& serve = spec.serve();
  if (serve.tensor_parallel() != gang.world()) {
    return absl::InvalidArgumentError(absl::StrCat("serve.tensor_parallel is ",
                                                   serve.tensor_parallel(), " on a gang of ",
                                                   gang.world(), " devices; they must be equal"));
  }
  RETURN_IF_ERROR(CheckLoad(serve.load()));
  ASSIGN_OR_RETURN(const ModelShape* shape, FindModelOrExplain(serve.model()));
  const EngineOptions options = OptionsOf(spec, *shape);
  RETURN_IF_ERROR(Engine::Check(options, serve.tensor_parallel()));
  // A trace's lengths are known once its file is read.
  if (!serve.load().has_trace()) {
    const v1::Load& load = serve.load();
    const uint64_t longest =
        uint64_t{load.prompt_tokens().max()} + uint64_t{load.output_tokens().max()};
    RETURN_IF_ERROR(CheckLongest(serve, *shape, longest));
  }
  if (!gang.device().has_memory_bytes()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t wanted, Engine::BytesWanted(options, serve.tensor_parallel()));
  if (wanted <= gang.device().memory_bytes()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("this rank would need ", wanted, " bytes, its device has ",
                   gang.device().memory_bytes(), "; use more devices or lower kv_memory"));
}

std::unique_ptr<Workload> MakeServe(const v1::RunSpec& spec, const RunContext& context) {
  // CheckServe has found the model.
  return std::make_unique<ServeWorkload>(spec, *FindModel(spec.serve().model()), context);
}

}  // namespace rackmark
