#include "common/zone.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr size_t kNameLengthMax = 64;

// The library opens what it is given as a file, if need be an absolute one, and reads what it
// finds: so only what can be a name of the database gets there. The lower-case names in its folder
// are other things (posix/ and right/ trees, tables).
bool IsName(std::string_view name) {
  const auto fits = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '+' ||
           c == '/';
  };
  return !name.empty() && name.size() <= kNameLengthMax && name.front() >= 'A' &&
         name.front() <= 'Z' && std::all_of(name.begin(), name.end(), fits);
}

// All names, as the text form of the database that lies beside it has them; none if it does not.
std::vector<std::string> KnownNames() {
  const char* folder = std::getenv("TZDIR");
  std::ifstream in(std::string(folder != nullptr ? folder : "/usr/share/zoneinfo") + "/tzdata.zi");
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() >= 2 && words[0] == "Z") names.push_back(words[1]);
    if (words.size() >= 3 && words[0] == "L") names.push_back(words[2]);
  }
  return names;
}

}  // namespace

absl::StatusOr<absl::TimeZone> FindZone(std::string_view name) {
  absl::TimeZone zone;
  if (IsName(name) && absl::LoadTimeZone(ToAbsl(name), &zone)) return zone;
  if (IsName(name) && !absl::LoadTimeZone("Europe/Berlin", &zone)) {
    return absl::FailedPreconditionError(
        "this machine has no time zone database; install the package tzdata, or write UTC");
  }
  // Shorter ones are near to "GB" and its like.
  const std::string near = name.size() < 3 ? "" : Nearest(name, KnownNames());
  return absl::NotFoundError(absl::StrCat(
      "there is no time zone \"", EscapeControl(name.substr(0, kNameLengthMax)), "\"; ",
      near.empty() ? "write an IANA name, for example Europe/Berlin or UTC"
                   : "did you mean " + near + "?"));
}

}  // namespace rackmark
