#include "kernels/collective_shm.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "kernels/call_signature.h"
#include "kernels/shm_layout.h"

namespace rackmark {
namespace {

using shm_internal::Header;
using shm_internal::RankState;
using shm_internal::Slot;

// Below this, everybody reads everything after one meeting; above, ranks sum a share each and meet
// twice. Reading is world * bytes by every rank, a second meeting a microsecond or a scheduling.
constexpr size_t kOneShotBytes = 256 << 10;

class ShmCollective : public Collective {
 public:
  explicit ShmCollective(std::shared_ptr<ShmSegment> segment)
      : segment_(std::move(segment)),
        header_(segment_->header()),
        rank_(segment_->rank()),
        world_(segment_->world()),
        mine_(header_.ranks[rank_]) {}

  int rank() const override { return rank_; }
  int world() const override { return world_; }

  absl::StatusOr<CollectiveTiming> AllReduceSum(float* data, size_t n) override {
    const size_t bytes = n * sizeof(float);
    RETURN_IF_ERROR(Enter(CollectiveCall::kAllReduce, bytes, 0));
    const bool one_shot = bytes * static_cast<size_t>(world_) <= kOneShotBytes;
    const size_t piece = header_.slot_bytes / sizeof(float);
    size_t at = 0;
    do {
      const size_t count = std::min(piece, n - at);
      CopyIn(data + at, count * sizeof(float));
      RETURN_IF_ERROR(Meet());
      if (one_shot) {
        Sum(0, count, data + at);
      } else {
        RETURN_IF_ERROR(SumShares(data + at, count));
      }
      NextPiece();
      at += count;
    } while (at < n);
    return Leave(bytes);
  }

  absl::StatusOr<CollectiveTiming> AllGather(const void* mine, size_t bytes, void* all) override {
    RETURN_IF_ERROR(Enter(CollectiveCall::kAllGather, bytes, 0));
    size_t at = 0;
    do {
      const size_t count = std::min<size_t>(header_.slot_bytes, bytes - at);
      CopyIn(static_cast<const char*>(mine) + at, count);
      RETURN_IF_ERROR(Meet());
      for (int r = 0; r < world_ && count > 0; ++r) {
        std::memcpy(static_cast<char*>(all) + static_cast<size_t>(r) * bytes + at,
                    Slot(header_, r, parity_), count);
      }
      NextPiece();
      at += count;
    } while (at < bytes);
    return Leave(bytes * static_cast<size_t>(world_));
  }

  absl::StatusOr<CollectiveTiming> Broadcast(int root, void* data, size_t bytes) override {
    RACKMARK_CHECK(root >= 0 && root < world_);
    RETURN_IF_ERROR(Enter(CollectiveCall::kBroadcast, bytes, root));
    size_t at = 0;
    do {
      const size_t count = std::min<size_t>(header_.slot_bytes, bytes - at);
      char* piece = static_cast<char*>(data) + at;
      if (rank_ == root) CopyIn(piece, count);
      RETURN_IF_ERROR(Meet());
      if (rank_ != root && count > 0) std::memcpy(piece, Slot(header_, root, parity_), count);
      NextPiece();
      at += count;
    } while (at < bytes);
    return Leave(bytes);
  }

  absl::StatusOr<CollectiveTiming> Barrier() override {
    RETURN_IF_ERROR(Enter(CollectiveCall::kBarrier, 0, 0));
    RETURN_IF_ERROR(Meet());
    return Leave(0);
  }

  void SetCallLimit(Nanos limit) override { limit_ = limit; }
  void Abort() override { segment_->Abort(); }

 private:
  absl::Status Enter(CollectiveCall call, size_t bytes, int root) {
    const Nanos now = SystemClock().Monotonic();
    deadline_ = now + limit_;
    ++calls_;
    compared_ = false;
    mine_.arrival_ns[calls_ % 2].store(now);
    mine_.signature[calls_ % 2].store(CallSignature(call, bytes, root));
    if (header_.aborted_by.load() != 0) return Dead(absl::StatusCode::kUnavailable);
    return absl::OkStatus();
  }

  void CopyIn(const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(Slot(header_, rank_, parity_), from, bytes);
  }

