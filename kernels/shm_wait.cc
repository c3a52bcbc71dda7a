#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

#include "kernels/shm_layout.h"

namespace rackmark::shm_internal {
namespace {

// An abort that falls between a sleeper's look at the flag and its sleep is seen this much later.
constexpr Nanos kLongestSleep = 20 * kMillisecond;

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Not the PRIVATE forms: the sleepers are other processes.
void FutexWait(std::atomic<uint32_t>& word, uint32_t old, Nanos at_most) {
  timespec time;
  time.tv_sec = at_most / kSecond;
  time.tv_nsec = at_most % kSecond;
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, old, &time, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

absl::Status WaitWhile(Header& header, SharedWord& word, uint32_t old, Nanos deadline,
                       uint32_t spins) {
  for (uint32_t i = 0; i < spins; ++i) {
    if (word.value.load(std::memory_order_acquire) != old) return absl::OkStatus();
    Relax();
  }
  while (true) {
    if (word.value.load(std::memory_order_acquire) != old) return absl::OkStatus();
    if (header.aborted_by.load() != 0) return absl::UnavailableError("");
    const Nanos left = deadline - SystemClock().Monotonic();
    if (left <= 0) return absl::DeadlineExceededError("");
    // Counted before the kernel compares the value, so a change either sees the sleeper or is seen.
    word.sleepers.fetch_add(1);
    FutexWait(word.value, old, std::min(left, kLongestSleep));
    word.sleepers.fetch_sub(1);
  }
}

void WakeSleepers(SharedWord& word) {
  if (word.sleepers.load() != 0) FutexWakeAll(word.value);
}

void AbortBy(Header& header, int rank) {
  uint32_t nobody = 0;
  header.aborted_by.compare_exchange_strong(nobody, static_cast<uint32_t>(rank) + 1);
  FutexWakeAll(header.attached.value);
  FutexWakeAll(header.generation.value);
  FutexWakeAll(header.sent.value);
  for (uint32_t r = 0; r < header.world; ++r) FutexWakeAll(header.ranks[r].taken.value);
}

}  // namespace rackmark::shm_internal
