#include "worker/serving/engine.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/random.h"
#include "model/memory.h"
#include "model/shard.h"
#include "worker/serving/forward.h"
#include "worker/serving/kv_cache.h"
#include "worker/serving/plan_state.h"
#include "worker/serving/step_plan.h"
#include "worker/serving/weights.h"

namespace rackmark {
namespace {

double Seconds(Nanos t) { return static_cast<double>(t) * 1e-9; }

// All sizes that follow from the options: computed in one place, before anything is allocated.
struct Sizes {
  ShardShape shard;
  PlanLimits limits;
  uint32_t rows_max = 0;
  uint32_t positions_max = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<Sizes> SizesOf(const EngineOptions& options, uint32_t tensor_parallel) {
  Sizes sizes;
  ASSIGN_OR_RETURN(sizes.shard, ShardOf(options.shape, tensor_parallel, options.deterministic));
  if (options.max_batch == 0 || options.max_batch > kMaxBatchLimit) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_batch is ", options.max_batch, ", possible are 1 to ", kMaxBatchLimit));
  }
  if (options.prefill_chunk == 0 || options.kv_block_tokens == 0 || options.queue_max == 0) {
    return absl::InvalidArgumentError(
        "prefill_chunk, kv_block_tokens and queue_max must be at least 1");
  }
  const uint64_t blocks =
      KvBlocks(options.shape, sizes.shard, options.kv_memory_bytes, options.kv_block_tokens);
  if (blocks == 0) {
    const uint64_t block = KvBytesPerTokenPerRank(options.shape, sizes.shard) * tensor_parallel *
                           options.kv_block_tokens;
    return absl::InvalidArgumentError(
        absl::StrCat("kv_memory is ", options.kv_memory_bytes, " bytes; one block of ",
                     options.kv_block_tokens, " tokens takes ", block, " bytes over the gang"));
  }
  // Block ids are signed 32-bit numbers in the tables; no gang's memory comes near.
  constexpr uint64_t kBlocksMax = 1U << 30;
  sizes.limits = {options.max_batch, options.kv_block_tokens,
                  static_cast<uint32_t>(std::min(blocks, kBlocksMax))};
  const uint64_t capacity = uint64_t{sizes.limits.blocks} * options.kv_block_tokens;
  sizes.positions_max =
      static_cast<uint32_t>(std::min<uint64_t>(options.shape.context_max, capacity));
  sizes.rows_max = options.max_batch + options.prefill_chunk;
  const uint64_t kv = KvBytesPerTokenPerRank(options.shape, sizes.shard) * capacity;
  const uint64_t rope = uint64_t{sizes.positions_max} * options.shape.head_dim * kActivationBytes;
  sizes.bytes =
      WeightBytesPerRank(options.shape, sizes.shard).total() + kv + rope +
      ActivationBytesPerRank(options.shape, sizes.shard, sizes.rows_max, options.max_batch);
  return sizes;
}

}  // namespace

int32_t PromptToken(uint64_t seed, uint64_t name, uint32_t position, uint32_t vocab) {
  const uint64_t hash = Mix64(Mix64(seed ^ Mix64(name)) + position);
  return static_cast<int32_t>((hash >> 32) * vocab >> 32);
}

class Engine::Impl {
 public:
  Impl(const EngineOptions& engine_options, const EngineSeams& engine_seams, const Sizes& sizes)
      : options(engine_options),
        seams(engine_seams),
        own_prompts(engine_options.seed, engine_options.shape.vocab),
        prompts(seams.prompts != nullptr ? *seams.prompts : own_prompts),
        state(sizes.limits),
        batcher({sizes.limits, engine_options.prefill_chunk, engine_options.shape.context_max,
                 engine_options.queue_max,
                 [this](const EngineRequest& request, std::vector<uint64_t>& names) {
                   NameBlocks(request, names);
                 }}),
        last_token(sizes.limits.max_batch) {
    ids.reserve(sizes.rows_max);
    rows.reserve(sizes.rows_max);
    samples.reserve(sizes.limits.max_batch);
    result.tokens.reserve(sizes.limits.max_batch);
    result.collectives.reserve(2 * size_t{engine_options.shape.layers} + 1);
    message.reserve(kPlanBytesMax);
  }