  // The barrier: what any rank wrote before it, all ranks may read after it.
  absl::Status Meet() {
    const uint32_t generation = header_.generation.value.load();
    mine_.meetings.store(++meetings_);
    if (header_.arrived.fetch_add(1) + 1 == static_cast<uint32_t>(world_)) {
      header_.arrived.store(0);
      header_.generation.value.fetch_add(1);
      shm_internal::WakeSleepers(header_.generation);
    } else {
      const absl::Status status = shm_internal::WaitWhile(header_, header_.generation, generation,
                                                          deadline_, segment_->spins());
      if (!status.ok()) return Dead(status.code());
    }
    return compared_ ? absl::OkStatus() : CompareCalls();
  }

  absl::Status CompareCalls() {
    compared_ = true;
    const uint64_t signature = mine_.signature[calls_ % 2].load();
    for (int r = 0; r < world_; ++r) {
      const uint64_t theirs = header_.ranks[r].signature[calls_ % 2].load();
      if (theirs == signature) continue;
      shm_internal::AbortBy(header_, rank_);
      return absl::FailedPreconditionError(
          absl::StrCat("collective call ", calls_, " differs: rank ", rank_, " makes ",
                       DescribeCall(signature), ", rank ", r, " makes ", DescribeCall(theirs)));
    }
    return absl::OkStatus();
  }

  // The call failed here, so the barrier's count is wrong for ever: nobody may go on.
  absl::Status Dead(absl::StatusCode code) {
    std::vector<int> missing;
    for (int r = 0; r < world_; ++r) {
      if (header_.ranks[r].meetings.load() < meetings_) missing.push_back(r);
    }
    shm_internal::AbortBy(header_, rank_);
    std::string text = absl::StrCat("collective call ", calls_, " (",
                                    DescribeCall(mine_.signature[calls_ % 2].load()), ") ");
    if (code == absl::StatusCode::kDeadlineExceeded) {
      absl::StrAppend(&text, "took more than ", FormatDuration(limit_));
    } else {
      absl::StrAppend(&text, "was aborted by rank ", header_.aborted_by.load() - 1);
    }
    if (!missing.empty()) {
      absl::StrAppend(&text, "; did not arrive: ", missing.size() == 1 ? "rank " : "ranks ",
                      absl::StrJoin(missing, ", "));
    }
    return absl::Status(code, text);
  }

  // out (count) = elements [first, first + count) of all ranks' slots, added in tree order.
  void Sum(size_t first, size_t count, float* out) {
    std::array<const float*, kShmMaxWorld> rows;
    for (int r = 0; r < world_; ++r) {
      rows[static_cast<size_t>(r)] = SlotFloats(r) + first;
    }
    TreeSum(rows.data(), world_, count, out);
  }

  // Each rank sums its share in place in rank 0's slot: nobody else reads that share before the
  // second meeting.
  absl::Status SumShares(float* data, size_t count) {
    constexpr size_t kLine = 16;  // floats; shares do not split cache lines
    const size_t world = static_cast<size_t>(world_);
    const size_t share = (count + world * kLine - 1) / (world * kLine) * kLine;
    const size_t first = std::min(count, share * static_cast<size_t>(rank_));
    Sum(first, std::min(share, count - first), SlotFloats(0) + first);
    RETURN_IF_ERROR(Meet());
    std::copy_n(SlotFloats(0), count, data);
    return absl::OkStatus();
  }

  float* SlotFloats(int rank) { return reinterpret_cast<float*>(Slot(header_, rank, parity_)); }
  void NextPiece() { parity_ ^= 1; }

  CollectiveTiming Leave(uint64_t bytes) const {
    const Nanos end = SystemClock().Monotonic();
    const Nanos own = mine_.arrival_ns[calls_ % 2].load();
    Nanos first = own;
    Nanos last = own;
    for (int r = 0; r < world_; ++r) {
      const Nanos arrival = header_.ranks[r].arrival_ns[calls_ % 2].load();
      first = std::min(first, arrival);
      last = std::max(last, arrival);
    }
    return {.wait = last - own, .transfer = end - last, .lateness = own - first, .bytes = bytes};
  }

  std::shared_ptr<ShmSegment> segment_;
  Header& header_;
  const int rank_;
  const int world_;
  RankState& mine_;
  Nanos limit_ = kDefaultCallLimit;
  Nanos deadline_ = 0;
  uint64_t calls_ = 0;
  uint64_t meetings_ = 0;
  uint32_t parity_ = 0;
  bool compared_ = false;
};

}  // namespace

std::unique_ptr<Collective> MakeShmCollective(std::shared_ptr<ShmSegment> segment) {
  return std::make_unique<ShmCollective>(std::move(segment));
}

}  // namespace rackmark
