"""Tables of text: what stands in the file is what is read, and what cannot be read is named by its line."""

import csv
import io
import itertools
import random
import zipfile
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from openpyxl.chart import BarChart, Reference
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from attention_faults.errors import InputError
from attention_faults.taxonomy import reading
from attention_faults.taxonomy.reading import read_table, scan_table

moment = partial(datetime, tzinfo=None)
quick = settings(max_examples=150, deadline=None, derandomize=True)
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
# what common readers take for a missing value, a number, a truth value or a formula
TRAPS = ["NaN", "nan", "None", "null", "NULL", "NA", "N/A", "#N/A", "no", "true", "007", "1.0", "1e5", "inf"]
TRAPS += [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "=cmd|' /C calc'!A0",
    "'",
    "2025-02-03",
    "-",
    " x ",
    "a\nb",
    "é漢😀",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reading")


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def write_parquet(path, rows):
    header, *body = rows
    columns = zip(*body, strict=True)
    pq.write_table(pa.table([pa.array(column, pa.string()) for column in columns], names=header), path)


def write_xlsx(path, rows):
    workbook = openpyxl.Workbook()
    for line, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            workbook.active.cell(line, column, value).data_type = "s"
    workbook.save(path)


WRITERS = {".csv": write_csv, ".parquet": write_parquet, ".xlsx": write_xlsx}
every_format = pytest.mark.parametrize("suffix", WRITERS)


def write(path, rows):
    WRITERS[path.suffix](path, rows)
    return path


def problems_of(path, sheet=None):
    with pytest.raises(InputError) as caught:
        read_table(path, sheet)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def problems_in_csv(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return problems_of(path)


def as_rows(table):
    return [list(table.frame.columns), *table.frame.to_numpy().tolist()]


# --- the three formats alike


@every_format
def test_cells_that_look_like_something_else_stay_text(tmp_path, suffix):
    rows = [["label", "other"], *([trap, "x"] for trap in TRAPS)]
    assert as_rows(read_table(write(tmp_path / f"table{suffix}", rows))) == rows


@every_format
def test_an_empty_cell_is_the_empty_text(tmp_path, suffix):
    rows = [["a", "b", "c"], ["", "x", ""], ["x", "", ""]]
    assert as_rows(read_table(write(tmp_path / f"table{suffix}", rows))) == rows


XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=8
)


@every_format
@settings(max_examples=40, deadline=None, derandomize=True)
@given(body=st.lists(st.lists(XML_TEXT, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_text_survives(folder, suffix, body):
    rows = [["a", "b", "c"], *body]
    table = read_table(write(folder / f"text{suffix}", rows))
    assert as_rows(table) == rows


@every_format
def test_a_suffix_in_capitals_is_the_same_format(tmp_path, suffix):
    path = write(tmp_path / f"table{suffix}", [["a"], ["x"]])
    assert as_rows(read_table(path.rename(tmp_path / f"T{suffix.upper()}"))) == [["a"], ["x"]]


@every_format
def test_column_names_must_be_there_and_differ(tmp_path, suffix):
    path = write(tmp_path / f"table{suffix}", [["a", "", "b", "a", " ", "b", "a", "z"], ["x"] * 8])
    assert [problem.split(": ", 1)[-1].strip() for problem in problems_of(path)] == [
        "column 2 has no name",
        "column 5 has no name",
        "column `a` stands 3 times",
        "column `b` stands 2 times",
    ]


@every_format
def test_a_missing_file_says_so(tmp_path, suffix):
    assert problems_of(tmp_path / f"gone{suffix}") == [" no such file"]


@every_format
def test_a_folder_is_no_file(tmp_path, suffix):
    (tmp_path / f"table{suffix}").mkdir()
    assert problems_of(tmp_path / f"table{suffix}") == [" no such file"]


@every_format
def test_a_name_too_long_for_the_file_system_is_an_input_error(tmp_path, suffix):
    assert "too long" in problems_of(tmp_path / ("x" * 300 + suffix))[0]


@every_format
def test_a_file_that_may_not_be_read_is_an_input_error(tmp_path, suffix, monkeypatch):
    path = write(tmp_path / f"table{suffix}", [["a"], ["x"]])

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(pq, "ParquetFile", refuse)
    assert "ermission denied" in problems_of(path)[0]


@pytest.mark.parametrize("name", ["table.xls", "table.ods", "table.json", "table", "table.csv.gz"])
def test_another_kind_of_file_lists_the_kinds_that_can_be_read(tmp_path, name):
    (tmp_path / name).write_text("a\nx\n")
    assert problems_of(tmp_path / name) == [" expected a file ending in .csv, .parquet, .xlsx"]


@pytest.mark.parametrize(("written", "named"), [(a, b) for a in WRITERS for b in WRITERS if a != b])
def test_a_file_renamed_to_another_kind_is_an_input_error(tmp_path, written, named):
    path = write(tmp_path / f"table{written}", [["a", "b"], ["x", "y"]])
    assert problems_of(path.rename(tmp_path / f"renamed{named}"))


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx", ".csv"])
@pytest.mark.parametrize("size", [0, 1, 4, 100, 5000])
def test_random_bytes_are_an_input_error(tmp_path, suffix, size):
    path = tmp_path / f"table{suffix}"
    path.write_bytes(random.Random(size).randbytes(size))
    assert problems_of(path)


@every_format
def test_a_file_cut_short_anywhere_gives_its_first_rows_or_an_input_error(tmp_path, suffix):
    path = write(tmp_path / f"table{suffix}", [["a", "b"], *([f"x{i}", 'y,"\n'] for i in range(30))])
    content = path.read_bytes()
    for size in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:size])
        try:
            rows = as_rows(read_table(path))
        except InputError:
            continue
        assert suffix == ".csv"
        assert [row[0] for row in rows[1:]] == [f"x{i}" for i in range(len(rows) - 1)]


# --- CSV


def csv_text(rows, blank_lines, end):
    """A CSV file with blank lines before its rows, and the line on which each row begins."""
    text, lines = "", []
    for row, blanks in zip(rows, blank_lines, strict=True):
        text += end * blanks
        lines.append(1 + text.count(end))
        stream = io.StringIO()
        csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator=end).writerow(row)
        text += stream.getvalue()
    return text, lines


@quick
@given(
    body=st.lists(
        st.lists(st.sampled_from(["", "x", "§", 'a"b', "a,b", " "]), min_size=2, max_size=2), min_size=1
    ),
    breaks=st.lists(st.integers(0, 3), min_size=1),
    blanks=st.lists(st.integers(0, 3), min_size=1),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_each_row_knows_the_line_it_begins_on(folder, body, breaks, blanks, end, mark):
    for row, count in zip(body, itertools.cycle(breaks), strict=False):
        row[0] += end * count
    rows = [["a", "b"], *body]
    blank_lines = list(itertools.islice(itertools.cycle(blanks), len(rows)))
    text, lines = csv_text(rows, blank_lines, end)
    path = folder / "lines.csv"
    path.write_bytes((mark + text).encode())
    table = read_table(path)
    assert as_rows(table) == rows
    assert table.lines.tolist() == lines[1:]
    assert table.header == f"{path}:{lines[0]}"


@quick
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    breaks=st.lists(st.integers(0, 3), min_size=1, max_size=5),
)
@example(widths=[2] * 5000, breaks=[1])
def test_all_rows_of_the_wrong_width_are_reported_by_their_lines(folder, widths, breaks):
    rows = [["a", "b", "c"]]
    rows += [
        ["x" + "\n" * count] * width for width, count in zip(widths, itertools.cycle(breaks), strict=False)
    ]
    text, lines = csv_text(rows, [1] * len(rows), "\n")
    path = folder / "ragged.csv"
    path.write_text(text)
    expected = [
        f"{line}: expected 3 cells as in the header, found {width}"
        for line, width in zip(lines[1:], widths, strict=True)
        if width != 3
    ]
    assume(expected)
    assert problems_of(path) == expected


@pytest.mark.parametrize("content", ["", "\n\n", "\r\n", "\ufeff", "\ufeff\n"])
def test_an_empty_file_says_that_a_header_is_missing(tmp_path, content):
    assert problems_in_csv(tmp_path, content) == ["1: the file is empty, expected a header"]


@pytest.mark.parametrize(
    ("content", "line"), [("a,b", 1), ("a,b\n", 1), ("\n\na,b\n\n", 3), ('"a\n",b\n', 1)]
)
def test_a_header_alone_is_an_error_on_its_line(tmp_path, content, line):
    assert problems_in_csv(tmp_path, content) == [f"{line}: there is a header but no record"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_another_separator_is_named(tmp_path, separator):
    problems = problems_in_csv(tmp_path, f"a{separator}b\nx{separator}y\n")
    assert problems[0].endswith("expected cells separated by commas")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('a,b\nx,y\n"x,y\nz,y\n', [3]),  # never closed
        ('a,b\nx,y\n"x" ,y\nx,"y"z\nx,y\n', [3, 4]),  # text behind a closed quote
        ('a,b\nx\n"x" ,y\nx,y,z\n"x', [2, 3, 4, 5]),  # together with rows of the wrong width
        ('"a,b\nx,y\n', [1]),  # in the header: nothing else can be checked
        ('a,b\nx,"\ny"z\nx\n', [2, 4]),
    ],
)
def test_every_broken_quote_is_reported_with_the_line_its_row_begins_on(tmp_path, content, lines):
    assert [int(problem.split(":")[0]) for problem in problems_in_csv(tmp_path, content)] == lines


