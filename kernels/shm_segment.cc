#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/ids.h"
#include "common/shm_name.h"
#include "kernels/collective_shm.h"
#include "kernels/shm_layout.h"

namespace rackmark {
namespace {

using shm_internal::Header;
using shm_internal::RankState;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status CheckOptions(const ShmSegment::Options& options) {
  if (options.world < 1 || options.world > kShmMaxWorld) {
    return absl::InvalidArgumentError(absl::StrCat("a shared-memory gang has 1 to ", kShmMaxWorld,
                                                   " ranks, not ", options.world));
  }
  constexpr size_t kMin = 4096;
  constexpr size_t kMax = size_t{1} << 48;  // products stay far from overflow
  if (options.slot_bytes < kMin || options.slot_bytes > kMax || options.slot_bytes % 64 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("slot_bytes must be a multiple of 64 from ",
                                                   kMin, " on, not ", options.slot_bytes));
  }
  return absl::OkStatus();
}

// tmpfs promises nothing at ftruncate: a full one kills with SIGBUS at the first touch. So look,
// for a message with numbers, then reserve, for the guarantee.
absl::Status Reserve(int fd, size_t bytes) {
  struct statvfs file_system;
  if (fstatvfs(fd, &file_system) != 0) return ErrnoStatus(errno, "statvfs of shared memory");
  const uint64_t free = uint64_t{file_system.f_bavail} * file_system.f_frsize;
  if (bytes > free) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory: the gang needs ", bytes, " bytes, /dev/shm has ", free,
                     " free; make it larger (in containers: --shm-size), or use smaller slots"));
  }
  int error;
  do {
    error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  if (error == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("shared memory: cannot reserve ", bytes,
                                                   " bytes in /dev/shm: ", std::strerror(error)));
}

absl::Status CheckHeader(const Header& header, size_t bytes, std::string_view nonce) {
  if (std::memcmp(header.magic, shm_internal::kMagic, sizeof(header.magic)) != 0 ||
      header.version != shm_internal::kLayoutVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("shared memory: layout version ", header.version, ", this build speaks ",
                     shm_internal::kLayoutVersion, "; all ranks must be of one build"));
  }
  if (std::memcmp(header.nonce, nonce.data(), kShmNonceBytes) != 0) {
    return absl::PermissionDeniedError(
        "shared memory: the segment of that name carries another nonce: not the leader's, or of "
        "another host");
  }
  if (header.world < 1 || header.world > kShmMaxWorld || header.bytes != bytes ||
      bytes != shm_internal::SegmentBytes(static_cast<int>(header.world), header.slot_bytes)) {
    return absl::FailedPreconditionError(absl::StrCat("shared memory: segment of ", bytes,
                                                      " bytes, its header says ", header.bytes));
  }
  return absl::OkStatus();
}

void PublishCpus(RankState& state) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return;  // unknown: counts as no cores, no spin
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    state.cpus[cpu / 64].fetch_or(uint64_t{1} << (cpu % 64), std::memory_order_relaxed);
  }
}

// Cores that any rank may use: each may be pinned to its own one.
int CoresOfGang(const Header& header, int world) {
  int cores = 0;
  for (size_t word = 0; word < shm_internal::kCpuWords; ++word) {
    uint64_t any = 0;
    for (int r = 0; r < world; ++r) any |= header.ranks[r].cpus[word].load();
    cores += std::popcount(any);
  }
  return cores;
}

}  // namespace

absl::StatusOr<ShmSegment::Options> ShmSegment::Promise() {
  Options promise;
  promise.nonce.resize(kShmNonceBytes);
  if (getrandom(promise.nonce.data(), kShmNonceBytes, 0) != ssize_t{kShmNonceBytes}) {
    return ErrnoStatus(errno, "getrandom");
  }
  promise.name = std::string(kSegmentPrefix) + RandomHex(16);
  return promise;
}

