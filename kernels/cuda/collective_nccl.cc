#include "kernels/cuda/collective_nccl.h"

#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/verify.h"

namespace rackmark {
namespace {

constexpr size_t kGatherFloats = size_t{4} << 20;  // of all ranks together, in one piece

absl::Status NcclStatus(ncclResult_t result, std::string_view expression, ncclComm_t comm) {
  if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
  std::string text = absl::StrCat(ToAbsl(expression), ": ", ncclGetErrorString(result));
  const char* last = ncclGetLastError(comm);
  if (last != nullptr && *last != '\0') text += absl::StrCat(" (", last, ")");
  // Another rank's end, as its peers see it.
  if (result == ncclRemoteError) return absl::UnavailableError(text);
  return absl::InternalError(text);
}

#define NCCL_STATUS(call, comm) NcclStatus((call), #call, (comm))

}  // namespace

struct NcclCollective::Impl {
  const CudaDevice* device = nullptr;
  const CudaStream* stream = nullptr;
  CudaOps* ops = nullptr;
  Options options;
  std::atomic<bool> own_aborted{false};
  Nanos limit = kDefaultCallLimit;
  ncclComm_t comm = nullptr;
  DeviceBuffer word;      // of Barrier
  DeviceBuffer gathered;  // of AllReduceSum in tree order
  absl::Status dead;      // not OK: the communicator is gone, and why

  std::atomic<bool>* aborted() {
    return options.aborted != nullptr ? options.aborted : &own_aborted;
  }
  Watch WatchFor(Nanos time) { return {options.clock, time, aborted()}; }

  // Whether the communicator is through with what it was asked last; an error if it broke.
  absl::StatusOr<bool> Settled() const {
    ncclResult_t state = ncclSuccess;
    RETURN_IF_ERROR(NCCL_STATUS(ncclCommGetAsyncError(comm, &state), comm));
    RETURN_IF_ERROR(NcclStatus(state, "NCCL", comm));
    return state != ncclInProgress;
  }

  absl::Status Meet() {
    ncclUniqueId id;
    if (options.id.size() != sizeof id.internal) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank 0's NCCL id has ", options.id.size(), " bytes; ", sizeof id.internal,
                       " are needed; install programs of one build on all nodes"));
    }
    std::memcpy(id.internal, options.id.data(), sizeof id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    RETURN_IF_ERROR(NCCL_STATUS(
        ncclCommInitRankConfig(&comm, options.world, id, options.rank, &config), nullptr));
    return Await(WatchFor(options.meeting_limit), "the meeting of the NCCL ranks",
                 [this] { return Settled(); });
  }

  // Waits until the communicator took the calls and the stream has done them.
  absl::Status Finish(std::string_view what, const Watch& watch) {
    RETURN_IF_ERROR(Await(watch, what, [this] { return Settled(); }));
    return stream->AwaitIdle(watch, what, [this] { return Settled().status(); });
  }

  // One collective from its entry to its result. After an error the communicator is of no more use
  // to anybody, so it is aborted at once: the peers' kernels must not spin on.
  absl::StatusOr<CollectiveTiming> Call(std::string_view what, uint64_t bytes,
                                        absl::FunctionRef<absl::Status(const Watch&)> queue) {
    if (!dead.ok()) return dead;
    const Nanos start = options.clock->Monotonic();
    const Watch watch = WatchFor(limit);  // one limit for all that the call does
    absl::Status status;
    if (aborted()->load()) {
      status = absl::UnavailableError(absl::StrCat(ToAbsl(what), " was aborted"));
    } else {
      status = queue(watch);
    }
    if (status.ok()) status = Finish(what, watch);
    if (!status.ok()) {
      End(status.message()).IgnoreError();
      return status;
    }
    CollectiveTiming timing;
    timing.transfer = options.clock->Monotonic() - start;
    timing.bytes = bytes;
    return timing;
  }

  absl::Status End(absl::string_view why, bool in_order = false) {
    if (!dead.ok()) return absl::OkStatus();
    dead = absl::UnavailableError(absl::StrCat("the NCCL communicator has ended: ", why));
    if (comm == nullptr) return absl::OkStatus();
    // Also in the middle of a run: a rank that hangs in an abort could not even tell its failure.
    Teardown teardown;
    teardown.Add(TeardownStage::kWorldCommunicator, "the end of the NCCL communicator",
                 [this, in_order] {
                   if (in_order && Finalize().ok()) {
                     return NCCL_STATUS(ncclCommDestroy(std::exchange(comm, nullptr)), nullptr);
                   }
                   return NCCL_STATUS(ncclCommAbort(std::exchange(comm, nullptr)), nullptr);
                 });
    return teardown.Run(kTeardownLimit, options.on_stuck);
  }

  // Only this flushes what a peer may still take from here; it needs all ranks, so it gets half the
  // time and then the communicator is aborted.
  absl::Status Finalize() {
    RETURN_IF_ERROR(NCCL_STATUS(ncclCommFinalize(comm), comm));
    return Await(WatchFor(kTeardownLimit / 2), "the last NCCL calls", [this] { return Settled(); });
  }

  size_t GatherPiece() const {
    return std::max<size_t>(1, kGatherFloats / static_cast<size_t>(options.world));
  }

  // Gathers a piece of everybody's data and adds it here, in the tree's order.
  absl::Status QueueTreeSum(float* data, size_t n, const Watch& watch) {
    const size_t piece = GatherPiece();
    for (size_t at = 0; at < n; at += piece) {
      const size_t count = std::min(piece, n - at);
      RETURN_IF_ERROR(NCCL_STATUS(
          ncclAllGather(data + at, gathered.data(), count, ncclFloat, comm, stream->get()), comm));
      RETURN_IF_ERROR(Await(watch, "an all-gather", [this] { return Settled(); }));
      RETURN_IF_ERROR(ops->TreeSum(gathered.as<float>(), options.world, count, data + at));
    }
    return absl::OkStatus();
  }
};

