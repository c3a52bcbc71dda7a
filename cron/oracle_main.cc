// For oracle.py: reads lines "ZONE<tab>FROM<tab>TO<tab>EXPRESSION" (unix seconds) and prints for
// each its instants in [FROM, TO) on one line, as unix seconds. It walks up by Next and down by
// Prev, and ends with status 1 where the two disagree.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/zone.h"
#include "cron/instants.h"

namespace rackmark::cron {
namespace {

absl::Status Answer(const std::vector<std::string>& words) {
  Nanos from = 0, to = 0;
  if (words.size() != 4 || !absl::SimpleAtoi(words[1], &from) || !absl::SimpleAtoi(words[2], &to)) {
    return absl::InvalidArgumentError("not a line of four parts; write ZONE FROM TO EXPRESSION");
  }
  ASSIGN_OR_RETURN(const absl::TimeZone zone, FindZone(words[0]));
  ASSIGN_OR_RETURN(const Expression e, Parse(words[3]));
  std::vector<Nanos> up, down;
  for (auto at = Next(e, zone, from * kSecond - 1); at && *at < to * kSecond;
       at = Next(e, zone, *at)) {
    up.push_back(*at / kSecond);
  }
  for (auto at = Prev(e, zone, to * kSecond); at && *at >= from * kSecond;
       at = Prev(e, zone, *at)) {
    down.push_back(*at / kSecond);
  }
  std::reverse(down.begin(), down.end());
  if (up != down) return absl::InternalError("Next and Prev disagree");
  std::string line;
  for (const Nanos at : up) absl::StrAppend(&line, line.empty() ? "" : " ", at);
  std::puts(line.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace rackmark::cron

int main() {
  char buffer[1024];
  while (std::fgets(buffer, sizeof buffer, stdin) != nullptr) {
    std::string line = buffer;
    if (line.back() == '\n') line.pop_back();
    const absl::Status status = rackmark::cron::Answer(absl::StrSplit(line, '\t'));
    if (status.ok()) continue;
    std::fprintf(stderr, "%s: %s\n", line.c_str(), std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
