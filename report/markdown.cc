#include "report/markdown.h"

#include <algorithm>

#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || IsDigit(c) || static_cast<unsigned char>(c) >= 0x80;
}

// "1. " and "1) " begin a list.
bool BeginsList(std::string_view text) {
  const size_t end = text.find_first_not_of("0123456789");
  if (end == 0 || end == std::string_view::npos || end + 1 >= text.size()) return false;
  return (text[end] == '.' || text[end] == ')') && text[end + 1] == ' ';
}

// Nothing in it means anything to Markdown, wherever it stands. Told from what is known to be
// harmless, not from what is known to harm.
bool IsPlain(std::string_view text) {
  if (text.empty()) return true;
  if (std::string_view("-+=:").find(text[0]) != std::string_view::npos) return false;
  if (text.front() == ' ' || text.back() == ' ' || text.find("www.") != std::string_view::npos) {
    return false;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : ' ';
    if (IsWord(c)) continue;
    if (c == ':' && next != ' ') return false;  // a link's scheme, an emoji
    if (c == '_' && !(i > 0 && IsWord(text[i - 1]) && IsWord(next))) return false;
    if (std::string_view(" ,.;:()%/'\"=+-?_").find(c) == std::string_view::npos) return false;
  }
  return !BeginsList(text);
}

}  // namespace

std::string MarkdownText(std::string_view text) {
  const std::string safe = EscapeControl(text);
  if (IsPlain(safe)) return safe;
  std::string out = "`";
  for (const char c : safe) {
    if (c == '`') {
      out += "\\x60";
    } else if (c == '|') {
      out += "\\x7c";
    } else {
      out += c;
    }
  }
  return out + "`";
}

std::string MarkdownBlock(std::string_view text) {
  std::string body;
  size_t fence = 3, ticks = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    absl::StrAppend(&body, EscapeControl(text.substr(start, end - start)), "\n");
    start = end + 1;
  }
  for (const char c : body) {
    ticks = c == '`' ? ticks + 1 : 0;
    fence = std::max(fence, ticks + 1);
  }
  const std::string line(fence, '`');
  return absl::StrCat(line, "text\n", body, line, "\n");
}

std::string MarkdownTable(const Table& table) {
  std::string out = "|";
  for (const std::string& cell : table.head) absl::StrAppend(&out, " ", MarkdownText(cell), " |");
  out += "\n|";
  for (size_t i = 0; i < table.head.size(); ++i) out += i < table.words ? "---|" : "--:|";
  out += "\n";
  for (const auto& row : table.rows) {
    out += "|";
    for (const std::string& cell : row) absl::StrAppend(&out, " ", MarkdownText(cell), " |");
    out += "\n";
  }
  return out;
}

}  // namespace rackmark
