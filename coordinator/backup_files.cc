#include "coordinator/backup_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <vector>

#include "common/sha256.h"
#include "google/protobuf/util/json_util.h"

namespace rackmark {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr uint32_t kFormat = 1;
constexpr uintmax_t kManifestBytesMax = 64 << 20;

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(open(path.c_str(), flags, 0600)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("writing ", path));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// Reads it to its end; writes what it reads if there is where to.
absl::StatusOr<v1::BackupFile> Pump(const std::string& from, const std::string& to, int out) {
  const Descriptor in(from, O_RDONLY | O_CLOEXEC);
  if (in.fd() < 0) return ErrnoStatus(errno, absl::StrCat("opening ", from));
  v1::BackupFile file;
  Sha256 hash;
  std::string piece(kPieceBytes, '\0');
  while (true) {
    const ssize_t n = read(in.fd(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", from));
    if (n == 0) break;
    const std::string_view bytes(piece.data(), static_cast<size_t>(n));
    hash.Add(bytes);
    file.set_bytes(file.bytes() + bytes.size());
    if (out >= 0) RETURN_IF_ERROR(WriteAll(out, bytes, to));
  }
  file.set_sha256(hash.Hex());
  return file;
}

bool IsKnownName(const std::string& name) {
  if (name == "events.db" || name == "samples.db") return true;
  constexpr std::string_view kFolder = "artifacts/";
  if (name.rfind(kFolder, 0) != 0 || name.size() != kFolder.size() + 64) return false;
  return name.find_first_not_of("0123456789abcdef", kFolder.size()) == std::string::npos;
}

}  // namespace

absl::StatusOr<v1::BackupFile> CopyFile(const std::string& from, const std::string& to) {
  const Descriptor out(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
  if (out.fd() < 0) return ErrnoStatus(errno, absl::StrCat("making ", to));
  ASSIGN_OR_RETURN(auto file, Pump(from, to, out.fd()));
  if (fsync(out.fd()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", to));
  return file;
}

absl::StatusOr<v1::BackupFile> HashFile(const std::string& path) { return Pump(path, "", -1); }

absl::Status CopyChecked(const v1::BackupFile& expected, const std::string& from_folder,
                         const std::string& to_folder) {
  const std::string from = absl::StrCat(from_folder, "/", expected.name());
  auto copied = CopyFile(from, absl::StrCat(to_folder, "/", expected.name()));
  if (absl::IsNotFound(copied.status())) {
    return absl::DataLossError(absl::StrCat(from, " is missing from the backup; use another one"));
  }
  RETURN_IF_ERROR(copied.status());
  if (copied->bytes() == expected.bytes() && copied->sha256() == expected.sha256()) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(from, " is damaged: ", copied->bytes(), " bytes, sha256 ",
                                          copied->sha256().substr(0, 12), "...; the manifest says ",
                                          expected.bytes(), ", ", expected.sha256().substr(0, 12),
                                          "...; use another backup"));
}

absl::Status WriteManifest(const v1::BackupManifest& manifest, const std::string& folder) {
  google::protobuf::util::JsonPrintOptions json;
  json.add_whitespace = true;
  json.preserve_proto_field_names = true;
  std::string text;
  RACKMARK_CHECK(google::protobuf::util::MessageToJsonString(manifest, &text, json).ok());
  const std::string path = folder + "/manifest.json";
  const Descriptor out(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
  if (out.fd() < 0) return ErrnoStatus(errno, absl::StrCat("making ", path));
  RETURN_IF_ERROR(WriteAll(out.fd(), text, path));
  if (fsync(out.fd()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", path));
  return absl::OkStatus();
}

absl::StatusOr<v1::BackupManifest> ReadManifest(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat(path, " cannot be read (", error.message(), "); name the folder of a backup"));
  }
  const auto damaged = [&](std::string_view why) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: ", ToAbsl(why)));
  };
  if (size > kManifestBytesMax) return damaged("it is too large");
  std::string text;
  const Descriptor in(path, O_RDONLY | O_CLOEXEC);
  std::string piece(kPieceBytes, '\0');
  for (ssize_t n = 1; n > 0;) {
    n = in.fd() < 0 ? -1 : read(in.fd(), piece.data(), piece.size());
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", path));
    text.append(piece.data(), static_cast<size_t>(n));
  }
  v1::BackupManifest manifest;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(text, &manifest, lenient).ok()) {
    return damaged("it is no JSON of a backup");
  }
  if (manifest.format() != kFormat) {
    return absl::FailedPreconditionError(absl::StrCat(path, " has format ", manifest.format(),
                                                      ", this build reads ", kFormat,
                                                      "; use the rackmark that wrote it"));
  }
  std::set<std::string> names;
  for (const v1::BackupFile& file : manifest.files()) {
    if (!IsKnownName(file.name())) return damaged("it names a file that no backup has");
    if (!names.insert(file.name()).second) return damaged("it names a file twice");
  }
  if (names.count("events.db") == 0 || names.count("samples.db") == 0) {
    return damaged("a database is not in it");
  }
  return manifest;
}

absl::Status SyncFolder(const std::string& folder) {
  const Descriptor in(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (in.fd() < 0) return ErrnoStatus(errno, absl::StrCat("opening ", folder));
  if (fsync(in.fd()) != 0) return ErrnoStatus(errno, absl::StrCat("syncing ", folder));
  return absl::OkStatus();
}

}  // namespace rackmark
