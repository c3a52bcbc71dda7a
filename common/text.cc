#include "common/text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"
#include "common/utf8.h"

namespace rackmark {
namespace {

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// Shows nothing itself, but changes how the text around it reads: direction (a file name that seems
// to end otherwise), lines, invisible tags; and what no XML may hold.
bool IsDisguise(char32_t c) {
  return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f) ||
         (c & 0xfffe) == 0xfffe;
}

// Appends what is not to be shown as itself, and says whether it did.
bool AppendEscaped(std::string_view text, size_t at, const Utf8Character& c, std::string& out) {
  if (!c.valid) {
    absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text[at]));
  } else if (IsControl(c.code)) {
    absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint32_t>(c.code));
  } else if (IsDisguise(c.code)) {
    absl::StrAppendFormat(&out, "\\u{%x}", static_cast<uint32_t>(c.code));
  } else {
    return false;
  }
  return true;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string EscapeControl(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Character c = Utf8CharacterAt(text, i);
    if (text[i] == '\n') {
      out += "\\n";
    } else if (text[i] == '\t') {
      out += "\\t";
    } else if (!AppendEscaped(text, i, c, out)) {
      out.append(text.substr(i, c.bytes));
    }
    i += c.bytes;
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Character c = Utf8CharacterAt(text, i);
    switch (text[i]) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case '\n':
      case '\t': out += text[i]; break;
      default:
        if (!AppendEscaped(text, i, c, out)) out.append(text.substr(i, c.bytes));
    }
    i += c.bytes;
  }
  return out;
}

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string FormatBytes(double bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  if (bytes >= 100 || unit == 0) return absl::StrFormat("%.0f %s", bytes, kUnits[unit]);
  return absl::StrFormat("%.3g %s", bytes, kUnits[unit]);
}

std::string FormatCount(double value) {
  constexpr std::array kUnits = {"", "k", "M", "G", "T", "P"};
  size_t unit = 0;
  while ((value >= 1000 || value <= -1000) && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (value >= 100 || value <= -100) return absl::StrFormat("%.0f%s", value, kUnits[unit]);
  return absl::StrFormat("%.3g%s", value, kUnits[unit]);
}

}  // namespace rackmark
