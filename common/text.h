// Hostile text made safe for where it goes (PROTOCOL 8), and help for people who mistype.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

// For terminals, logs and Markdown: control bytes (ESC, DEL, C1 too) as \xNN; newline and tab as
// \n, \t.
std::string EscapeControl(std::string_view text);
// For HTML text and attributes: & < > " ' and control bytes.
std::string EscapeHtml(std::string_view text);
// The candidate nearest to `word` by edit distance, if it is near enough to be a slip; else "".
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);
// "1.5 GiB", "640 B".
std::string FormatBytes(double bytes);
// Three significant digits with k, M, G: "1.23k".
std::string FormatCount(double value);

}  // namespace rackmark
