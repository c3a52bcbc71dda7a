#include "bench/timed_ops.h"

#include <ctime>

namespace rackmark {

Nanos CoreTime() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

std::string_view NameOf(Part part) {
  constexpr std::string_view kNames[] = {"qkv",  "attention", "o",         "gate+up",
                                         "down", "head+max",  "norm+rope", "else"};
  return kNames[static_cast<size_t>(part)];
}

void TimedOps::Embed(const int32_t* ids, int m, int hidden, const Bf16* table, VocabShard shard,
                     float* out) {
  Time(Part::kElse, [&] { ops_->Embed(ids, m, hidden, table, shard, out); });
}

void TimedOps::RmsNorm(const Norm& shape, const float* x, const Bf16* weight, float* out) {
  next_ = Part::kQkv;
  Time(Part::kNormRope, [&] { ops_->RmsNorm(shape, x, weight, out); });
}

void TimedOps::Add(size_t n, const float* y, float* x) {
  Time(Part::kElse, [&] { ops_->Add(n, y, x); });
}

void TimedOps::MatMul(const MatMulShape& shape, const float* x, const Bf16* w, float* y) {
  Part part = next_;
  if (part == Part::kQkv && shape.n == sizes_.vocab) part = Part::kHead;
  if (part == Part::kQkv && shape.n == sizes_.intermediate) part = Part::kGateUp;
  Time(part, [&] { ops_->MatMul(shape, x, w, y); });
}

void TimedOps::Rope(const RopeTable& table, const TokenRow* rows, int m, int heads, float* x) {
  Time(Part::kNormRope, [&] { ops_->Rope(table, rows, m, heads, x); });
}

void TimedOps::AppendKv(const TokenRow* rows, int m, const float* k, const float* v,
                        const KvCache& cache) {
  Time(Part::kAttention, [&] { ops_->AppendKv(rows, m, k, v, cache); });
}

void TimedOps::Attend(const Attention& shape, const float* q, const KvCache& cache, float* out) {
  next_ = Part::kOutput;
  Time(Part::kAttention, [&] { ops_->Attend(shape, q, cache, out); });
}

void TimedOps::SwiGlu(size_t n, const float* gate, const float* up, float* out) {
  next_ = Part::kDown;
  Time(Part::kElse, [&] { ops_->SwiGlu(n, gate, up, out); });
}

void TimedOps::ArgmaxRows(int m, int n, const float* logits, Argmax* best) {
  Time(Part::kHead, [&] { ops_->ArgmaxRows(m, n, logits, best); });
}

}  // namespace rackmark