  void NameBlocks(const EngineRequest& request, std::vector<uint64_t>& names) const;
  Nanos Now() const { return seams.clock->Monotonic(); }
  absl::Status Send(StepPlan& plan);
  absl::Status RunPlan(const StepPlan& plan);
  void Gather();
  void Emit(std::span<const Argmax> best, Nanos now);
  void ClearResult(bool idle);
  void CloseStep(Nanos now);
  absl::StatusOr<FollowOutcome> ApplyReceived();

  const EngineOptions options;
  const EngineSeams seams;
  const SeededPrompts own_prompts;
  const PromptSource& prompts;
  PlanState state;  // what runs now
  Batcher batcher;  // leader only; its own mirror is one plan ahead
  std::unique_ptr<Weights> weights;
  std::unique_ptr<KvStorage> kv;
  std::unique_ptr<Forward> forward;
  std::function<void(const LogitsView&)> observer;

  StepWork work;
  std::vector<int32_t> ids;
  std::vector<TokenRow> rows;
  std::vector<uint32_t> samples;
  std::vector<int32_t> last_token;  // (max_batch)
  StepPlan current;
  StepPlan next;           // leader: planned and sent, not run
  bool have_next = false;  // leader
  bool was_idle = true;    // leader: nothing ran since work ran out
  std::string message;
  StepResult result;
  Nanos plan_wait = 0;  // of the step that comes
  Nanos host = 0;
  // Of the last step's forward pass, until the next call closes what its caller did with the
  // result.
  std::optional<Nanos> open_since;
};

// A chain over all tokens from the beginning: equal names mean equal keys and values, because those
// depend on nothing else.
void Engine::Impl::NameBlocks(const EngineRequest& request, std::vector<uint64_t>& names) const {
  uint64_t chain = 0;
  for (uint32_t p = 0; p < request.prompt_tokens; ++p) {
    chain = Mix64(chain ^ (static_cast<uint64_t>(prompts.Token(request.index, p)) + 1));
    if ((p + 1) % options.kv_block_tokens == 0) names.push_back(chain);
  }
}

absl::Status Engine::Impl::Send(StepPlan& plan) {
  if (seams.collective->world() == 1) return absl::OkStatus();
  EncodePlan(plan, message);
  ASSIGN_OR_RETURN(const Nanos blocked, seams.channel->Send(message, options.send_limit));
  plan_wait += blocked;
  host -= blocked;  // the caller times the whole of it
  return absl::OkStatus();
}

void Engine::Impl::ClearResult(bool idle) {
  result.idle = idle;
  result.stats = {};
  result.tokens.clear();
  result.collectives.clear();
}

// Handing out and recording a step's result is host time too: without it the split of the steps
// would not add up to the time that passed.
void Engine::Impl::CloseStep(Nanos now) {
  if (open_since) host += now - *open_since;
  open_since.reset();
}

// Rows of the step in the form that the operations take.
void Engine::Impl::Gather() {
  ids.clear();
  rows.clear();
  samples.clear();
  for (const WorkRow& row : work.rows) {
    const SequenceView& sequence = state.slot(row.slot);
    ids.push_back(row.prompt ? prompts.Token(sequence.request, row.position)
                             : last_token[row.slot]);
    rows.push_back({state.table(row.slot).data(), static_cast<int32_t>(row.position)});
  }
  for (const WorkSample& sample : work.samples) samples.push_back(sample.row);
}

void Engine::Impl::Emit(std::span<const Argmax> best, Nanos now) {
  const uint32_t vocab = forward->vocab_first();
  const size_t width = options.shape.vocab / static_cast<size_t>(seams.collective->world());
  for (size_t i = 0; i < best.size(); ++i) {
    const WorkSample& sample = work.samples[i];
    last_token[work.rows[sample.row].slot] = best[i].index;
    result.tokens.push_back({sample.request, sample.position, best[i].index, best[i].value, now,
                             sample.position == 0, sample.last, sample.cached});
    if (observer) {
      observer({sample.request, sample.position, forward->logits() + i * width, vocab,
                static_cast<uint32_t>(width)});
    }
  }
}

absl::Status Engine::Impl::RunPlan(const StepPlan& plan) {
  const Nanos begin = Now();
  RETURN_IF_ERROR(state.Apply(plan, &work));
  ClearResult(false);
  Gather();
  const Nanos run = Now();
  ASSIGN_OR_RETURN(const std::span<const Argmax> best,
                   forward->Run({ids, rows, samples}, result.collectives));
  const Nanos end = Now();
  Emit(best, end);
  const Forward::CollectiveTotals& totals = forward->totals();
  StepStats& stats = result.stats;
  stats.t_end_ns = end;
  stats.collective_wait_s = Seconds(totals.wait);
  stats.collective_transfer_s = Seconds(totals.transfer);
  stats.lateness_s = Seconds(totals.lateness);
  stats.compute_s = Seconds(end - run - totals.wait - totals.transfer);
  stats.plan_wait_s = Seconds(std::exchange(plan_wait, 0));
  stats.host_s = Seconds(std::exchange(host, 0) + (run - begin));
  stats.decode_tokens = work.decode_tokens;
  stats.prefill_tokens = work.prefill_tokens;
  stats.running = work.running;
  stats.waiting = static_cast<uint32_t>(batcher.waiting());
  stats.kv_blocks_used = work.blocks_used;
  open_since = end;
  return absl::OkStatus();
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::Status Engine::Check(const EngineOptions& options, uint32_t tensor_parallel) {
  return SizesOf(options, tensor_parallel).status();
}

absl::StatusOr<uint64_t> Engine::BytesWanted(const EngineOptions& options,
                                             uint32_t tensor_parallel) {
  ASSIGN_OR_RETURN(const Sizes sizes, SizesOf(options, tensor_parallel));
  return sizes.bytes;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       const EngineSeams& seams) {
  RACKMARK_CHECK(seams.ops != nullptr && seams.collective != nullptr && seams.clock != nullptr);
  const int world = seams.collective->world();
  RACKMARK_CHECK(world == 1 || seams.channel != nullptr);
  ASSIGN_OR_RETURN(const Sizes sizes, SizesOf(options, static_cast<uint32_t>(world)));
  auto impl = std::make_unique<Impl>(options, seams, sizes);
  const auto rank = static_cast<uint32_t>(seams.collective->rank());
  ASSIGN_OR_RETURN(impl->weights, Weights::Create(options.shape, sizes.shard, rank, options.seed));
  ASSIGN_OR_RETURN(
      impl->kv, KvStorage::Create({options.shape.layers, sizes.limits.blocks, sizes.shard.kv_heads,
                                   options.kv_block_tokens, options.shape.head_dim}));
  const Forward::Options forward{options.shape,  sizes.shard,       options.deterministic,
                                 sizes.rows_max, options.max_batch, sizes.positions_max};
  impl->forward =
      std::make_unique<Forward>(forward, Forward::Parts{seams.ops, seams.collective, seams.clock,
                                                        impl->weights.get(), impl->kv.get()});
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

absl::Status Engine::Submit(const EngineRequest& request) {
  RACKMARK_CHECK(leader());
  return impl_->batcher.Submit(request);
}

absl::StatusOr<const StepResult*> Engine::Step() {
  RACKMARK_CHECK(leader());
  Impl& impl = *impl_;
  const Nanos begin = impl.Now();
  impl.CloseStep(begin);
  if (!impl.have_next) {
    if (!impl.batcher.PlanNext(impl.next)) {
      impl.was_idle = true;
      impl.ClearResult(true);
      return &impl.result;
    }
    // Followers do not count a wait for work as a wait for the plan; but one that nobody was idle
    // before counts.
    impl.next.after_idle = impl.was_idle;
    RETURN_IF_ERROR(impl.Send(impl.next));
  }
  std::swap(impl.current, impl.next);
  // The plan behind this one leaves before this one runs, so no follower ever waits for it.
  impl.have_next = impl.batcher.PlanNext(impl.next);
  if (impl.have_next) RETURN_IF_ERROR(impl.Send(impl.next));
  impl.host += impl.Now() - begin;
  impl.was_idle = false;
  RETURN_IF_ERROR(impl.RunPlan(impl.current));
  return &impl.result;
}

absl::StatusOr<PhaseEnd> Engine::EndPhase() {
  RACKMARK_CHECK(leader());
  Impl& impl = *impl_;
  PhaseEnd end;
  if (impl.have_next) {
    // The followers already have this plan, and its collectives need all ranks.
    impl.CloseStep(impl.Now());
    std::swap(impl.current, impl.next);
    impl.have_next = false;
    RETURN_IF_ERROR(impl.RunPlan(impl.current));
    end.ran_step = true;
  }
  end.aborted_running = impl.state.active();
  end.aborted_waiting = impl.batcher.waiting();
  StepPlan plan = impl.batcher.PlanEnd();
  RETURN_IF_ERROR(impl.Send(plan));
  RETURN_IF_ERROR(impl.state.Apply(plan, nullptr));
  impl.plan_wait = impl.host = 0;
  impl.was_idle = true;
  impl.open_since.reset();
  return end;
}

absl::StatusOr<FollowOutcome> Engine::Impl::ApplyReceived() {
  const Nanos begin = Now();
  RETURN_IF_ERROR(DecodePlan(message, current));
  if (current.after_idle || current.kind == PlanKind::kEndPhase) plan_wait = 0;
  if (current.kind == PlanKind::kEndPhase) {
    RETURN_IF_ERROR(state.Apply(current, nullptr));
    host = 0;
    return FollowOutcome::kPhaseEnded;
  }
  host += Now() - begin;
  RETURN_IF_ERROR(RunPlan(current));
  return FollowOutcome::kRanStep;
}

absl::StatusOr<FollowOutcome> Engine::FollowStep(Nanos limit) {
  RACKMARK_CHECK(!leader());
  Impl& impl = *impl_;
  const Nanos begin = impl.Now();
  impl.CloseStep(begin);
  const absl::StatusOr<Nanos> received = impl.seams.channel->Receive(impl.message, limit);
  impl.plan_wait += impl.Now() - begin;
  if (absl::IsDeadlineExceeded(received.status())) return FollowOutcome::kNoPlanYet;
  RETURN_IF_ERROR(received);
  return impl.ApplyReceived();
}

const StepResult& Engine::last_step() const { return impl_->result; }
bool Engine::leader() const { return impl_->seams.collective->rank() == 0; }
const EngineOptions& Engine::options() const { return impl_->options; }
uint32_t Engine::kv_blocks_total() const { return impl_->state.pool().total(); }
uint32_t Engine::kv_blocks_free() const { return impl_->state.pool().free_count(); }
uint64_t Engine::weight_bytes() const { return impl_->weights->bytes(); }
uint64_t Engine::kv_bytes() const { return impl_->kv->bytes(); }

ReadPass Engine::ReadWeights() {
  return impl_->seams.ops->ReadBandwidth(impl_->weights->streamed(),
                                         impl_->weights->streamed_bytes());
}

void Engine::SetLogitsObserver(std::function<void(const LogitsView&)> observer) {
  impl_->observer = std::move(observer);
}

}  // namespace rackmark
