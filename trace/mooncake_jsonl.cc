// A line of a Mooncake trace, one flat JSON object:
//   {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
// Only this shape is read, in any order of the four keys: nothing here nests or recurses.
#include <array>
#include <limits>

#include "common/text.h"
#include "trace/lines.h"
#include "trace/trace.h"

namespace rackmark::trace_internal {
namespace {

constexpr std::array<std::string_view, 4> kKeys = {"timestamp", "input_length", "output_length",
                                                   "hash_ids"};
constexpr uint64_t kMillisecondsMax = 1'000'000'000'000;  // 31 years

class Cursor {
 public:
  explicit Cursor(std::string_view line) : rest_(line) {}

  // After white space, this character if it is next.
  bool Take(char c) {
    Skip();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AtEnd() {
    Skip();
    return rest_.empty();
  }
  // What is between quotes; keys hold no escapes.
  std::optional<std::string_view> Quoted() {
    if (!Take('"')) return std::nullopt;
    const size_t end = rest_.find('"');
    if (end == rest_.npos) return std::nullopt;
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  // Up to the next character that ends a value.
  std::string_view Value() {
    Skip();
    const std::string_view text = rest_.substr(0, rest_.find_first_of(",]} \t"));
    rest_.remove_prefix(text.size());
    return text;
  }
  std::string_view rest() const { return rest_; }

 private:
  void Skip() {
    const size_t n = rest_.find_first_not_of(" \t");
    rest_.remove_prefix(n == rest_.npos ? rest_.size() : n);
  }
  std::string_view rest_;
};

absl::Status NoObject(const Cursor& cursor, std::string_view wanted) {
  return Malformed(
      absl::StrCat("is no JSON object of a Mooncake trace:", ToAbsl(wanted), " is missing before"),
      cursor.rest(),
      "write {\"timestamp\": ms, \"input_length\": n, \"output_length\": n, "
      "\"hash_ids\": [n, ...]}");
}

// Digits, perhaps with a fraction: milliseconds.
absl::StatusOr<Nanos> Milliseconds(std::string_view text) {
  const size_t point = text.find('.');
  const auto whole = WholeNumber(text.substr(0, point), kMillisecondsMax);
  std::optional<Nanos> fraction = 0;
  if (point != text.npos) fraction = FractionNanos(text.substr(point + 1), kMillisecond);
  if (whole && fraction) return static_cast<Nanos>(*whole) * kMillisecond + *fraction;
  return Malformed("timestamp is", text,
                   absl::StrCat("it must be milliseconds, 0 to ", kMillisecondsMax));
}

absl::Status Hashes(Cursor& cursor, std::vector<uint64_t>& hashes) {
  if (!cursor.Take('[')) return NoObject(cursor, " [");
  if (cursor.Take(']')) return absl::OkStatus();
  do {
    const std::string_view text = cursor.Value();
    const auto hash = WholeNumber(text, std::numeric_limits<uint64_t>::max());
    if (!hash) return Malformed("hash_ids holds", text, "it must hold whole numbers of 64 bits");
    hashes.push_back(*hash);
  } while (cursor.Take(','));
  return cursor.Take(']') ? absl::OkStatus() : NoObject(cursor, " ]");
}

absl::Status ReadValue(Cursor& cursor, size_t key, Line& line, std::vector<uint64_t>& hashes) {
  if (key == 3) return Hashes(cursor, hashes);
  const std::string_view text = cursor.Value();
  if (key == 0) {
    ASSIGN_OR_RETURN(line.time_ns, Milliseconds(text));
    return absl::OkStatus();
  }
  uint32_t& tokens = key == 1 ? line.prompt_tokens : line.output_tokens;
  ASSIGN_OR_RETURN(tokens, TokenCount(text, kKeys.at(key)));
  return absl::OkStatus();
}

// Which of the four keys comes next; its bit is set in `seen`.
absl::StatusOr<size_t> ReadKey(Cursor& cursor, unsigned& seen) {
  const auto name = cursor.Quoted();
  if (!name) return NoObject(cursor, " a key");
  for (size_t key = 0; key < kKeys.size(); ++key) {
    if (kKeys.at(key) != *name) continue;
    if ((seen & 1U << key) != 0) return Malformed("has two of the key", *name, "keep one");
    seen |= 1U << key;
    if (!cursor.Take(':')) return NoObject(cursor, " :");
    return key;
  }
  return Malformed("has the unknown key", *name,
                   "the keys are timestamp, input_length, output_length and hash_ids");
}

}  // namespace

absl::StatusOr<Line> ReadMooncakeLine(std::string_view text, std::vector<uint64_t>& hashes) {
  const size_t before = hashes.size();
  Line line;
  unsigned seen = 0;
  Cursor cursor(text);
  if (!cursor.Take('{')) return NoObject(cursor, " {");
  do {
    ASSIGN_OR_RETURN(const size_t key, ReadKey(cursor, seen));
    RETURN_IF_ERROR(ReadValue(cursor, key, line, hashes));
  } while (cursor.Take(','));
  if (!cursor.Take('}')) return NoObject(cursor, " , or }");
  if (!cursor.AtEnd()) return NoObject(cursor, " the end");
  for (size_t key = 0; key < kKeys.size(); ++key) {
    if ((seen & 1U << key) == 0) return Malformed("lacks the key", kKeys.at(key), "add it");
  }
  const uint64_t blocks =
      (uint64_t{line.prompt_tokens} + kTraceBlockTokens - 1) / kTraceBlockTokens;
  if (hashes.size() - before != blocks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "hash_ids has ", hashes.size() - before, " hashes for ", line.prompt_tokens,
        " prompt tokens; write ", blocks, ", one for each block of ", kTraceBlockTokens));
  }
  return line;
}

}  // namespace rackmark::trace_internal
