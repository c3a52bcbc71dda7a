#include "common/ids.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "common/status.h"

namespace rackmark {

std::string DisplayRun(std::string_view cluster_id, RunId run) {
  return absl::StrCat(ToAbsl(cluster_id.substr(0, 8)), "-r", run.value);
}

std::string DisplayJob(std::string_view cluster_id, JobId job) {
  return absl::StrCat(ToAbsl(cluster_id.substr(0, 8)), "-j", job.value);
}

std::string RandomHex(int bytes) {
  std::string raw(static_cast<size_t>(bytes), '\0');
  RACKMARK_CHECK(getrandom(raw.data(), raw.size(), 0) == static_cast<ssize_t>(raw.size()));
  return absl::BytesToHexString(raw);
}

}  // namespace rackmark
