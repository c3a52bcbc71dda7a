// Collectives and the host channel between processes of one host, over one shared-memory segment.
// Rank 0 creates it and gives (name, nonce) to the others on their address cards; everybody
// attaches and meets in AwaitAll, after which the name is gone. A segment object is shared by the
// collective and the channel of its rank; it is thread-safe where its methods say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/collective.h"
#include "kernels/host_channel.h"

namespace rackmark {

constexpr int kShmMaxWorld = 128;
constexpr size_t kShmNonceBytes = 16;

namespace shm_internal {
struct Header;
}

class ShmSegment {
 public:
  struct Options {
    int world = 0;                  // 1..kShmMaxWorld
    size_t slot_bytes = 256 << 10;  // two per rank; larger messages go in pieces
    // As promised on an address card before the segment was needed; empty: made up here.
    std::string name = {};
    std::string nonce = {};
  };
  // A name and a nonce that nobody else has.
  static absl::StatusOr<Options> Promise();
  // The leader, rank 0. RESOURCE_EXHAUSTED if /dev/shm has not so much free space, with both
  // numbers: the pages are reserved here, so that no rank dies of SIGBUS later.
  static absl::StatusOr<std::shared_ptr<ShmSegment>> Create(const Options& options);
  // Ranks 1 .. world-1. NOT_FOUND: another host or namespace, or the leader is gone.
  // PERMISSION_DENIED: the nonce differs. FAILED_PRECONDITION: another layout version or size.
  // ALREADY_EXISTS: the rank has attached before.
  static absl::StatusOr<std::shared_ptr<ShmSegment>> Attach(std::string_view name,
                                                            std::string_view nonce, int rank);
  ~ShmSegment();  // the leader's removes the name, if AwaitAll did not
  ShmSegment(const ShmSegment&) = delete;
  ShmSegment& operator=(const ShmSegment&) = delete;

  // Returns when all ranks are attached; the leader then removes the name. DEADLINE_EXCEEDED names
  // the absent ranks. Before the first collective, once.
  absl::Status AwaitAll(Nanos limit);
  // Instead of waiting any longer: nobody's AwaitAll succeeds from here on. False, and without
  // effect, if all have met already. So either all ranks use the segment or none does.
  bool Abandon();
  // Ends all blocked and later calls of all ranks. Any thread.
  void Abort();

  const std::string& name() const { return name_; }
  const std::string& nonce() const { return nonce_; }
  int rank() const { return rank_; }
  int world() const { return world_; }
  size_t bytes() const { return bytes_; }
  // Rounds of spinning before a wait sleeps in the kernel: 0 when the ranks outnumber the cores
  // that they may use together. Known after AwaitAll.
  uint32_t spins() const { return spins_; }

  shm_internal::Header& header() { return *header_; }

 private:
  ShmSegment() = default;
  absl::Status Map(int fd, size_t bytes);
  absl::Status Join(int rank);
  std::string AbsentRanks() const;

  std::string name_, nonce_;
  int rank_ = 0;
  int world_ = 0;
  size_t bytes_ = 0;
  uint32_t spins_ = 0;
  bool named_ = false;  // this object must remove the name
  shm_internal::Header* header_ = nullptr;
};

// Both hold the segment. At most one of each per segment object, after AwaitAll.
std::unique_ptr<Collective> MakeShmCollective(std::shared_ptr<ShmSegment> segment);
std::unique_ptr<HostChannel> MakeShmChannel(std::shared_ptr<ShmSegment> segment);

}  // namespace rackmark
