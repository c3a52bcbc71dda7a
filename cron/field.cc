#include "cron/field.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/text.h"

namespace rackmark::cron {
namespace {

// "<field> <what is wrong>; write for example <what is right>".
absl::Status Wrong(const Field& field, std::string_view what, std::string_view remedy = "") {
  return absl::InvalidArgumentError(
      remedy.empty() ? absl::StrCat(ToAbsl(field.name), " ", ToAbsl(what), "; write for example ",
                                    ToAbsl(field.example))
                     : absl::StrCat(ToAbsl(field.name), " ", ToAbsl(what), "; ", ToAbsl(remedy)));
}

std::string Quote(std::string_view text) { return absl::StrCat("\"", EscapeControl(text), "\""); }

std::optional<uint32_t> Number(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  return value;
}

absl::StatusOr<uint32_t> ReadValue(const Field& field, std::string_view text) {
  if (text.empty()) return Wrong(field, "has an empty value");
  const std::string lower = absl::AsciiStrToLower(ToAbsl(text));
  const auto name = std::find(field.names.begin(), field.names.end(), lower);
  if (name != field.names.end()) {
    return field.min + static_cast<uint32_t>(name - field.names.begin());
  }
  if (const auto number = Number(text)) {
    if (*number >= field.min && *number <= field.max) return *number;
    // Vixie's cron takes 7 for Sunday, so this is the slip of people who know it.
    const bool sunday = field.max == 6 && *number == 7;
    return Wrong(field, absl::StrCat(*number, " is not one of ", field.min, "-", field.max),
                 sunday ? "write 0 or sun for Sunday" : "");
  }
  const std::string near = Nearest(lower, {field.names.begin(), field.names.end()});
  return Wrong(field, Quote(text) + " is not a value",
               near.empty() ? "" : absl::StrCat("did you mean ", near, "?"));
}

absl::StatusOr<uint32_t> ReadStep(const Field& field, std::string_view part,
                                  std::string_view text) {
  const auto step = Number(text);
  if (!step || *step == 0) return Wrong(field, Quote(part) + " has no step of 1 or more");
  // "*/90" is not every 90 minutes: counting begins anew with each hour, so it would be just 0.
  if (*step > field.max) {
    return Wrong(field,
                 absl::StrCat(Quote(part), " steps over all values, as counting begins anew ",
                              "after ", field.max));
  }
  return *step;
}

// "*", "5", "1-5", each with "/step" or not.
absl::Status ReadPart(const Field& field, std::string_view part, Values& values) {
  const size_t slash = part.find('/');
  const bool has_step = slash != std::string_view::npos;
  const std::string_view range = part.substr(0, slash);
  uint32_t step = 1;
  if (has_step) {
    ASSIGN_OR_RETURN(step, ReadStep(field, part, part.substr(slash + 1)));
  }
  uint32_t first = field.min, last = field.max;
  const size_t dash = range.find('-');
  if (range == "*" || range == "?") {
    values.star = values.star || step == 1;
  } else if (dash == std::string_view::npos) {
    ASSIGN_OR_RETURN(first, ReadValue(field, range));
    if (!has_step) last = first;
  } else {
    ASSIGN_OR_RETURN(first, ReadValue(field, range.substr(0, dash)));
    ASSIGN_OR_RETURN(last, ReadValue(field, range.substr(dash + 1)));
    if (first > last) {
      return Wrong(field, Quote(range) + " ends before it begins",
                   absl::StrCat("write ", first, "-", field.max, ",", field.min, "-", last));
    }
  }
  for (uint32_t value = first; value <= last; value += step) values.bits |= uint64_t{1} << value;
  return absl::OkStatus();
}

}  // namespace

const Field& FieldAt(size_t index) {
  static const auto* const fields = new std::array<Field, kFields>{{
      {"minute", 0, 59, "0, */15 or 10-50/20", {}},
      {"hour", 0, 23, "2, 0-6 or */4", {}},
      {"day of month", 1, 31, "1, 1-7 or *", {}},
      {"month",
       1,
       12,
       "1, jan-mar or *",
       {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {"day of week",
       0,
       6,
       "0 (Sunday), mon-fri or *",
       {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
  }};
  return fields->at(index);
}

absl::StatusOr<Values> ReadField(const Field& field, std::string_view text) {
  Values values;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(text), ',')) {
    if (part.empty()) return Wrong(field, Quote(text) + " has nothing beside a comma");
    RETURN_IF_ERROR(ReadPart(field, FromAbsl(part), values));
  }
  return values;
}

std::string FormatField(const Field& field, const Values& values) {
  if (values.star) return "*";
  std::vector<std::string> parts;
  for (uint32_t first = field.min; first <= field.max; ++first) {
    if ((values.bits >> first & 1) == 0) continue;
    uint32_t last = first;
    while (last < field.max && (values.bits >> (last + 1) & 1) != 0) ++last;
    parts.push_back(first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last));
    first = last;
  }
  return absl::StrJoin(parts, ",");
}

}  // namespace rackmark::cron