absl::StatusOr<std::shared_ptr<ShmSegment>> ShmSegment::Create(const Options& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  Options identity = options;
  if (identity.name.empty()) {
    ASSIGN_OR_RETURN(identity, Promise());
  }
  RACKMARK_CHECK(IsSegmentName(identity.name) && identity.nonce.size() == kShmNonceBytes);
  std::shared_ptr<ShmSegment> segment(new ShmSegment);
  segment->nonce_ = identity.nonce;
  segment->name_ = identity.name;
  const FileDescriptor fd(
      shm_open(segment->name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (fd.get() < 0) return ErrnoStatus(errno, "shm_open of a new segment");
  segment->named_ = true;
  const size_t bytes = shm_internal::SegmentBytes(options.world, options.slot_bytes);
  RETURN_IF_ERROR(Reserve(fd.get(), bytes));
  RETURN_IF_ERROR(segment->Map(fd.get(), bytes));
  Header& header = *new (segment->header_) Header;
  std::memcpy(header.magic, shm_internal::kMagic, sizeof(header.magic));
  header.version = shm_internal::kLayoutVersion;
  header.world = static_cast<uint32_t>(options.world);
  header.bytes = bytes;
  header.slot_bytes = options.slot_bytes;
  std::memcpy(header.nonce, segment->nonce_.data(), kShmNonceBytes);
  segment->world_ = options.world;
  RETURN_IF_ERROR(segment->Join(0));
  return segment;
}

absl::StatusOr<std::shared_ptr<ShmSegment>> ShmSegment::Attach(std::string_view name,
                                                               std::string_view nonce, int rank) {
  if (name.size() < 2 || name[0] != '/' || name.find('/', 1) != std::string_view::npos ||
      nonce.size() != kShmNonceBytes) {
    return absl::InvalidArgumentError(
        "shared memory: a segment's name is /x and its nonce has 16 bytes");
  }
  std::shared_ptr<ShmSegment> segment(new ShmSegment);
  segment->name_ = std::string(name);
  segment->nonce_ = std::string(nonce);
  const FileDescriptor fd(shm_open(segment->name_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0));
  if (fd.get() < 0) {
    return ErrnoStatus(errno, "shared memory: the leader's segment cannot be opened");
  }
  struct stat file;
  if (fstat(fd.get(), &file) != 0) return ErrnoStatus(errno, "fstat of shared memory");
  const size_t bytes = static_cast<size_t>(file.st_size);
  if (bytes < shm_internal::kDataOffset) {
    return absl::FailedPreconditionError(
        absl::StrCat("shared memory: a segment of ", bytes, " bytes is too small to be one"));
  }
  RETURN_IF_ERROR(segment->Map(fd.get(), bytes));
  RETURN_IF_ERROR(CheckHeader(*segment->header_, bytes, nonce));
  segment->world_ = static_cast<int>(segment->header_->world);
  if (rank < 1 || rank >= segment->world_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shared memory: rank ", rank, " does not attach to a gang of ", segment->world_));
  }
  RETURN_IF_ERROR(segment->Join(rank));
  return segment;
}

ShmSegment::~ShmSegment() {
  if (named_) shm_unlink(name_.c_str());
  if (header_ != nullptr) munmap(header_, bytes_);
}

absl::Status ShmSegment::Map(int fd, size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return ErrnoStatus(errno, "mmap of shared memory");
  header_ = static_cast<Header*>(at);
  bytes_ = bytes;
  return absl::OkStatus();
}

absl::Status ShmSegment::Join(int rank) {
  rank_ = rank;
  RankState& state = header_->ranks[rank];
  if (state.attached.exchange(1) != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("shared memory: rank ", rank, " has attached before"));
  }
  PublishCpus(state);
  header_->attached.value.fetch_add(1);
  shm_internal::WakeSleepers(header_->attached);
  return absl::OkStatus();
}

absl::Status ShmSegment::AwaitAll(Nanos limit) {
  const Nanos deadline = SystemClock().Monotonic() + limit;
  while (true) {
    const uint32_t attached = header_->attached.value.load();
    if (attached == static_cast<uint32_t>(world_)) break;
    const absl::Status status =
        shm_internal::WaitWhile(*header_, header_->attached, attached, deadline, 0);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("shared memory: not attached: ", AbsentRanks()));
    }
  }
  uint32_t open = shm_internal::kOpen;
  if (!header_->meeting.compare_exchange_strong(open, shm_internal::kMet) &&
      open == shm_internal::kAbandoned) {
    return absl::CancelledError("shared memory: a rank gave up waiting for the others");
  }
  if (named_) {
    shm_unlink(name_.c_str());
    named_ = false;
  }
  // Meant to be longer than ranks of one gang usually differ and shorter than a scheduler's slice;
  // how long it is depends on the CPU's pause.
  constexpr uint32_t kSpins = 8192;
  spins_ = CoresOfGang(*header_, world_) >= world_ ? kSpins : 0;
  return absl::OkStatus();
}

bool ShmSegment::Abandon() {
  uint32_t open = shm_internal::kOpen;
  return header_->meeting.compare_exchange_strong(open, shm_internal::kAbandoned) ||
         open == shm_internal::kAbandoned;
}

std::string ShmSegment::AbsentRanks() const {
  std::vector<int> absent;
  for (int r = 0; r < world_; ++r) {
    if (header_->ranks[r].attached.load() == 0) absent.push_back(r);
  }
  return absl::StrCat(absent.size() == 1 ? "rank " : "ranks ", absl::StrJoin(absent, ", "));
}

void ShmSegment::Abort() { shm_internal::AbortBy(*header_, rank_); }

}  // namespace rackmark
