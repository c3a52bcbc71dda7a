#include "worker/rank/gang.h"

#include <string>
#include <utility>

namespace rackmark {

absl::StatusOr<std::unique_ptr<Gang>> Gang::Create(const v1::RankInit& init, SegmentName* segment,
                                                   Accelerator* accelerator) {
  if (init.world_size() == 0 || init.rank() >= init.world_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", init.rank(), " of a gang of ", init.world_size(), " cannot be"));
  }
  const bool gpu = init.device().kind() == v1::DEVICE_KIND_GPU;
  if (gpu != (accelerator != nullptr)) {
    return absl::UnimplementedError(
        gpu ? "this is rackmark-rank, which drives CPU slots; a GPU needs rackmark-rank-cuda"
            : "this is rackmark-rank-cuda, which drives GPUs; a CPU slot needs rackmark-rank");
  }
  if (!gpu && init.world_size() > kShmMaxWorld) {
    return absl::UnimplementedError(absl::StrCat("a gang of ", init.world_size(),
                                                 " ranks is over the ", kShmMaxWorld,
                                                 " that shared memory serves"));
  }
  std::unique_ptr<Gang> gang(new Gang(init, segment, accelerator));
  RETURN_IF_ERROR(gang->MakeCard());
  return gang;
}

absl::Status Gang::MakeCard() {
  card_.set_lease_id(init_.lease_id());
  card_.set_generation(init_.generation());
  card_.set_rank(rank());
  card_.set_host_id(init_.host_id());
  ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  card_.set_boot_id(boot_id);
  if (accelerator_ != nullptr) return accelerator_->Open(init_, &card_);
  host_ = std::make_unique<HostTransport>(init_, segment_name_);
  return host_->FillCard(&card_);
}

absl::Status Gang::Connect(const std::vector<v1::AddressCard>& cards) {
  std::vector<v1::AddressCard> by_rank(world());
  std::vector<bool> known(world(), false);
  for (const v1::AddressCard& card : cards) {
    if (card.lease_id() != card_.lease_id() || card.generation() != card_.generation()) {
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", card.rank(), "'s card is of lease ", card.lease_id(),
                       " generation ", card.generation(), ", this rank's of ", card_.lease_id(),
                       " generation ", card_.generation(), "; a card serves one communicator"));
    }
    if (card.rank() >= world()) continue;
    by_rank[card.rank()] = card;
    known[card.rank()] = true;
  }
  if (world() == 1) by_rank[0] = card_;
  for (uint32_t r = 0; r < world(); ++r) {
    if (known[r] || world() == 1) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", r, "'s address card is not among those received"));
  }
  if (accelerator_ == nullptr) return host_->Connect(by_rank);
  ASSIGN_OR_RETURN(device_collective_, accelerator_->Connect(by_rank[0]));
  return absl::OkStatus();
}

absl::Status Gang::Barrier() { return collective().Barrier().status(); }

void Gang::Abort() {
  if (world() == 1 && accelerator_ == nullptr) return;  // nobody waits, and nothing is broken
  aborted_.store(true, std::memory_order_relaxed);
  if (accelerator_ != nullptr) return accelerator_->Abort();
  host_->Abort();
}

}  // namespace rackmark
