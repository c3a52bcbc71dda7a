#include "worker/daemon/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "common/log.h"
#include "common/text.h"
#include "worker/daemon/spool_format.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;

// Room beyond the bound for the small last chunks that close streams: a full spool must not keep a
// run from ending.
constexpr uint64_t kReserveBytes = 1 << 20;

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status WriteAt(int fd, std::string_view bytes, size_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::ResourceExhaustedError(absl::StrCat("spool: ", strerror(errno)));
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAt(const std::string& path, size_t offset, size_t size) {
  const File file(path, O_RDONLY);
  if (file.get() < 0) return ErrnoStatus(errno, path);
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t n =
        pread(file.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::DataLossError(absl::StrCat(path, " is shorter than it was written"));
    done += static_cast<size_t>(n);
  }
  return bytes;
}

std::string SegmentName(const StreamKey& key, uint64_t first_seq) {
  std::string seq = absl::StrCat(first_seq);
  if (seq.size() < 12) seq.insert(0, 12 - seq.size(), '0');
  return absl::StrCat("r", key.run, "-a", key.attempt, "-k", static_cast<int>(key.kind), "-s",
                      key.stream, "-", seq, ".seg");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(Options options) {
  std::unique_ptr<Spool> spool(new Spool(std::move(options)));
  RETURN_IF_ERROR(spool->Load());
  return spool;
}

absl::Status Spool::Load() {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (!error) fs::create_directories(options_.aside_folder, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("create folder ", options_.folder));
  std::vector<std::string> paths;
  for (const auto& item : fs::directory_iterator(options_.folder, error)) {
    if (item.path().extension() == ".seg") paths.push_back(item.path().string());
  }
  if (error) return ErrnoStatus(error.value(), absl::StrCat("read folder ", options_.folder));
  // Names sort by sequence within a stream.
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) LoadSegment(path);
  return absl::OkStatus();
}

void Spool::LoadSegment(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  const auto bytes = error ? absl::StatusOr<std::string>(absl::DataLossError(error.message()))
                           : ReadAt(path, 0, size);
  const auto scan = bytes.ok() ? ScanSegment(*bytes) : bytes.status();
  if (!scan.ok()) return MoveAside(path, FromAbsl(scan.status().message()));
  if (scan->corrupt) {
    fs::copy_file(path, absl::StrCat(path, ".damaged"), error);
    MoveAside(absl::StrCat(path, ".damaged"), "a record inside it is damaged");
  }
  if (scan->torn_bytes > 0) {
    Log(LogLevel::kWarning, absl::StrCat("spool ", path, ": dropped ", scan->torn_bytes,
                                         " bytes of a chunk that was not written to its end"));
    fs::resize_file(path, scan->good_bytes, error);
  }
  if (scan->records.empty()) {
    fs::remove(path, error);
    return;
  }
  const v1::ChunkHeader& first = scan->records.front().header;
  const StreamKey key = KeyOf(first);
  Stream& stream = streams_[key];
  std::deque<Segment>& segments = segments_[key];
  if (segments.empty()) {
    stream.acked_seq = first.seq() - 1;
    stream.cluster_id = first.cluster_id();
  } else if (first.seq() != stream.sealed_seq + 1 || first.cluster_id() != stream.cluster_id) {
    return MoveAside(path, "it does not follow the segment before it");
  }
  Segment segment{path, first.seq(), scan->good_bytes, {}};
  for (const SegmentRecord& record : scan->records) {
    segment.records.push_back({record.offset, record.size});
    stream.closed = stream.closed || record.header.last();
  }
  stream.sealed_seq = segment.last_seq();
  bytes_ += segment.bytes;
  segments.push_back(std::move(segment));
}

void Spool::MoveAside(const std::string& path, std::string_view reason) {
  std::error_code error;
  uint64_t held = 0;
  for (const auto& item : fs::directory_iterator(options_.aside_folder, error)) {
    held += item.file_size(error);
  }
  const std::string name = fs::path(path).filename().string();
  std::string target = options_.aside_folder + "/" + name;
  for (int i = 1; fs::exists(target, error); ++i) {
    target = absl::StrCat(options_.aside_folder, "/", name, ".", i);
  }
  const bool room = held + fs::file_size(path, error) <= options_.bytes_max;
  if (room) {
    fs::rename(path, target, error);
  } else {
    fs::remove(path, error);  // bounded, as everything: people had their chance to look
  }
  Log(LogLevel::kWarning,
      absl::StrCat("spool ", name, room ? " set aside: " : " deleted: ", EscapeControl(reason)));
}

absl::Status Spool::Append(const v1::Chunk& chunk, double share) {
  const std::string record = EncodeRecord(chunk);
  const uint64_t bound = static_cast<uint64_t>(static_cast<double>(options_.bytes_max) * share) +
                         (chunk.header().last() ? kReserveBytes : 0);
  if (bytes_ + record.size() > bound) {
    return absl::ResourceExhaustedError("the spool is at its bound");
  }
  const StreamKey key = KeyOf(chunk.header());
  std::deque<Segment>& segments = segments_[key];
  Stream& stream = streams_[key];
  const uint64_t seq = chunk.header().seq();
  RACKMARK_CHECK(seq == stream.sealed_seq + 1);
  const bool fresh = segments.empty() || segments.back().bytes >= kSegmentBytesMax;
  const std::string path =
      fresh ? options_.folder + "/" + SegmentName(key, seq) : segments.back().path;
  const size_t offset = fresh ? kSpoolHeader.size() : segments.back().bytes;
  const File file(path, O_WRONLY | O_CREAT);
  absl::Status status =
      file.get() < 0 ? absl::ResourceExhaustedError(absl::StrCat(path, ": ", strerror(errno)))
                     : absl::OkStatus();
  if (status.ok() && fresh) status = WriteAt(file.get(), kSpoolHeader, 0);
  if (status.ok()) status = WriteAt(file.get(), record, offset);
  if (!status.ok()) {
    // A half-written record must not stand before the next one.
    if (fresh) {
      unlink(path.c_str());
    } else if (file.get() >= 0 && ftruncate(file.get(), static_cast<off_t>(offset)) != 0) {
      Log(LogLevel::kError, absl::StrCat(path, ": ", strerror(errno)));
    }
    return status;
  }
  if (fresh) segments.push_back({path, seq, kSpoolHeader.size(), {}});
  segments.back().records.push_back({offset, record.size()});
  segments.back().bytes += record.size();
  bytes_ += record.size() + (fresh ? kSpoolHeader.size() : 0);
  stream.cluster_id = chunk.header().cluster_id();
  stream.sealed_seq = seq;
  stream.closed = chunk.header().last();
  return absl::OkStatus();
}

const Spool::Segment* Spool::FindSegment(const StreamKey& key, uint64_t seq) const {
  const auto segments = segments_.find(key);
  if (segments == segments_.end()) return nullptr;
  for (const Segment& segment : segments->second) {
    if (seq >= segment.first_seq && seq <= segment.last_seq()) return &segment;
  }
  return nullptr;
}

absl::StatusOr<v1::Chunk> Spool::Read(const StreamKey& key, uint64_t seq) const {
  const Segment* segment = FindSegment(key, seq);
  if (segment == nullptr) return absl::NotFoundError("no such chunk in the spool");
  const Record& record = segment->records[seq - segment->first_seq];
  ASSIGN_OR_RETURN(const std::string bytes, ReadAt(segment->path, record.offset, record.size));
  return DecodeRecord(bytes);
}

size_t Spool::SizeOf(const StreamKey& key, uint64_t seq) const {
  const Segment* segment = FindSegment(key, seq);
  return segment == nullptr ? 0 : segment->records[seq - segment->first_seq].size;
}

void Spool::Ack(const StreamKey& key, uint64_t seq) {
  const auto stream = streams_.find(key);
  if (stream == streams_.end()) return;
  // An ack of what was never sealed is the other side's error; it must not free what is to come.
  stream->second.acked_seq =
      std::max(stream->second.acked_seq, std::min(seq, stream->second.sealed_seq));
  std::deque<Segment>& segments = segments_[key];
  while (!segments.empty() && segments.front().last_seq() <= stream->second.acked_seq) {
    unlink(segments.front().path.c_str());
    bytes_ -= segments.front().bytes;
    segments.pop_front();
  }
}

void Spool::SetAside(const StreamKey& key, std::string_view reason) {
  for (const Segment& segment : segments_[key]) {
    MoveAside(segment.path, reason);
    bytes_ -= segment.bytes;
  }
  segments_.erase(key);
  streams_.erase(key);
  if (aside_.size() < kAsideMax) aside_.emplace(key, reason);
}

void Spool::SetAsideForeign(std::string_view cluster_id) {
  std::vector<StreamKey> foreign;
  for (const auto& [key, stream] : streams_) {
    if (stream.cluster_id != cluster_id) foreign.push_back(key);
  }
  for (const StreamKey& key : foreign) SetAside(key, "it belongs to another cluster");
}

std::string Spool::WhyAside(const StreamKey& key) const {
  const auto found = aside_.find(key);
  return found == aside_.end() ? std::string() : found->second;
}

void Spool::Forget(const StreamKey& key) {
  aside_.erase(key);
  const auto stream = streams_.find(key);
  if (stream == streams_.end()) return;
  RACKMARK_CHECK(stream->second.acked_seq == stream->second.sealed_seq);
  segments_.erase(key);
  streams_.erase(stream);
}

absl::Status Spool::Sync() {
  for (const auto& entry : segments_) {
    for (const Segment& segment : entry.second) {
      const File file(segment.path, O_WRONLY);
      if (file.get() < 0 || fdatasync(file.get()) != 0) return ErrnoStatus(errno, segment.path);
    }
  }
  return absl::OkStatus();
}

}  // namespace rackmark
