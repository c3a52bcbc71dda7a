// rackmark-rank-cuda: one GPU per process, NCCL between them.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/exit_codes.h"
#include "common/log.h"
#include "kernels/cuda/collective_nccl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/teardown.h"
#include "worker/rank/accelerator.h"

namespace rackmark {
namespace {

constexpr Nanos kMeetingLimit = 60 * kSecond;
constexpr Nanos kCallLimit = 60 * kSecond;
constexpr size_t kProofFloats = 10'007;  // no multiple of anything that a kernel would like
constexpr uint64_t kProofSeed = 20'253;

// A device that this process cannot use makes the run SKIPPED, not broken.
absl::Status AsUnsupported(const absl::Status& why) {
  if (!absl::IsFailedPrecondition(why)) return why;
  return absl::UnimplementedError(why.message());
}

// What the environment already says stays, unless the placement must win.
void Set(const char* name, const std::string& value, bool always) {
  if (!value.empty()) setenv(name, value.c_str(), always ? 1 : 0);
}

// A communicator that cannot be aborted leaves nothing but the end of the process.
void EndStuckProcess(std::string_view step) {
  std::fprintf(stderr, "rackmark-rank-cuda: the teardown hangs in: %.*s; ending the process\n",
               static_cast<int>(step.size()), step.data());
  _exit(kExitError);
}

class CudaAccelerator : public Accelerator {
 public:
  ~CudaAccelerator() override { Close().IgnoreError(); }

  absl::Status Open(const v1::RankInit& init, v1::AddressCard* card) override {
    rank_ = static_cast<int>(init.rank());
    world_ = static_cast<int>(init.world_size());
    // Before the first call into CUDA or NCCL, which read them once. By UUID, because NVML's
    // numbers (which the daemon's are) need not be CUDA's.
    Set("CUDA_VISIBLE_DEVICES", init.device().uuid(), true);
    // "=": this one, not all whose names begin so.
    if (!init.interface().empty()) Set("NCCL_SOCKET_IFNAME", "=" + init.interface(), false);
    RETURN_IF_ERROR(AsUnsupported(OpenDevice()));
    if (rank_ != 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(*card->mutable_nccl_unique_id(), MakeNcclId());
    return absl::OkStatus();
  }

  absl::StatusOr<Collective*> Connect(const v1::AddressCard& leader) override {
    NcclCollective::Options options;
    options.rank = rank_;
    options.world = world_;
    options.id = leader.nccl_unique_id();
    options.meeting_limit = kMeetingLimit;
    options.aborted = &aborted_;
    options.on_stuck = EndStuckProcess;
    ASSIGN_OR_RETURN(collective_,
                     NcclCollective::Connect(device_.get(), &*stream_, ops_.get(), options));
    teardown_.Add(TeardownStage::kWorldCommunicator, "the end of the NCCL communicator",
                  [this] { return collective_->Close(); });
    collective_->SetCallLimit(kCallLimit);
    RETURN_IF_ERROR(collective_->Verify(kProofSeed, kProofFloats));
    return collective_.get();
  }

  void Abort() override { aborted_.store(true); }

  absl::Status Close() override { return teardown_.Run(kTeardownLimit, EndStuckProcess); }

 private:
  absl::Status OpenDevice() {
    ASSIGN_OR_RETURN(device_, CudaDevice::Open(0));
    const CudaFacts& facts = device_->facts();
    Log(LogLevel::kInfo, absl::StrCat(facts.name, " ", facts.uuid, ", compute capability ",
                                      facts.major, ".", facts.minor, ", NCCL ", NcclVersion()));
    teardown_.Add(TeardownStage::kStreams, "the stream", [this] {
      stream_.reset();
      return absl::OkStatus();
    });
    ASSIGN_OR_RETURN(CudaStream stream, CudaStream::Create(device_->ordinal()));
    stream_.emplace(std::move(stream));
    // The collective holds memory of its own, and cuBLAS a handle; both go before the stream.
    teardown_.Add(TeardownStage::kLibraries, "device memory and cuBLAS", [this] {
      collective_.reset();
      ops_.reset();
      return absl::OkStatus();
    });
    ASSIGN_OR_RETURN(ops_, CudaOps::Create(device_.get(), &*stream_));
    return absl::OkStatus();
  }

  int rank_ = 0;
  int world_ = 1;
  std::atomic<bool> aborted_{false};
  std::unique_ptr<CudaDevice> device_;
  std::optional<CudaStream> stream_;
  std::unique_ptr<CudaOps> ops_;
  std::unique_ptr<NcclCollective> collective_;
  Teardown teardown_;
};

}  // namespace

std::string_view RankProgramName() { return "rackmark-rank-cuda"; }
std::unique_ptr<Accelerator> MakeAccelerator() { return std::make_unique<CudaAccelerator>(); }

}  // namespace rackmark
