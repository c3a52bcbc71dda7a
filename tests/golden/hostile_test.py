"""Reads the golden outputs of one hostile job with the parsers of their formats (PROTOCOL 8).

report_test holds the program to these bytes; here stands that the bytes are harmless: no active
content, no formula, no markup, nothing that a terminal obeys, and the text still there as text.
"""
import csv
import html.parser
import json
import pathlib
import re
import unittest
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).parent
# What only the foreign text of the job says.
MARKS = ("onerror", "evil.example")


def read(name):
    return (HERE / name).read_bytes().decode("utf-8")  # strict: the outputs are UTF-8


class Page(html.parser.HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.text, self.declarations = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.declarations.append(data)

    def unknown_decl(self, data):
        self.declarations.append(data)

    def handle_pi(self, data):
        self.declarations.append(data)


def strip_code(text):
    """Markdown without fenced blocks and code spans, by the rules of CommonMark: a block ends at a
    fence as long as its own, a span at a run of backquotes as long as its own."""
    lines, fence = [], None
    for line in text.split("\n"):
        run = re.match(r"(`{3,})(.*)$", line)
        if fence is None and run and "`" not in run.group(2):
            fence = run.group(1)
        elif fence is not None:
            if re.match(r"`+\s*$", line) and len(line.strip()) >= len(fence):
                fence = None
        else:
            lines.append(line)
    assert fence is None, "a fence never closes"
    spans = []

    def cut(match):
        spans.append(match.group(2))
        return "CODE"

    out = [re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", cut, line) for line in lines]
    return "\n".join(out), spans


class HostileText(unittest.TestCase):
    def test_no_output_has_a_byte_that_a_terminal_obeys(self):
        names = sorted(p.name for p in HERE.glob("hostile.*"))
        self.assertEqual(len(names), 9, names)
        for name in names:
            text = read(name)
            bad = re.findall(r"[^\n\r -~\u00a0-\U0010ffff]|\r(?!\n)", text)
            self.assertEqual(bad, [], name)
            hidden = re.findall("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]",
                                text)
            self.assertEqual(hidden, [], name)
            if name.endswith((".csv", ".txt")):
                continue
            for mark in MARKS:
                self.assertIn(mark, text, f"{name} does not show the text at all")

    def test_html_has_no_active_content(self):
        page = Page()
        page.feed(read("hostile.html"))
        page.close()
        allowed = {"html", "head", "meta", "title", "style", "body", "main", "header", "footer",
                   "section", "div", "span", "p", "h1", "h2", "h3", "b", "ul", "li", "table",
                   "thead", "tbody", "tr", "th", "td", "pre", "details", "summary", "svg", "g",
                   "path", "line", "rect", "text", "circle"}
        self.assertEqual(set(page.elements) - allowed, set())
        for tag, key, value in page.attributes:
            self.assertFalse(key.startswith("on") or key in ("href", "src", "style", "srcdoc"),
                             f"<{tag} {key}={value}>")
            if key not in ("aria-label",):
                self.assertNotIn("evil", value or "")
        self.assertEqual(page.declarations, [])
        self.assertIn("</script><img src=x onerror", "".join(page.text))
        self.assertIn("default-src 'none'", read("hostile.html"))

    def test_json_is_ascii_and_ends_no_script_element(self):
        text = read("hostile.json")
        self.assertTrue(text.isascii())
        self.assertNotIn("</", text)
        self.assertIn("</script><img src=x onerror", json.loads(text)["job_name"])

    def test_csv_cells_are_no_formulas(self):
        with open(HERE / "hostile.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, strict=True))
        self.assertGreater(len(rows), 50)
        for row in rows:
            self.assertEqual(len(row), 12)
            for cell in row:
                # Also if a spreadsheet takes the semicolon for the separator, or trims.
                for part in cell.split(";"):
                    self.assertNotRegex(part.strip(" \t\""), r"^[=+\-@\uff1d\uff0b\uff0d\uff20]")
        for row in rows[1:]:
            if row[9]:
                float(row[9])

    def test_junit_is_xml_and_its_counts_are_right(self):
        root = xml.etree.ElementTree.fromstring(read("hostile.junit.xml"))
        self.assertEqual(root.tag, "testsuites")
        cases = list(root.iter("testcase"))
        count = {tag: len(list(root.iter(tag))) for tag in ("failure", "error", "skipped")}
        for element in [root] + list(root.iter("testsuite")):
            self.assertEqual(int(element.get("tests")), len(cases))
            self.assertEqual(int(element.get("failures")), count["failure"])
            self.assertEqual(int(element.get("errors")), count["error"])
            self.assertEqual(int(element.get("skipped")), count["skipped"])
        self.assertGreater(count["error"], 0)
        tags = {element.tag for element in root.iter()}
        self.assertLessEqual(tags, {"testsuites", "testsuite", "properties", "property",
                                    "testcase", "failure", "error",
                                    "skipped", "system-out"})
        self.assertIn("</script><img src=x onerror", cases[0].get("classname"))

    def test_markdown_has_no_markup_of_foreign_text(self):
        for name in ("hostile.md", "hostile.compare.md"):
            outside, spans = strip_code(read(name))
            for mark in MARKS + ("<", "@", "http", "www.", "](", "&", "\\"):
                self.assertNotIn(mark, outside, name)
            self.assertTrue(any("onerror" in span for span in spans), name)
            self.assertFalse(any("|" in span for span in spans), f"{name}: a bar ends a cell")
            columns = None  # every row of a table has the cells of its head
            for line in outside.split("\n"):
                bars = line.count("|") if line.startswith("|") else None
                if columns is not None and bars is not None:
                    self.assertEqual(bars, columns, line)
                columns = bars
            for line in outside.split("\n"):
                if line.startswith("#"):
                    self.assertRegex(line, r"^#{1,3} [A-Z]")

    def test_terminal_shows_the_escapes(self):
        text = read("hostile.txt")
        self.assertIn("\\x1b[2J", text.replace("\n", ""))


if __name__ == "__main__":
    unittest.main()
