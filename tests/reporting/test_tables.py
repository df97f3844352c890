import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attention_faults.reporting import tables

MINUS = "\N{MINUS SIGN}"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LATEX_SPECIALS = r"_%&#${}~^\<>|`[]*-"

# what a browser changes while parsing (line ends, control characters) is no matter of escaping
visible_text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)
any_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Page(HTMLParser):
    """Text of the cells by class, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[tuple[str, str]] = []
        self._in_cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append((dict(attrs).get("class", ""), ""))
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            kind, text = self.cells[-1]
            self.cells[-1] = (kind, text + data)

    def texts(self, kind: str) -> list[str]:
        return [text for classes, text in self.cells if kind in classes.split()]


def write(tmp_path, frame, title="Title", note="Note"):
    tables.write(frame, tmp_path / "table", title=title, note=note)
    return {x: (tmp_path / f"table.{x}").read_text(encoding="utf-8") for x in ("csv", "html", "tex")}


def latex_rows(tex: str) -> list[list[str]]:
    """Cells of the data rows, read by the rules of LaTeX."""
    start, end = (
        (r"\endlastfoot", r"\end{longtable}") if "longtable" in tex else (r"\midrule", r"\bottomrule")
    )
    body = tex.partition(start)[2].partition(end)[0]
    rows = body.lstrip("\n").split(" \\\\\n")[:-1]
    return [[latex_text(cell.strip()) for cell in re.split(r"(?<!\\)&", row)] for row in rows]


def latex_text(source: str) -> str:
    macros = {
        r"\textbackslash{}": "\\",
        r"\textasciitilde{}": "~",
        r"\textasciicircum{}": "^",
        r"\textasciigrave{}": "`",
        r"\textless{}": "<",
        r"\textgreater{}": ">",
        r"\textbar{}": "|",
        r"$\infty$": "∞",
        "$-$": MINUS,
        "{[}": "[",
        "{]}": "]",
        "{*}": "*",
        "-{}": "-",
        **{f"\\{x}": x for x in "_%&#${}"},
    }
    pattern = "|".join(map(re.escape, sorted(macros, key=len, reverse=True)))
    rest = re.sub(pattern, " ", source)
    assert not re.search(r"[\\%&#$_{}~^<>|`\[\]*]|--", rest), f"not escaped: {rest!r} in {source!r}"
    return re.sub(pattern, lambda match: macros[match.group()], source)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": pd.Categorical(
                ["mask_generation", "=cmd|'/C calc'!A0", "x"], ["x", "mask_generation", "=cmd|'/C calc'!A0"]
            ),
            "share": [0.1 + 0.2, np.nan, -1e-17],
            "count": [1, -2, 1_234_567],
            "odds_ratio": [np.inf, 12345.678, 0.0],
            "exact": [True, False, True],
        }
    )


def test_csv_holds_shortest_exact_floats_empty_cells_and_escaped_formulas(tmp_path, frame):
    assert write(tmp_path, frame)["csv"] == (
        '"label","share","count","odds_ratio","exact"\n'
        '"mask_generation",0.30000000000000004,1,inf,"True"\n'
        '"\'=cmd|\'/C calc\'!A0","",-2,12345.678,"False"\n'
        '"x",-1e-17,1234567,0.0,"True"\n'
    )


@quick
@given(st.lists(visible_text, min_size=1, max_size=4), visible_text.filter(bool), visible_text)
def test_html_shows_text_as_it_is(tmp_path, texts, title, note):
    shown = Page(write(tmp_path, pd.DataFrame({title: texts}), title, note)["html"])
    assert shown.texts("gt_row") == texts
    assert shown.texts("gt_col_heading") == [title]
    assert shown.texts("gt_title") == [title]
    assert shown.texts("gt_sourcenote") == ([note] if note else [])


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "**bold** _x_ `y`", "&amp; &", '" onload="x', "{{m^2}}", "[a](http://b)"],
)
def test_neither_markup_nor_markdown_is_interpreted_anywhere(tmp_path, text):
    page = Page(write(tmp_path, pd.DataFrame({text: [text]}), text, text)["html"])
    for kind in ("gt_row", "gt_col_heading", "gt_title", "gt_sourcenote"):
        assert page.texts(kind) == [text]
    plain = Page(write(tmp_path, pd.DataFrame({"a": ["a"]}), "a", "a")["html"])
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


def test_links_are_made_of_http_addresses_alone(tmp_path):
    urls = [
        "https://a.org/b?c=1&d=%22",
        "http://a.org/<x>\"'",
        "javascript:alert(1)",
        "see https://a.org",
        "data:text/html,x",
    ]
    page = Page(write(tmp_path, pd.DataFrame({"url": urls}))["html"])
    links = [attributes for tag, attributes in page.tags if tag == "a"]
    assert [link["href"] for link in links] == urls[:2]
    assert {(link["target"], link["rel"]) for link in links} == {("_blank", "noopener noreferrer")}
    assert page.texts("gt_row") == urls


def test_html_needs_nothing_from_elsewhere(tmp_path, frame):
    page = write(tmp_path, frame)["html"]
    assert not {tag for tag, _ in Page(page).tags} & {"script", "link", "iframe", "img", "base"}
    assert not re.search(r"@import|url\(|src=|https?:", page)
    assert '<meta charset="utf-8"/>' in page


def test_html_numbers_are_rounded_and_missing_cells_empty(tmp_path, frame):
    rows = Page(write(tmp_path, frame)["html"]).texts("gt_row")
    assert rows == [
        *("mask_generation", "0.300", "1", "∞", "yes"),
        *("=cmd|'/C calc'!A0", "", f"{MINUS}2", "12,345.7", "no"),
        *("x", f"{MINUS}1.0e{MINUS}17", "1,234,567", "0.000", "yes"),
    ]


def test_a_table_too_long_for_a_page_says_how_much_it_shows(tmp_path):
    written = write(tmp_path, pd.DataFrame({"n": range(501)}))
    page = Page(written["html"])
    assert page.texts("gt_row") == [str(n) for n in range(500)]
    assert page.texts("gt_sourcenote")[0].startswith("The first 500 of 501 rows")
    assert "The first 500 of 501 rows" in written["tex"]
    assert len(tables.read(tmp_path / "table.csv")) == 501


def test_a_long_table_is_shown_in_full(tmp_path):
    written = write(tmp_path, pd.DataFrame({"n": range(500), "t": "x"}))
    assert len(Page(written["html"]).texts("gt_row")) == 1000
    assert len(latex_rows(written["tex"])) == 500
    assert r"\begin{longtable}" in written["tex"]


@quick
@given(st.lists(st.text(LATEX_SPECIALS + "ab1 é", max_size=12), min_size=1, max_size=3))
def test_latex_prints_text_as_it_is(tmp_path, texts):
    # whitespace is collapsed by LaTeX
    frame = pd.DataFrame({"t": [f"a{text}" for text in texts], "u": texts})
    tex = write(tmp_path, frame, title="a_b", note="50% [x]")["tex"]
    expected = [[" ".join(cell.split()) for cell in row] for row in frame.to_numpy().tolist()]
    assert latex_rows(tex) == expected
    assert r"\caption{a\_b}" in tex
    assert r"50\% {[}x{]}" in tex


def test_latex_aligns_numbers_and_breaks_long_text(tmp_path):
    tex = write(tmp_path, pd.DataFrame({"n": [1.5], "t": ["x"], "u": ["long text " * 9]}))["tex"]
    assert r"\begin{tabular}{rlp{0.50\linewidth}}" in tex
    assert all(rule in tex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_latex_without_note_has_no_empty_paragraph(tmp_path):
    assert r"\footnotesize" not in write(tmp_path, pd.DataFrame({"n": [1]}), note="")["tex"]


@pytest.mark.parametrize("columns", [["a", "a"], [1, 2]], ids=str)
def test_column_names_must_be_unique_text(tmp_path, columns):
    with pytest.raises(ValueError, match="column names must be unique text"):
        tables.write(pd.DataFrame([[1, 2]], columns=columns), tmp_path / "x", title="", note="")
    assert not list(tmp_path.iterdir())


def test_two_processes_write_the_same_bytes(tmp_path):
    code = """
import sys, pandas as pd
from attention_faults.reporting import tables
frame = pd.DataFrame({"url": ["https://a.org", "=x", None], "x": [0.1, None, 1e300]})
tables.write(frame, sys.argv[1], title="T", note="N")
"""
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", code, folder / "table"], check=True, env={"PYTHONHASHSEED": seed}
        )
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["table.csv", "table.html", "table.tex"]


def test_the_path_may_be_that_of_the_csv_file(tmp_path):
    tables.write(pd.DataFrame({"n": [1]}), tmp_path / "x.csv", title="T", note="N")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.html", "x.tex"]


def test_pandas_reads_the_csv_with_its_defaults(frame, tmp_path):
    back = pd.read_csv(io.StringIO(write(tmp_path, frame)["csv"]))
    assert list(back["exact"]) == [True, False, True]
    np.testing.assert_array_equal(back["share"], frame["share"])
