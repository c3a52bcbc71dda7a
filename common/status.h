// Errors are values. absl::Status with context everywhere; no exception crosses a function of ours.
// A message is a sentence that names the place and the remedy; context is put in front of it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace rackmark {

// Debian's abseil has a string_view of its own; these two are the seam.
inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view FromAbsl(absl::string_view s) { return {s.data(), s.size()}; }

// The same error with "context: " in front. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// The error of the last failed system call: "what: strerror", with a code that fits.
absl::Status ErrnoStatus(int error_number, std::string_view what);

// Ends the process with file, line and reason. For our own bugs only, never for input.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

namespace status_internal {
inline const absl::Status& AsStatus(const absl::Status& s) { return s; }
template <typename T>
const absl::Status& AsStatus(const absl::StatusOr<T>& s) {
  return s.status();
}
}  // namespace status_internal
}  // namespace rackmark

#define RACKMARK_CHECK(expression) \
  ((expression) ? (void)0 : ::rackmark::CheckFailed(__FILE__, __LINE__, #expression))

// The two status macros: the only macros that return.
#define RETURN_IF_ERROR(expression)                                  \
  do {                                                               \
    if (auto rackmark_status = (expression); !rackmark_status.ok())  \
      return ::rackmark::status_internal::AsStatus(rackmark_status); \
  } while (false)

#define RACKMARK_CONCAT_INNER(a, b) a##b
#define RACKMARK_CONCAT(a, b) RACKMARK_CONCAT_INNER(a, b)
#define ASSIGN_OR_RETURN(lhs, expression) \
  ASSIGN_OR_RETURN_IMPL(RACKMARK_CONCAT(rackmark_statusor_, __LINE__), lhs, expression)
#define ASSIGN_OR_RETURN_IMPL(temporary, lhs, expression) \
  auto temporary = (expression);                          \
  if (!temporary.ok()) return temporary.status();         \
  lhs = *std::move(temporary)
