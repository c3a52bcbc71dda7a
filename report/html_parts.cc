#include "report/html_parts.h"

#include "common/status.h"
#include "common/text.h"
#include "report/words.h"

namespace rackmark {

std::string RenderTable(const Table& table) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  const auto cell = [&](const char* tag, size_t column, const std::string& text) {
    const char* cls = column < table.words ? "" : " class=\"n\"";
    absl::StrAppend(&out, "<", tag, cls, ">", EscapeHtml(text), "</", tag, ">");
  };
  for (size_t i = 0; i < table.head.size(); ++i) cell("th", i, table.head[i]);
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) cell("td", i, row[i]);
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string Panel(std::string_view title, std::string_view note, const std::string& body) {
  if (body.empty()) return "";
  std::string out = absl::StrCat("<section class=\"panel\"><h3>", EscapeHtml(title), "</h3>\n");
  if (!note.empty()) absl::StrAppend(&out, "<p class=\"note\">", EscapeHtml(note), "</p>\n");
  return absl::StrCat(out, body, "</section>\n");
}

std::string TablePanel(const Table& table) {
  return Panel(table.title, table.note, RenderTable(table));
}

std::string Badge(v1::Verdict verdict) {
  const std::string word = EscapeHtml(VerdictWord(verdict));
  return absl::StrCat("<span class=\"badge ", word, "\">", word, "</span>");
}

std::string_view PageCss() {
  return R"(:root{color-scheme:light dark;
--font:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
--bg:#f5f6f8;--card:#fff;--text:#1c2430;--muted:#5d6878;--line:#dfe3e9;--grid:#e9ecf0;
--axis:#a9b2be;
--good:#14804a;--warn:#a86200;--bad:#c0262d;--info:#2563a8;
--c0:#2f6fdb;--c1:#e07b1a;--c2:#1f9d76;--c3:#a24fc4;--c4:#8593a6;--c5:#c23a5c}
@media(prefers-color-scheme:dark){:root{--bg:#11151b;--card:#1a2029;--text:#e6eaf0;
--muted:#97a3b4;
--line:#2c3541;--grid:#262e39;--axis:#5b6777;--good:#3fbf7f;--warn:#e5a33c;--bad:#f0616a;
--info:#6aa8ee;
--c0:#6b9ffa;--c1:#f2a154;--c2:#4cc9a0;--c3:#c98be4;--c4:#8b98aa;--c5:#ee7a97}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 var(--font)}
main{max-width:1180px;margin:0 auto;padding:28px 24px 56px}
h1{font-size:26px;margin:0;line-height:1.2;overflow-wrap:anywhere}h2{font-size:20px;
margin:36px 0 6px}
h3{font-size:15px;margin:0 0 4px}
.brand{color:var(--muted);letter-spacing:.08em;text-transform:uppercase;font-size:12px;
font-weight:600}
.title{display:flex;gap:14px;align-items:center;flex-wrap:wrap;margin:4px 0 6px}
.meta,.note{color:var(--muted);margin:2px 0;font-size:13.5px;overflow-wrap:anywhere}
.note{margin:0 0 10px}
.badge{display:inline-block;padding:3px 12px;border-radius:99px;font-weight:700;font-size:13px;
letter-spacing:.04em;color:#fff;background:#b3262d}
.badge.PASS{background:#14804a}.badge.INVALID,.badge.TIMEOUT{background:#a86200}
.badge.SKIPPED,.badge.CANCELLED{background:#46566b}
.reasons{margin:10px 0 0;padding:10px 14px 10px 32px;background:var(--card);
border:1px solid var(--line);
border-left:4px solid var(--warn);border-radius:8px;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:18px 0}
.card,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:14px 16px}.card .k{color:var(--muted);font-size:13px}
.card .v{font-size:24px;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.card .v.missing{font-size:14px;font-weight:500;color:var(--warn)}
.card .x{color:var(--muted);font-size:12.5px;line-height:1.4;margin-top:2px}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px}
.panel{padding:16px 18px}.stack{display:grid;gap:14px;margin-top:14px;
grid-template-columns:minmax(0,1fr)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th{color:var(--muted);font-weight:600;text-align:left;white-space:nowrap}
td,th{padding:6px 8px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}.n{text-align:right;padding-left:4px;white-space:nowrap}
pre{margin:8px 0 0;padding:10px 12px;background:var(--bg);border-radius:6px;overflow:auto;
max-height:340px;
font:12.5px/1.45 ui-monospace,"DejaVu Sans Mono",monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
a{color:var(--info)}details>summary{cursor:pointer;font-weight:600}
footer{color:var(--muted);font-size:13px;margin-top:28px}
@media(max-width:860px){.cards{grid-template-columns:repeat(2,1fr)}
.grid{grid-template-columns:minmax(0,1fr)}}
@media print{body{background:#fff}.panel,.card{break-inside:avoid}}
)";
}

}  // namespace rackmark
