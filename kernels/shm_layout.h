// What lies in the shared-memory segment, and how ranks wait there. Internal to kernels/*_shm.cc.
// Every shared field that two processes touch at once is a lock-free atomic; the data slots between
// them are ordered by the barrier alone.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/status.h"
#include "common/time.h"
#include "kernels/collective_shm.h"

namespace rackmark::shm_internal {

static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<int64_t>::is_always_lock_free);

constexpr char kMagic[8] = {'R', 'M', 'K', 'S', 'H', 'M', '\r', '\n'};
constexpr uint32_t kLayoutVersion = 2;
constexpr uint32_t kRingSlots = 8;
constexpr size_t kCpuWords = 16;  // cpu numbers below 1024, as cpu_set_t

enum Meeting : uint32_t { kOpen = 0, kMet = 1, kAbandoned = 2 };

// A number that ranks wait on. sleepers lets a change skip the system call when nobody sleeps.
struct alignas(64) SharedWord {
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
};

struct alignas(64) RankState {
  std::atomic<uint32_t> attached{0};
  std::atomic<uint64_t> meetings{0};  // barriers that this rank has arrived at
  // Of the call in progress and the one before: a slow rank may still read the latter.
  std::atomic<int64_t> arrival_ns[2] = {};
  std::atomic<uint64_t> signature[2] = {};
  std::atomic<uint64_t> cpus[kCpuWords] = {};  // it may run on these
  SharedWord taken;                            // channel messages that it has read
};

struct alignas(64) RingSlot {
  uint32_t bytes = 0;
  char data[kHostMessageMax] = {};
};

struct alignas(64) Header {
  char magic[8] = {};
  uint32_t version = 0;
  uint32_t world = 0;
  uint64_t bytes = 0;
  uint64_t slot_bytes = 0;
  unsigned char nonce[kShmNonceBytes] = {};
  std::atomic<uint32_t> aborted_by{0};  // 1 + rank; 0: nobody
  SharedWord attached;                  // how many ranks
  std::atomic<uint32_t> meeting{0};     // a Meeting: open until the first rank decides it
  SharedWord generation;                // barriers that are over
  std::atomic<uint32_t> arrived{0};     // at the barrier that is not
  SharedWord sent;                      // channel messages
  RankState ranks[kShmMaxWorld];
  RingSlot ring[kRingSlots];
};

constexpr size_t kDataOffset = (sizeof(Header) + 4095) / 4096 * 4096;
// The data slot of a rank for calls of this parity. Two, so that one meeting per call is enough:
// who writes to a slot again has met everybody since they read it.
inline char* Slot(Header& header, int rank, uint32_t parity) {
  const size_t index = 2 * static_cast<size_t>(rank) + parity;
  return reinterpret_cast<char*>(&header) + kDataOffset + index * header.slot_bytes;
}
inline size_t SegmentBytes(int world, size_t slot_bytes) {
  return kDataOffset + 2 * static_cast<size_t>(world) * slot_bytes;
}

// Returns when word.value is not `old`: OK. UNAVAILABLE: aborted. DEADLINE_EXCEEDED: not by
// deadline (CLOCK_MONOTONIC). The messages are empty; the caller knows what it waited for.
absl::Status WaitWhile(Header& header, SharedWord& word, uint32_t old, Nanos deadline,
                       uint32_t spins);
// After a change of word.value (made with seq_cst): wakes its sleepers.
void WakeSleepers(SharedWord& word);
// Marks the segment as dead by this rank's hand and wakes everybody.
void AbortBy(Header& header, int rank);

}  // namespace rackmark::shm_internal
