// Foreign text and tables as Markdown (GitHub's dialect). Pure.
#pragma once

#include <string>
#include <string_view>

#include "report/tables.h"

namespace rackmark {

// Text for a paragraph, a list item or a table's cell. What could be markup, a link, a mention or
// an end of the cell comes as a code span, in which none of that has a meaning; backquotes and
// bars, which have one even there, as \x60 and \x7c.
std::string MarkdownText(std::string_view text);
// Several lines, fenced by more backquotes than any of them begins with.
std::string MarkdownBlock(std::string_view text);
std::string MarkdownTable(const Table& table);

}  // namespace rackmark