absl::StatusOr<std::string> MakeNcclId() {
  ncclUniqueId id;
  RETURN_IF_ERROR(NCCL_STATUS(ncclGetUniqueId(&id), nullptr));
  return std::string(id.internal, sizeof id.internal);
}

std::string NcclVersion() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return absl::StrCat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

NcclCollective::NcclCollective(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

NcclCollective::~NcclCollective() { Close().IgnoreError(); }

absl::StatusOr<std::unique_ptr<NcclCollective>> NcclCollective::Connect(const CudaDevice* device,
                                                                        const CudaStream* stream,
                                                                        CudaOps* ops,
                                                                        const Options& options) {
  RACKMARK_CHECK(options.on_stuck != nullptr);
  auto impl = std::make_unique<Impl>();
  impl->device = device;
  impl->stream = stream;
  impl->ops = ops;
  impl->options = options;
  ASSIGN_OR_RETURN(impl->word, DeviceBuffer::Allocate(sizeof(float), device->ordinal()));
  if (!options.native_order) {
    // Here and not in the first call, which is timed.
    const size_t floats = impl->GatherPiece() * static_cast<size_t>(options.world);
    ASSIGN_OR_RETURN(impl->gathered,
                     DeviceBuffer::Allocate(floats * sizeof(float), device->ordinal()));
  }
  std::unique_ptr<NcclCollective> collective(new NcclCollective(std::move(impl)));
  const absl::Status met = collective->impl_->Meet();
  if (!met.ok()) {
    collective->impl_->End(met.message()).IgnoreError();
    return met;
  }
  return collective;
}

int NcclCollective::rank() const { return impl_->options.rank; }
int NcclCollective::world() const { return impl_->options.world; }
void NcclCollective::SetCallLimit(Nanos limit) { impl_->limit = limit; }
void NcclCollective::Abort() { impl_->aborted()->store(true); }
absl::Status NcclCollective::Close() { return impl_->End("it was closed", true); }

absl::StatusOr<CollectiveTiming> NcclCollective::AllReduceSum(float* data, size_t n) {
  Impl& impl = *impl_;
  return impl.Call("an all-reduce", n * sizeof(float), [&](const Watch& watch) -> absl::Status {
    if (n == 0) return absl::OkStatus();
    if (!impl.options.native_order) return impl.QueueTreeSum(data, n, watch);
    return NCCL_STATUS(
        ncclAllReduce(data, data, n, ncclFloat, ncclSum, impl.comm, impl.stream->get()), impl.comm);
  });
}

absl::StatusOr<CollectiveTiming> NcclCollective::AllGather(const void* mine, size_t bytes,
                                                           void* all) {
  Impl& impl = *impl_;
  const uint64_t total = bytes * static_cast<uint64_t>(impl.options.world);
  return impl.Call("an all-gather", total, [&](const Watch&) {
    return NCCL_STATUS(ncclAllGather(mine, all, bytes, ncclUint8, impl.comm, impl.stream->get()),
                       impl.comm);
  });
}

absl::StatusOr<CollectiveTiming> NcclCollective::Broadcast(int root, void* data, size_t bytes) {
  Impl& impl = *impl_;
  return impl.Call("a broadcast", bytes, [&](const Watch&) {
    return NCCL_STATUS(
        ncclBroadcast(data, data, bytes, ncclUint8, root, impl.comm, impl.stream->get()),
        impl.comm);
  });
}

absl::StatusOr<CollectiveTiming> NcclCollective::Barrier() {
  Impl& impl = *impl_;
  return impl.Call("a barrier", 0, [&](const Watch&) {
    return NCCL_STATUS(ncclAllReduce(impl.word.data(), impl.word.data(), 1, ncclInt32, ncclSum,
                                     impl.comm, impl.stream->get()),
                       impl.comm);
  });
}

absl::Status NcclCollective::Verify(uint64_t seed, size_t n) {
  Impl& impl = *impl_;
  const size_t whole = n * static_cast<size_t>(world());
  ASSIGN_OR_RETURN(const DeviceBuffer mine,
                   DeviceBuffer::Allocate(n * sizeof(float), impl.device->ordinal()));
  ASSIGN_OR_RETURN(const DeviceBuffer all,
                   DeviceBuffer::Allocate(whole * sizeof(float), impl.device->ordinal()));
  const Watch watch = impl.WatchFor(impl.limit);
  std::vector<float> host(whole);
  FillCheckValues(seed, rank(), n, host.data());
  RETURN_IF_ERROR(impl.stream->CopyIn(mine.data(), host.data(), n * sizeof(float), watch));
  RETURN_IF_ERROR(AllGather(mine.data(), n * sizeof(float), all.data()).status());
  RETURN_IF_ERROR(impl.stream->CopyOut(host.data(), all.data(), whole * sizeof(float), watch));
  if (const auto wrong = CheckAllGathered(seed, world(), n, host.data())) {
    return absl::DataLossError(absl::StrCat("an all-gather over NCCL was wrong: ", *wrong));
  }
  RETURN_IF_ERROR(AllReduceSum(mine.as<float>(), n).status());
  RETURN_IF_ERROR(impl.stream->CopyOut(host.data(), mine.data(), n * sizeof(float), watch));
  if (const auto wrong = CheckAllReduced(seed, world(), n, host.data())) {
    return absl::DataLossError(absl::StrCat("an all-reduce over NCCL was wrong: ", *wrong));
  }
  return absl::OkStatus();
}

}  // namespace rackmark
