// Operations that take the time of each call, by what a decoder uses it for. One thread.
#pragma once

#include <array>
#include <memory>
#include <string_view>

#include "common/time.h"
#include "kernels/ops.h"

namespace rackmark {

// This thread's time on a core: a neighbour that takes the core in between is not counted.
Nanos CoreTime();

enum class Part { kQkv, kAttention, kOutput, kGateUp, kDown, kHead, kNormRope, kElse, kCount };
std::string_view NameOf(Part part);

// A product is told by what came before it (after Attend: output; after SwiGlu: down) and by its
// rows: vocab of the shard is the head, intermediate of the shard gate and up.
struct PartSizes {
  int vocab = 0;
  int intermediate = 0;
};
using PartTimes = std::array<Nanos, static_cast<size_t>(Part::kCount)>;

class TimedOps : public Ops {
 public:
  TimedOps(std::unique_ptr<Ops> ops, const PartSizes& sizes)
      : ops_(std::move(ops)), sizes_(sizes) {}
  const PartTimes& times() const { return times_; }
  void Clear() { times_ = {}; }

  std::string_view Name() const override { return ops_->Name(); }
  void Embed(const int32_t* ids, int m, int hidden, const Bf16* table, VocabShard shard,
             float* out) override;
  void RmsNorm(const Norm& shape, const float* x, const Bf16* weight, float* out) override;
  void Add(size_t n, const float* y, float* x) override;
  void MatMul(const MatMulShape& shape, const float* x, const Bf16* w, float* y) override;
  void Rope(const RopeTable& table, const TokenRow* rows, int m, int heads, float* x) override;
  void AppendKv(const TokenRow* rows, int m, const float* k, const float* v,
                const KvCache& cache) override;
  void Attend(const Attention& shape, const float* q, const KvCache& cache, float* out) override;
  void SwiGlu(size_t n, const float* gate, const float* up, float* out) override;
  void ArgmaxRows(int m, int n, const float* logits, Argmax* best) override;
  ReadPass ReadBandwidth(const void* buffer, size_t bytes) override {
    return ops_->ReadBandwidth(buffer, bytes);
  }

 private:
  template <typename Work>
  void Time(Part part, Work work) {
    const Nanos begin = CoreTime();
    work();
    times_[static_cast<size_t>(part)] += CoreTime() - begin;
  }

  const std::unique_ptr<Ops> ops_;
  const PartSizes sizes_;
  Part next_ = Part::kQkv;  // of a product that its rows do not tell
  PartTimes times_ = {};
};

}  // namespace rackmark
