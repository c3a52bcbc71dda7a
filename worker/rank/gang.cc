#include "worker/rank/gang.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

namespace rackmark {
namespace {

// The name stands in messages: text of a peer's card is shown, never used as a path of ours.
constexpr const char* kShmFolder = "/dev/shm";

absl::Status NoTransport(const v1::AddressCard& a, const v1::AddressCard& b, std::string_view why) {
  return absl::UnimplementedError(absl::StrCat("no common transport: ranks ", a.rank(), " and ",
                                               b.rank(), " ", ToAbsl(why),
                                               " and this build has no Gloo yet"));
}

}  // namespace

absl::Status CheckCommonTransport(const v1::AddressCard& a, const v1::AddressCard& b) {
  if (a.host_id() != b.host_id()) return NoTransport(a, b, "are on different hosts");
  if (a.boot_id() != b.boot_id()) return NoTransport(a, b, "run under different kernels");
  if (a.shm_device() != b.shm_device()) {
    return NoTransport(a, b, "see different /dev/shm file systems");
  }
  return absl::OkStatus();
}

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
  if (world() == 1) return absl::OkStatus();  // there is nobody to meet
  struct stat shm {};
  if (stat(kShmFolder, &shm) != 0) return ErrnoStatus(errno, kShmFolder);
  card_.set_shm_device(shm.st_dev);
  if (rank() != 0) return absl::OkStatus();
  ShmSegment::Options options;
  options.world = static_cast<int>(world());
  ASSIGN_OR_RETURN(segment_, ShmSegment::Create(options));
  segment_name_->Made(segment_->name());
  card_.set_shm_name(segment_->name());
  card_.set_shm_nonce(segment_->nonce());
  return absl::OkStatus();
}

absl::Status Gang::Connect(const std::vector<v1::AddressCard>& cards) {
  if (world() == 1 && accelerator_ == nullptr) {
    collective_ = MakeSoloCollective();
    return absl::OkStatus();
  }
  const v1::AddressCard* leader = nullptr;
  for (const v1::AddressCard& card : cards) {
    if (card.lease_id() != card_.lease_id() || card.generation() != card_.generation()) {
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", card.rank(), "'s card is of lease ", card.lease_id(),
                       " generation ", card.generation(), ", this rank's of ", card_.lease_id(),
                       " generation ", card_.generation(), "; a card serves one communicator"));
    }
    if (card.rank() == 0) leader = &card;
  }
  if (leader == nullptr) {
    return absl::FailedPreconditionError("rank 0's address card is not among those received");
  }
  if (accelerator_ != nullptr) {
    ASSIGN_OR_RETURN(device_collective_, accelerator_->Connect(*leader));
    return absl::OkStatus();
  }
  for (const v1::AddressCard& card : cards) {
    RETURN_IF_ERROR(CheckCommonTransport(*leader, card));
  }
  RETURN_IF_ERROR(CheckCommonTransport(*leader, card_));
  if (rank() != 0) RETURN_IF_ERROR(Attach(*leader));
  RETURN_IF_ERROR(segment_->AwaitAll(kMeetingLimit));
  segment_name_->Gone();
  collective_ = MakeShmCollective(segment_);
  channel_ = MakeShmChannel(segment_);
  collective_->SetCallLimit(kCollectiveLimit);
  return absl::OkStatus();
}

absl::Status Gang::Attach(const v1::AddressCard& leader) {
  auto segment =
      ShmSegment::Attach(leader.shm_name(), leader.shm_nonce(), static_cast<int>(rank()));
  if (absl::IsNotFound(segment.status()) || absl::IsPermissionDenied(segment.status())) {
    return NoTransport(leader, card_,
                       absl::StrCat("share no segment (", segment.status().message(), ")"));
  }
  if (!segment.ok()) return segment.status();
  std::lock_guard lock(segment_mutex_);
  segment_ = *std::move(segment);
  if (aborted()) segment_->Abort();
  return absl::OkStatus();
}

absl::Status Gang::Barrier() { return collective().Barrier().status(); }

void Gang::Abort() {
  if (world() == 1 && accelerator_ == nullptr) return;  // nobody waits, and nothing is broken
  aborted_.store(true, std::memory_order_relaxed);
  if (accelerator_ != nullptr) return accelerator_->Abort();
  std::lock_guard lock(segment_mutex_);
  if (segment_ != nullptr) segment_->Abort();
}

}  // namespace rackmark
