#include "worker/serving/weights.h"

#include <sys/mman.h>

#include <cmath>
#include <new>

#include "common/random.h"
#include "model/memory.h"

namespace rackmark {
namespace {

// Of a large page: memory that is read at every step then costs few address translations, and the
// processor's prefetcher, which stops at a page's end, seldom stops.
constexpr std::align_val_t kAlignment{2 << 20};

// A rank's rectangle of a matrix.
struct Part {
  TensorKind kind = TensorKind::kQuery;
  uint32_t layer = 0;
  uint32_t row = 0;
  uint32_t rows = 0;
  uint32_t column = 0;
  uint32_t columns = 0;
};

void FillPart(const WeightSource& source, const Part& part, Bf16* out) {
  for (uint32_t r = 0; r < part.rows; ++r) {
    source.Read({part.kind, part.layer, part.row + r, part.column, part.columns},
                out + uint64_t{r} * part.columns);
  }
}

bool IsNorm(TensorKind kind) {
  return kind == TensorKind::kFinalNorm || kind == TensorKind::kAttentionNorm ||
         kind == TensorKind::kMlpNorm;
}

}  // namespace

void AlignedDelete::operator()(Bf16* p) const { ::operator delete(p, kAlignment); }

Bf16Buffer AllocateBf16(uint64_t elements) {
  const uint64_t bytes = elements * sizeof(Bf16);
  void* memory = ::operator new(bytes, kAlignment, std::nothrow);
  // A wish: where the kernel has no large pages, small ones do.
  if (memory != nullptr) madvise(memory, bytes, MADV_HUGEPAGE);
  return Bf16Buffer(static_cast<Bf16*>(memory));
}

uint32_t WeightSource::Columns(TensorKind kind) const {
  if (kind == TensorKind::kOutput) return shape_.q_dim();
  if (kind == TensorKind::kDown) return shape_.intermediate;
  return shape_.hidden;
}

// Four elements share one hash: an element takes the 16 bits of its offset modulo 4.
void WeightSource::Read(const Slice& slice, Bf16* out) const {
  const uint32_t columns = Columns(slice.kind);
  RACKMARK_CHECK(slice.begin + slice.n <= columns);
  const uint64_t key =
      Mix64(seed_ ^ Mix64(uint64_t{slice.layer} * 64 + static_cast<uint64_t>(slice.kind)));
  // The embedding has standard deviation 1: the residual stream starts there. A norm's weights lie
  // around 1, so that a forgotten norm weight shows.
  float width = std::sqrt(3.0F / static_cast<float>(columns));
  float centre = 0;
  if (slice.kind == TensorKind::kEmbedding) width = std::sqrt(3.0F);
  if (IsNorm(slice.kind)) {
    width = 0.25F;
    centre = 1;
  }
  const float scale = width / 32768.0F;
  const uint64_t first = uint64_t{slice.row} * columns + slice.begin;
  uint64_t hash = Mix64(key ^ (first / 4));
  for (uint64_t i = 0; i < slice.n; ++i) {
    const uint64_t offset = first + i;
    if (offset % 4 == 0) hash = Mix64(key ^ (offset / 4));
    const auto bits = static_cast<int16_t>(static_cast<uint16_t>(hash >> (16 * (offset % 4))));
    out[i] = ToBf16(centre + scale * static_cast<float>(bits));
  }
}

// One allocation, the embedding table first: the rest is what a step streams.
void Weights::Carve(const ModelShape& shape, const ShardShape& shard) {
  Bf16* next = memory_.get();
  const auto take = [&next](uint64_t rows, uint64_t columns) {
    Bf16* piece = next;
    next += rows * columns;
    return piece;
  };
  const uint64_t hidden = shape.hidden;
  embedding_ = take(shape.vocab, hidden);
  head_ = take(shard.vocab, hidden);
  layers_.resize(shape.layers);
  for (LayerWeights& layer : layers_) {
    layer.query = take(shard.q_dim, hidden);
    layer.key = take(shard.kv_dim, hidden);
    layer.value = take(shard.kv_dim, hidden);
    layer.output = take(hidden, shard.q_dim);
    layer.gate = take(shard.intermediate, hidden);
    layer.up = take(shard.intermediate, hidden);
    layer.down = take(hidden, shard.intermediate);
    layer.attention_norm = take(1, hidden);
    layer.mlp_norm = take(1, hidden);
  }
  final_norm_ = take(1, hidden);
  RACKMARK_CHECK(next == memory_.get() + elements_);
}

void Weights::Fill(const ModelShape& shape, const ShardShape& shard, uint32_t rank,
                   const WeightSource& source) {
  const uint32_t hidden = shape.hidden;
  const auto by_rows = [&](TensorKind kind, uint32_t layer, uint32_t rows, Bf16* out) {
    FillPart(source, {kind, layer, rank * rows, rows, 0, hidden}, out);
  };
  const auto by_columns = [&](TensorKind kind, uint32_t layer, uint32_t columns, Bf16* out) {
    FillPart(source, {kind, layer, 0, hidden, rank * columns, columns}, out);
  };
  const auto norm = [&](TensorKind kind, uint32_t layer, Bf16* out) {
    FillPart(source, {kind, layer, 0, 1, 0, hidden}, out);
  };
  FillPart(source, {TensorKind::kEmbedding, 0, 0, shape.vocab, 0, hidden}, embedding_);
  by_rows(TensorKind::kHead, 0, shard.vocab, head_);
  norm(TensorKind::kFinalNorm, 0, final_norm_);
  for (uint32_t i = 0; i < shape.layers; ++i) {
    const LayerWeights& layer = layers_[i];
    by_rows(TensorKind::kQuery, i, shard.q_dim, layer.query);
    by_rows(TensorKind::kKey, i, shard.kv_dim, layer.key);
    by_rows(TensorKind::kValue, i, shard.kv_dim, layer.value);
    by_columns(TensorKind::kOutput, i, shard.q_dim, layer.output);
    by_rows(TensorKind::kGate, i, shard.intermediate, layer.gate);
    by_rows(TensorKind::kUp, i, shard.intermediate, layer.up);
    by_columns(TensorKind::kDown, i, shard.intermediate, layer.down);
    norm(TensorKind::kAttentionNorm, i, layer.attention_norm);
    norm(TensorKind::kMlpNorm, i, layer.mlp_norm);
  }
}

absl::StatusOr<std::unique_ptr<Weights>> Weights::Create(const ModelShape& shape,
                                                         const ShardShape& shard, uint32_t rank,
                                                         uint64_t seed) {
  RACKMARK_CHECK(rank < shard.tensor_parallel);
  const WeightBytes bytes = WeightBytesPerRank(shape, shard);
  std::unique_ptr<Weights> weights(new Weights);
  weights->elements_ = bytes.total() / sizeof(Bf16);
  weights->streamed_elements_ = bytes.read_per_step() / sizeof(Bf16);
  weights->memory_ = AllocateBf16(weights->elements_);
  if (weights->memory_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes.total(), " bytes of weights"));
  }
  weights->Carve(shape, shard);
  weights->Fill(shape, shard, rank, WeightSource(shape, seed));
  return weights;
}

}  // namespace rackmark
