#include "worker/daemon/push_window.h"

#include <algorithm>

#include "common/log.h"
#include "rpc/limits.h"

namespace rackmark {

void PushWindow::Reset() {
  sent_.clear();
  in_flight_ = 0;
}

// What is acked may be ahead of what was sent here: a leader that is new has what the one before it
// stored and did not live to ack.
uint64_t PushWindow::DoneOf(const StreamKey& key, const Spool::Stream& stream) const {
  const auto sent = sent_.find(key);
  return sent == sent_.end() ? stream.acked_seq : std::max(stream.acked_seq, sent->second);
}

// The first one after the last served, in order of the keys, round and round.
std::optional<StreamKey> PushWindow::NextStream(std::string_view cluster_id) const {
  std::optional<StreamKey> first;
  for (const auto& [key, stream] : spool_->streams()) {
    if (stream.cluster_id != cluster_id) continue;
    if (DoneOf(key, stream) >= stream.sealed_seq) continue;
    if (last_ < key) return key;
    if (!first) first = key;
  }
  return first;
}

std::optional<v1::SampleBatch> PushWindow::NextBatch(std::string_view cluster_id) {
  v1::SampleBatch batch;
  size_t bytes = 0;
  while (auto key = NextStream(cluster_id)) {
    const uint64_t seq = DoneOf(*key, spool_->streams().at(*key)) + 1;
    const size_t size = spool_->SizeOf(*key, seq);
    if (bytes > 0 && bytes + size > kSampleBatchBytesMax) break;
    if (in_flight_ > 0 && in_flight_ + size > kWindowBytesMax) break;
    auto chunk = spool_->Read(*key, seq);
    if (!chunk.ok()) {
      Log(LogLevel::kError, absl::StrCat("spool: ", std::string(chunk.status().message())));
      Release(*key, seq - 1);
      spool_->SetAside(*key, "it cannot be read back");
      sent_.erase(*key);
      continue;
    }
    *batch.add_chunks() = *std::move(chunk);
    sent_[*key] = seq;
    bytes += size;
    in_flight_ += size;
    last_ = *key;
  }
  if (batch.chunks_size() == 0) return std::nullopt;
  return batch;
}

void PushWindow::Release(const StreamKey& key, uint64_t upto) {
  for (uint64_t seq = spool_->streams().at(key).acked_seq + 1; seq <= upto; ++seq) {
    in_flight_ -= std::min(in_flight_, spool_->SizeOf(key, seq));
  }
}

void PushWindow::OnAck(const v1::Watermark& mark) {
  const StreamKey key = KeyOf(mark);
  const auto stream = spool_->streams().find(key);
  if (stream == spool_->streams().end()) return;
  const auto sent = sent_.find(key);
  const uint64_t sent_seq = sent == sent_.end() ? stream->second.acked_seq : sent->second;
  const uint64_t upto = mark.refused().empty() ? std::min(mark.seq(), sent_seq) : sent_seq;
  Release(key, upto);
  if (!mark.refused().empty()) {
    spool_->SetAside(key, "the coordinator refused it: " + mark.refused());
    sent_.erase(key);
  } else {
    spool_->Ack(key, mark.seq());
  }
}

}  // namespace rackmark