def test_a_quote_that_is_never_closed_does_not_hide_the_rest_of_a_large_file(tmp_path):
    rest = "".join(f"row {i},y\n" for i in range(40_000))
    problems = problems_in_csv(tmp_path, f'a,b\nx,"y\n{rest}x,y,z\n')
    assert problems[0].startswith("2: not readable as CSV: field larger than field limit")
    assert problems[-1] == "40003: expected 2 cells as in the header, found 3"


@pytest.mark.parametrize(("size", "fits"), [(131_072, True), (131_073, False), (10**6, False)])
def test_a_cell_beyond_128_kib_is_an_error_with_its_line(tmp_path, size, fits):
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\nx,y\n{'x' * size},y\nx,y\n")
    assert [line for line, _ in scan_table(path).problems] == ([] if fits else [3])


def test_the_limit_of_a_cell_is_ours_whatever_a_library_set_for_the_process(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\n{'x' * 131_073},y\nx,y\n")
    before = csv.field_size_limit(2**30)  # as frictionless does when it first reads a CSV file
    try:
        assert [line for line, _ in scan_table(path).problems] == [2]
        assert csv.field_size_limit() == 2**30
    finally:
        csv.field_size_limit(before)


def test_every_line_that_is_not_utf8_is_reported(tmp_path):
    content = 'a,b\ncafé,x\nx,y\n"x\nnaïve",y\n,,\n'.encode("latin-1")
    assert problems_in_csv(tmp_path, content) == [
        "2: expected UTF-8 text, found byte 0xe9 at position 4; save the file as UTF-8",
        "5: expected UTF-8 text, found byte 0xef at position 3; save the file as UTF-8",
        "6: expected 2 cells as in the header, found 3",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"])
def test_no_other_encoding_gives_another_exception(tmp_path, encoding):
    path = tmp_path / "table.csv"
    path.write_bytes("é,b\nx,y\n".encode(encoding))
    try:
        columns = list(read_table(path).frame.columns)
    except InputError:
        return
    assert columns != ["é", "b"]


def test_a_line_is_counted_alike_for_bytes_and_rows_when_lines_end_in_carriage_returns(tmp_path):
    assert [p[:2] for p in problems_in_csv(tmp_path, b"a,b\rx,y\r\xff,y\rx\r")] == ["3:", "4:"]


def test_control_characters_do_not_break_the_reader(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\nx\x00y,\x1b[31m\n\x0c,\x7f\n")
    assert as_rows(read_table(path)) == [["a", "b"], ["x\x00y", "\x1b[31m"], ["\x0c", "\x7f"]]


def test_rows_beyond_one_chunk_keep_order_and_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_ROWS", 7)
    rows = [["a", "b"], *([str(i), "y"] for i in range(30))]
    table = read_table(write(tmp_path / "table.csv", rows))
    assert as_rows(table) == rows
    assert table.lines.tolist() == list(range(2, 32))


def test_what_can_be_read_of_a_broken_file_is_kept_for_further_checks(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n1,y\n2\n3,\xff\n4,y\n")
    table = scan_table(path)
    assert table.frame["a"].tolist() == ["1", "3", "4"]
    assert table.lines.tolist() == [2, 4, 5]
    assert [line for line, _ in table.problems] == [3, 4]


def test_a_listing_of_thousands_of_columns_is_cut(tmp_path):
    path = write(tmp_path / "table.csv", [[f"c{i}" for i in range(5000)], ["x"] * 5000])
    assert read_table(path).contents.endswith("`c99` and 4900 more")


# --- Parquet


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_typed_parquet_columns_become_the_text_a_person_would_write(tmp_path):
    path = parquet(
        tmp_path / "table.parquet",
        integer=[1, None],
        whole=pa.array([3.0, None]),
        fraction=[0.5, 2.0],
        truth=[True, False],
        day=[date(2025, 2, 3), None],
        midnight=pa.array([moment(2025, 2, 3), None], pa.timestamp("ns")),
        moment=pa.array([moment(2025, 2, 3, 4, 5), None], pa.timestamp("s")),
        category=pa.array(["NaN", None]).dictionary_encode(),
        money=[Decimal("1.50"), None],
        nothing=pa.nulls(2),
    )
    assert as_rows(read_table(path))[1:] == [
        ["1", "3", "0.5", "true", "2025-02-03", "2025-02-03", "2025-02-03 04:05:00.000", "NaN", "1.50", ""],
        ["", "", "2", "false", "", "", "", "", "", ""],
    ]


def test_a_parquet_column_that_is_no_text_is_named(tmp_path):
    path = parquet(tmp_path / "table.parquet", a=["x"], nested=[["y", "z"]])
    assert problems_of(path)[0].startswith(" column `nested`: not readable as text: ")


def test_bytes_in_parquet_that_are_no_text_are_an_input_error(tmp_path):
    path = parquet(tmp_path / "table.parquet", a=pa.array([b"\xff\xfe"], pa.binary()))
    assert problems_of(path)[0].startswith(" column `a`: not readable as text: ")


def test_a_parquet_file_without_a_row_is_an_error(tmp_path):
    assert problems_of(parquet(tmp_path / "table.parquet", a=pa.array([], pa.string()))) == [
        " there is no record"
    ]
    assert problems_of(parquet(tmp_path / "none.parquet")) == [" there is no record"]


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "category=x").mkdir()
    path = parquet(tmp_path / "category=x" / "table.parquet", a=["y"])
    assert as_rows(read_table(path)) == [["a"], ["y"]]


# --- workbooks


def workbook(path, *rows, **sheets):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for title, content in sheets.items():
        sheet = book.create_sheet(title)
        for row in content:
            sheet.append(row)
    book.save(path)
    return path


def rezipped(path, **parts):
    """A workbook with parts of its archive replaced."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()} | parts
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    return path


def with_sheet_xml(path, data, before=""):
    xml = f'<worksheet xmlns="{SHEET_MAIN_NS}">{before}<sheetData>{data}</sheetData></worksheet>'
    return rezipped(workbook(path, ["unused"]), **{SHEET: xml})


def text_cell(reference, value):
    return f'<c r="{reference}" t="inlineStr"><is><t>{value}</t></is></c>'


HEADER_ROW = f'<row r="1">{text_cell("A1", "a")}{text_cell("B1", "b")}</row>'


def with_shared_strings(path, strings, data):
    """A workbook that keeps its text apart, as Excel writes it."""
    with_sheet_xml(path, data)
    with zipfile.ZipFile(path) as archive:
        types = archive.read("[Content_Types].xml").decode()
    override = f'<Override PartName="/{STRINGS}" ContentType="{SHARED_STRINGS}"/>'
    items = "".join(f"<si><t>{string}</t></si>" for string in strings)
    return rezipped(
        path,
        **{
            "[Content_Types].xml": types.replace("</Types>", f"{override}</Types>"),
            STRINGS: f'<sst xmlns="{SHEET_MAIN_NS}">{items}</sst>',
        },
    )


def test_text_that_excel_keeps_apart_is_read(tmp_path):
    data = '<row r="1"><c r="A1" t="s"><v>1</v></c></row><row r="2"><c r="A2" t="s"><v>0</v></c></row>'
    path = with_shared_strings(tmp_path / "table.xlsx", ["=1+1", "a"], data)
    assert as_rows(read_table(path)) == [["a"], ["=1+1"]]


def test_cells_of_every_type_become_the_text_that_the_sheet_shows(tmp_path):
    values = [1, 2.0, 0.5, True, False, date(2025, 2, 3), moment(2025, 2, 3), moment(2025, 2, 3, 4, 5)]
    values += [time(4, 5), "=1+1", "#N/A", None, "end"]
    path = workbook(tmp_path / "table.xlsx", [f"c{i}" for i in range(len(values))], values)
    assert as_rows(read_table(path))[1] == [
        "1", "2", "0.5", "TRUE", "FALSE", "2025-02-03", "2025-02-03", "2025-02-03 04:05:00",
        "04:05:00", "=1+1", "#N/A", "", "end",
    ]  # fmt: skip


def test_array_formulas_and_data_tables_are_text_that_does_not_change_between_runs(tmp_path):
    path = workbook(
        tmp_path / "table.xlsx",
        ["a", "b"],
        [ArrayFormula("A2", "=SUM(B1:B2*C1:C2)"), DataTableFormula("B2", r1="A1")],
    )
    assert as_rows(read_table(path))[1] == ["=SUM(B1:B2*C1:C2)", "=TABLE()"]


def test_rows_of_zeros_and_falsehoods_are_no_empty_rows(tmp_path):
    path = workbook(tmp_path / "table.xlsx", ["a", "b"], [0, 0], [False, None], [0.0, None])
    assert as_rows(read_table(path))[1:] == [["0", "0"], ["FALSE", ""], ["0", ""]]


def test_empty_rows_are_passed_over_and_the_row_numbers_are_those_of_the_sheet(tmp_path):
    path = workbook(tmp_path / "table.xlsx", [], ["a", "b"], [], ["x", "y"], [None, None], ["z", None])
    table = read_table(path)
    assert as_rows(table) == [["a", "b"], ["x", "y"], ["z", ""]]
    assert (table.header, table.lines.tolist()) == (f"{path}:2", [4, 6])


def test_cells_beyond_the_header_are_reported_and_empty_ones_are_not(tmp_path):
    path = workbook(
        tmp_path / "table.xlsx", ["a", "b", None], ["x", None, ""], ["x", "y", "z"], [None] * 3 + ["q"]
    )
    assert problems_of(path) == [
        "3: expected 2 cells as in the header, found 3",
        "4: expected 2 cells as in the header, found 4",
    ]


def test_a_column_without_a_name_between_others_is_reported(tmp_path):
    assert problems_of(workbook(tmp_path / "table.xlsx", ["a", None, "b"], ["x", "y", "z"])) == [
        "1: column 2 has no name"
    ]


def test_merged_cells_hold_their_value_in_the_first_cell_only(tmp_path):
    book = openpyxl.Workbook()
    for row in (["a", "b"], ["x", "y"], [None, "z"]):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.save(tmp_path / "table.xlsx")
    assert as_rows(read_table(tmp_path / "table.xlsx"))[1:] == [["x", "y"], ["", "z"]]


@pytest.mark.parametrize("content", [[], [[]], [[None, ""]]])
def test_an_empty_sheet_says_that_a_header_is_missing(tmp_path, content):
    assert problems_of(workbook(tmp_path / "table.xlsx", *content)) == [
        "1: the file is empty, expected a header"
    ]


def test_a_header_alone_in_a_sheet_is_an_error(tmp_path):
    assert problems_of(workbook(tmp_path / "table.xlsx", ["a"])) == ["1: there is a header but no record"]


def test_several_sheets_are_listed_with_their_columns_and_none_is_guessed(tmp_path):
    path = workbook(tmp_path / "table.xlsx", ["a", "b"], ["x", "y"], Faults=[[], ["Id", "Link"], ["1", "2"]])
    seen = "sheet `Sheet` has the columns `a`, `b`; sheet `Faults` has the columns `Id`, `Link`"
    assert problems_of(path) == [f" the column map must name one of its sheets as `sheet`; {seen}"]
    assert problems_of(path, "faults") == [f" there is no sheet `faults`; {seen}"]
    assert problems_of(path, "") == [f" there is no sheet ``; {seen}"]
    table = read_table(path, "Faults")
    assert (as_rows(table), table.header, table.contents) == ([["Id", "Link"], ["1", "2"]], f"{path}:2", seen)


def test_a_sheet_that_holds_a_chart_is_no_choice(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append(["x"])
    chart = BarChart()
    chart.add_data(Reference(book.active, min_col=1, min_row=1, max_row=2))
    book.create_chartsheet("Chart").add_chart(chart)
    book.save(tmp_path / "table.xlsx")
    assert as_rows(read_table(tmp_path / "table.xlsx")) == [["a"], ["x"]]
    assert "no sheet `Chart`" in problems_of(tmp_path / "table.xlsx", "Chart")[0]


@pytest.mark.parametrize("claim", ["A1:XFD1048576", "A1", "C7:D9"])
def test_the_size_that_a_sheet_claims_is_not_believed(tmp_path, claim):
    data = HEADER_ROW + f'<row r="2">{text_cell("A2", "x")}{text_cell("B2", "y")}</row>'
    path = with_sheet_xml(tmp_path / "table.xlsx", data, before=f'<dimension ref="{claim}"/>')
    assert as_rows(read_table(path)) == [["a", "b"], ["x", "y"]]


@pytest.mark.parametrize("row", [reading.MAX_SHEET_ROWS + 1, 10**12])
def test_a_row_number_beyond_what_a_sheet_can_hold_is_an_input_error(tmp_path, row, monkeypatch):
    monkeypatch.setattr(reading, "MAX_SHEET_ROWS", 1000)
    path = with_sheet_xml(
        tmp_path / "table.xlsx", HEADER_ROW + f'<row r="{row}">{text_cell("A2", "x")}</row>'
    )
    assert problems_of(path) == [" sheet `Sheet` has a row beyond 1,000"]


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="A2" t="s"><v>99</v></c>',
        '<c r="A2" t="n"><v>x</v></c>',
        '<c r="A2" t="b"><v>maybe</v></c>',
        '<c r="A2" t="d"><v>2025-02-30</v></c>',
        '<c r="ZZZZ2"><v>1</v></c>',
        '<c r="A2" s="x"><v>1</v></c>',
        '<c r="A2"><v>' + "9" * 5000 + "</v></c>",
    ],
)
def test_a_cell_that_contradicts_its_type_is_an_input_error(tmp_path, cell):
    path = with_sheet_xml(tmp_path / "table.xlsx", f"{HEADER_ROW}<row r='2'>{cell}</row>")
    assert problems_of(path)[0].startswith(" not a readable XLSX workbook: ")


def test_a_date_beyond_the_calendar_is_kept_as_an_error_value_without_a_warning(tmp_path):
    path = workbook(tmp_path / "table.xlsx", ["a"], [date(2025, 2, 3)])
    with zipfile.ZipFile(path) as archive:
        xml = archive.read(SHEET)
    assert as_rows(read_table(rezipped(path, **{SHEET: xml.replace(b"<v>45691</v>", b"<v>1e15</v>")}))) == [
        ["a"],
        ["#VALUE!"],
    ]


BOMB = '<!DOCTYPE b [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(9)
)


@pytest.mark.parametrize(
    "start",
    [f"{BOMB}]>", '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "<!DOCTYPE b [<!ENTITY x 'y'>]>"],
    ids=["expansion", "external", "plain"],
)
@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml"])
def test_entities_in_a_workbook_are_refused(tmp_path, start, part):
    path = workbook(tmp_path / "table.xlsx", ["a"], ["x"])
    with zipfile.ZipFile(path) as archive:
        xml = archive.read(part).decode()
    assert "Entities" in problems_of(rezipped(path, **{part: start + xml.split("?>", 1)[-1]}))[0]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "table.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(SHEET, "w") as part:
        for _ in range(80):
            part.write(b" " * 2**20)
    assert path.stat().st_size < 2**18
    assert problems_of(path)[0].startswith(" unpacks to 83,886,080 bytes, expected at most 67,108,864; ")


def test_a_bomb_of_several_parts_is_refused_as_a_whole(tmp_path, monkeypatch):
    path = rezipped(workbook(tmp_path / "table.xlsx", ["a"], ["x"]), one=b"x" * 6000, two=b"x" * 6000)
    assert as_rows(read_table(path)) == [["a"], ["x"]]
    monkeypatch.setattr(reading, "MAX_WORKBOOK_BYTES", 10_000)
    assert "unpacks to" in problems_of(path)[0]


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path):
    path = workbook(tmp_path / "table.xlsx", ["a"], *(["x"] * 1 for _ in range(2000)))
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        true_size = archive.getinfo(SHEET).file_size
    path.write_bytes(content.replace(true_size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    assert problems_of(path)[0].startswith(" not a readable XLSX workbook: ")


def test_an_archive_that_is_no_workbook_is_an_input_error(tmp_path):
    path = tmp_path / "table.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no workbook")
    assert problems_of(path)[0].startswith(" not a readable XLSX workbook: ")


def test_an_encrypted_workbook_is_an_input_error(tmp_path):
    path = workbook(tmp_path / "table.xlsx", ["a"], ["x"])
    content = bytearray(path.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        flag = {b"PK\x03\x04": 6, b"PK\x01\x02": 8}[start]
        position = content.find(start)
        while position >= 0:
            content[position + flag] |= 1
            position = content.find(start, position + 4)
    path.write_bytes(content)
    assert "encrypted" in problems_of(path)[0]


# --- damaged files of every kind


@pytest.fixture(scope="module")
def originals(folder):
    rows = [["record_id", "url", "label"], *([str(i), f"https://x.org/{i}", "NaN"] for i in range(6))]
    return {suffix: write(folder / f"original{suffix}", rows).read_bytes() for suffix in WRITERS}


flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def flipped(content, changes):
    damaged = bytearray(content)
    for share, byte in changes:
        damaged[int(share * len(damaged))] = byte
    return bytes(damaged)


def assert_table_or_input_error(path):
    problems = []
    try:
        table = read_table(path)
        assert len(table.frame) == len(table.lines) > 0
    except InputError as error:
        problems = error.problems
    assert all(problem.startswith(f"{path}:") for problem in problems)


@every_format
@quick
@given(changes=flips)
def test_flipped_bytes_give_a_table_or_an_input_error(folder, originals, suffix, changes):
    path = folder / f"flipped{suffix}"
    path.write_bytes(flipped(originals[suffix], changes))
    assert_table_or_input_error(path)


@pytest.fixture(scope="module")
def excel_parts(folder):
    strings = ["a", "b", "x", "NaN"]
    rows = "".join(
        f'<row r="{r}"><c r="A{r}" t="s"><v>{r % 4}</v></c><c r="B{r}" s="1"><v>{r}.5</v></c></row>'
        for r in range(2, 6)
    )
    path = with_shared_strings(folder / "excel.xlsx", strings, HEADER_ROW + rows)
    assert as_rows(read_table(path))[1] == ["x", "2.5"]
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@quick
@given(
    changes=flips,
    part=st.sampled_from([SHEET, SHEET, STRINGS, "xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml"]),
)
def test_flipped_bytes_inside_a_sound_archive_give_a_table_or_an_input_error(
    folder, excel_parts, changes, part
):
    path = folder / "inner.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in excel_parts.items():
            archive.writestr(name, flipped(content, changes) if name == part else content)
    assert_table_or_input_error(path)


@quick
@given(content=st.binary(max_size=300) | st.text('ab,"\n\r;é\x00', max_size=60).map(str.encode))
def test_any_bytes_as_csv_give_a_table_or_an_input_error(folder, content):
    path = folder / "any.csv"
    path.write_bytes(content)
    assert_table_or_input_error(path)
