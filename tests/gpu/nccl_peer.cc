// One rank of an NCCL test in a process of its own: two ranks of one process cannot share a GPU.
//   gpu_test --nccl-peer RANK WORLD WHAT
// Rank 0 prints the id as hex; every rank reads it as one line. WHAT: "verify" (numbers known
// exactly, both orders, then an orderly end), "lonely" (a meeting that nobody else comes to, limit
// 2 s), "orphan" (meets, says so, waits for a line, then a barrier with a limit of 5 s), "dies"
// (meets, says so and is killed by the test).
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/escaping.h"
#include "kernels/cuda/collective_nccl.h"
#include "tests/gpu/gpu_fixture.h"

namespace rackmark {
namespace {

struct Peer {
  std::unique_ptr<CudaDevice> device;
  CudaStream stream;
  std::unique_ptr<CudaOps> ops;
  std::unique_ptr<NcclCollective> collective;
};

absl::StatusOr<std::unique_ptr<Peer>> Open() {
  auto peer = std::make_unique<Peer>();
  ASSIGN_OR_RETURN(peer->device, CudaDevice::Open(0));
  ASSIGN_OR_RETURN(peer->stream, CudaStream::Create(0));
  ASSIGN_OR_RETURN(peer->ops, CudaOps::Create(peer->device.get(), &peer->stream));
  return peer;
}

absl::Status Play(Peer* peer, NcclCollective::Options options, const std::string& what) {
  std::string line;
  if (options.rank == 0) {
    ASSIGN_OR_RETURN(const std::string id, MakeNcclId());
    std::cout << absl::BytesToHexString(id) << std::endl;
  }
  std::getline(std::cin, line);
  options.id = absl::HexStringToBytes(line);
  if (what == "lonely") options.meeting_limit = 2 * kSecond;
  ASSIGN_OR_RETURN(peer->collective, NcclCollective::Connect(peer->device.get(), &peer->stream,
                                                             peer->ops.get(), options));
  std::cout << "met" << std::endl;
  if (what == "verify") {
    RETURN_IF_ERROR(peer->collective->Verify(7, 1'000'003));
    RETURN_IF_ERROR(peer->collective->Verify(8, 1));
    return peer->collective->Barrier().status();
  }
  std::getline(std::cin, line);  // until the test has killed the other
  peer->collective->SetCallLimit(5 * kSecond);
  return peer->collective->Barrier().status();
}

}  // namespace

int NcclPeerMain(int argc, char** argv) {
  if (argc != 5 && argc != 6) return 2;
  NcclCollective::Options options;
  options.rank = std::atoi(argv[2]);
  options.world = std::atoi(argv[3]);
  options.native_order = argc == 6;
  options.on_stuck = [](std::string_view step) {
    std::cout << "stuck in " << step << std::endl;
    _exit(3);
  };
  auto peer = Open();
  if (!peer.ok()) {
    std::cout << peer.status() << std::endl;
    return 1;
  }
  const absl::Status status = Play(peer->get(), options, argv[4]);
  std::cout << "result " << status << std::endl;
  const absl::Status closed =
      (*peer)->collective == nullptr ? absl::OkStatus() : (*peer)->collective->Close();
  std::cout << "closed " << closed << std::endl;
  return status.ok() && closed.ok() ? 0 : 1;
}

}  // namespace rackmark
