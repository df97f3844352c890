"""Fault records: what is valid loads as it stands, and of what is not every bad cell is named."""

import csv
import io
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from attention_faults import settings
from attention_faults.errors import InputError, shown
from attention_faults.taxonomy import codebook, dataset
from attention_faults.taxonomy.codebook import Category, Codebook
from attention_faults.taxonomy.schema import NEEDED, Schema

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "data" / "faults" / "github_2026"

BOOK = Codebook(
    version="1",
    scopes={"attention_specific": "", "generic": ""},
    categories={
        "kv_cache": Category("attention_specific", "", {"stale_entries": "", "None": ""}),
        "training": Category("generic", "", {"learning_rate": "", "null": ""}),
    },
    facets={
        "symptom": dict.fromkeys(["crash", "NaN", "None", "null", "no", "NA", "=1+1", "+1", "-1", "@x"], ""),
        "trigger": dict.fromkeys(["none_stated", "long_input"], ""),
    },
    rules=[],
)
COLUMNS = {
    "record_id": {"from": "Id"},
    "url": {},
    "project": {},
    "scope": {},
    "category": {},
    "root_cause": {"from": "Root cause"},
    "symptom": {},
    "trigger": {},
    "created": {"kind": "date"},
    "number": {"kind": "integer"},
    "state": {"values": ["open", "closed"]},
    "secondary": {"vocabulary": "symptom"},
    "observed": {},
}


def schema_of(columns=COLUMNS, **others):
    content = {"title": "Made up for tests", "note": "synthetic", "columns": columns, **others}
    return settings.parse(Schema, content, "schema.yaml")


SCHEMA = schema_of()
HEADER = [SCHEMA.source_of(name) for name in COLUMNS]


def record(number, /, **changes):
    cells = {
        "record_id": f"r{number}",
        "url": f"https://github.com/a/b/issues/{number}",
        "project": "a/b",
        "scope": "generic",
        "category": "training",
        "root_cause": "learning_rate",
        "symptom": "crash",
        "trigger": "",
        "created": "2024-02-29",
        "number": str(number),
        "state": "open",
        "secondary": "",
        "observed": "",
    }
    assert set(changes) <= set(cells)
    return list((cells | changes).values())


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def write_parquet(path, rows):
    header, *body = rows
    columns = [pa.array(column, pa.string()) for column in zip(*body, strict=True)]
    pq.write_table(pa.table(columns, names=header), path)


def write_xlsx(path, rows):
    workbook = openpyxl.Workbook()
    for line, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            workbook.active.cell(line, column, value).data_type = "s"
    workbook.save(path)


WRITERS = {".csv": write_csv, ".parquet": write_parquet, ".xlsx": write_xlsx}
HEADER_LINES = {".csv": 1, ".parquet": 0, ".xlsx": 1}
every_format = pytest.mark.parametrize("suffix", WRITERS)


def write(path, rows, header=HEADER):
    WRITERS[path.suffix](path, [header, *rows])
    return path


def problems_of(path, schema=SCHEMA, book=BOOK):
    """Problems of a dataset, each of which names the file, and none of which left a file behind."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(InputError) as caught:
        dataset.load(path, schema, book)
    assert sorted(path.parent.iterdir()) == before
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def problem(line, column, value, message):
    return f"{line}: column `{column}`: `{value}` {message}"


# --- what is valid


def test_the_embedded_dataset_equals_its_file_cell_by_cell(book):
    schema = settings.read(Schema, EMBEDDED / "schema.yaml")
    records = dataset.load(EMBEDDED / "records.csv", schema, book)
    with (EMBEDDED / "records.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert (len(records), records["project"].nunique()) == (590, 277)
    assert [list(records.columns), *records.astype("str").to_numpy().tolist()] == [header, *rows]


def test_labels_are_categoricals_in_codebook_order(book, records):
    loaded = dataset.load(EMBEDDED / "records.csv", settings.read(Schema, EMBEDDED / "schema.yaml"), book)
    pd.testing.assert_frame_equal(loaded, records)
    for name in book.columns:
        assert loaded[name].cat.categories.tolist() == book.labels(name)


@every_format
def test_labels_that_look_like_missing_values_or_formulas_are_kept(tmp_path, suffix):
    labels = BOOK.labels("symptom")
    rows = [record(i, symptom=label, secondary=label, observed=label) for i, label in enumerate(labels)]
    rows[0] = record(0, scope="attention_specific", category="kv_cache", root_cause="None")
    rows[1] = record(1, root_cause="null", symptom="NaN", secondary="NaN", observed="NaN")
    records = dataset.load(write(tmp_path / f"faults{suffix}", rows), SCHEMA, BOOK)
    for name in ("symptom", "root_cause", "secondary", "observed"):
        column = list(COLUMNS).index(name)
        assert records[name].tolist() == [row[column] for row in rows]
    assert not records[["symptom", "root_cause", "category", "scope"]].isna().any(axis=None)


@every_format
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "'="])
def test_cells_that_a_spreadsheet_would_run_are_kept_as_text(tmp_path, suffix, start):
    text = f'{start}HYPERLINK("http://x.org","a")'
    path = write(tmp_path / f"faults{suffix}", [record(1, observed=text, project=text)])
    records = dataset.load(path, SCHEMA, BOOK)
    assert (records["observed"][0], records["project"][0]) == (text, text)


@every_format
@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_optional_label_is_missing_and_an_empty_optional_text_is_empty(tmp_path, suffix, empty):
    path = write(
        tmp_path / f"faults{suffix}", [record(1, trigger=empty, state=empty, created=empty, number=empty)]
    )
    row = dataset.load(path, SCHEMA, BOOK).loc[0]
    assert pd.isna(row["trigger"])
    assert row[["state", "created", "number"]].tolist() == ["", "", ""]


@pytest.mark.parametrize("columns", [COLUMNS, {name: COLUMNS[name] for name in COLUMNS if name != "scope"}])
def test_a_scope_that_is_not_given_follows_from_the_category(tmp_path, columns):
    rows = [record(1, scope=""), record(2, category="kv_cache", root_cause="None", scope="")]
    records = dataset.load(write(tmp_path / "faults.csv", rows), schema_of(columns), BOOK)
    assert records["scope"].tolist() == ["generic", "attention_specific"]
    assert records["scope"].cat.categories.tolist() == ["attention_specific", "generic"]


@pytest.mark.parametrize(
    "again",
    [
        "http://github.com/a/b/issues/1",
        "https://GitHub.com/a/b/issues/1/",
        "https://github.com/a/b/issues/1#note",
    ],
)
def test_one_thread_under_two_addresses_is_a_duplicate(tmp_path, again):
    rows = [record(1, url="https://github.com/a/b/issues/1"), record(2, url=again)]
    assert problems_of(write(tmp_path / "faults.csv", rows)) == [
        f"3: column `url`: `{again}` stands in line 2 already, expected once"
    ]


def test_created_is_a_date_whatever_the_map_says(tmp_path):
    rows = [record(1, created="Jan 2025")]
    path = write(tmp_path / "faults.csv", rows)
    found = problems_of(path, schema_of({**COLUMNS, "created": {}}))
    assert found == ["2: column `created`: `Jan 2025` is not a date; expected YYYY-MM-DD"]


def test_columns_that_are_not_mapped_are_left_out(tmp_path):
    header = [*HEADER[:-1], "not mapped"]
    path = write(tmp_path / "faults.csv", [record(1, observed="\x00")], header)
    mapped = {name: column for name, column in COLUMNS.items() if name != "observed"}
    assert list(dataset.load(path, schema_of(mapped), BOOK)) == list(mapped)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/a/b/issues/1",
        "http://x.org",
        "https://x.org:8080/a?b=c#d",
        "https://x.org#d",
        "https://stackoverflow.com/q/1?x=@y",
        "https://münchen.example/ä",
        "http://127.0.0.1/",
    ],
)
def test_addresses_on_the_web_are_valid(tmp_path, url):
    assert dataset.load(write(tmp_path / "faults.csv", [record(1, url=url)]), SCHEMA, BOOK)["url"][0] == url


@every_format
def test_records_survive_being_written_and_read_again(tmp_path, suffix):
    rows = [record(1, trigger="long_input", symptom="NaN", observed="None"), record(2, secondary="null")]
    records = dataset.load(write(tmp_path / f"faults{suffix}", rows), SCHEMA, BOOK)
    dataset.write(records, tmp_path / "records.parquet")
    pd.testing.assert_frame_equal(dataset.read(tmp_path / "records.parquet", BOOK), records)
    again = (tmp_path / "records.parquet").read_bytes()
    dataset.write(records, tmp_path / "records.parquet")
    assert (tmp_path / "records.parquet").read_bytes() == again


def test_a_column_without_any_label_survives_being_written(tmp_path):
    records = dataset.load(write(tmp_path / "faults.csv", [record(1)]), SCHEMA, BOOK)
    assert records["trigger"].isna().all()
    dataset.write(records, tmp_path / "records.parquet")
    pd.testing.assert_frame_equal(dataset.read(tmp_path / "records.parquet", BOOK), records)


# --- one bad cell, in each format

NEXT_TO_NOTHING = "is not in the codebook"
BAD_URL = "is not a URL; expected http:// or https:// and a host"
BAD_DATE = "is not a date; expected YYYY-MM-DD"
BAD_INTEGER = "is not a whole number"
BAD_CELLS = [
    *((name, empty, "is empty, expected a value") for name in NEEDED for empty in ("", "  ", "\u3000")),
    ("root_cause", "stale_entires", f"{NEXT_TO_NOTHING}; did you mean `stale_entries`?"),
    ("root_cause", "Learning Rate", f"{NEXT_TO_NOTHING}; did you mean `learning_rate`?"),
    ("category", "KV_CACHE", f"{NEXT_TO_NOTHING}; did you mean `kv_cache`?"),
    ("category", "training ", f"{NEXT_TO_NOTHING}; did you mean `training`?"),
    ("scope", "attention", f"{NEXT_TO_NOTHING}; did you mean `attention_specific`?"),
    ("scope", "Generic", f"{NEXT_TO_NOTHING}; did you mean `generic`?"),
    ("symptom", "qqqqq", NEXT_TO_NOTHING),
    ("symptom", "nan", f"{NEXT_TO_NOTHING}; did you mean `NaN`?"),
    ("symptom", "crash; NaN", f"{NEXT_TO_NOTHING}; did you mean `crash`?"),
    ("trigger", "long input", f"{NEXT_TO_NOTHING}; did you mean `long_input`?"),
    ("secondary", "crsh", f"{NEXT_TO_NOTHING}; did you mean `crash`?"),
    ("state", "opened", "is not one of open, closed; did you mean `open`?"),
    ("state", "=open", "is not one of open, closed; did you mean `open`?"),
    ("root_cause", "stale_entries", "belongs to category `kv_cache`, but the row says `training`"),
    *(
        ("created", day, BAD_DATE)
        for day in (
            "2025-02-30", "2025-2-3", "20250203", "2025-13-01", "2023-02-29", "0000-00-00", "03/02/2025",
            "2025-02-03T00:00:00", " 2025-02-03", "2025-02-03 ", "202\uff15-02-03", "yesterday", "45691", "-",
        )
    ),
    *(
        ("url", url, BAD_URL)
        for url in (
            "ftp://x.org/a", "javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//x.org/a",
            "x.org/a", "http://", "https:///a", "https://?a", "http://:80/a", "https://.", "http:/x.org",
            "https:x.org", "https://x.org/a b", " https://x.org/a", "https://x.org/b\n", "https://x.org/\u00a0a",
            "https://x .org", "https://user@x.org/a", "https://github.com:x@evil.org/", "https://github.com\\@evil.org/",
            "https://github.com%40@evil.org", "https://x.org\\a", "https://x.org:port/", "https://x.org:123456/",
            "javascript:https://x.org/", "HTTPS//x.org", "=https://x.org/", "https://[::1", "https://@/",
        )
    ),
    *(("number", number, BAD_INTEGER) for number in ("1.5", "1e3", "x", "\uff11", "0x1", "1,000", "1 ")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"), BAD_CELLS, ids=[f"{name}-{value}" for name, value, _ in BAD_CELLS]
)
def test_a_bad_cell_is_named_with_line_column_value_and_what_was_expected(tmp_path, name, value, message):
    path = write(tmp_path / "faults.csv", [record(1), record(2, **{name: value}), record(3)])
    assert problems_of(path) == [problem(3, SCHEMA.source_of(name), shown(value), message)]


@every_format
def test_all_bad_cells_are_reported_in_one_run_in_each_format(tmp_path, suffix):
    rows, expected, line = [], [], HEADER_LINES[suffix]
    for number, (name, value, message) in enumerate(BAD_CELLS):
        line += 1
        rows.append(record(number, **{name: value}))
        expected.append(problem(line, SCHEMA.source_of(name), shown(value), message))
        line += value.count("\n") * (suffix == ".csv")
    assert problems_of(write(tmp_path / f"faults{suffix}", rows)) == expected


@every_format
def test_a_category_of_another_scope_is_reported(tmp_path, suffix):
    path = write(tmp_path / f"faults{suffix}", [record(1, scope="attention_specific")])
    message = "belongs to scope `generic`, but the row says `attention_specific`"
    assert problems_of(path) == [problem(HEADER_LINES[suffix] + 1, "category", "training", message)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", ["record_id", "url", "symptom", "observed"])
def test_control_characters_are_reported_in_a_form_that_does_no_harm(tmp_path, suffix, name):
    characters = ["\x00", "\x07", "\x0c", "\x1b", "\x7f", "\x85", "\x9b"]
    rows = [record(number, **{name: f"a{character}{number}"}) for number, character in enumerate(characters)]
    expected = [
        problem(
            line, SCHEMA.source_of(name), f"a\\x{ord(character):02x}{number}", "holds a control character"
        )
        for number, (line, character) in enumerate(enumerate(characters, start=HEADER_LINES[suffix] + 1))
    ]
    assert problems_of(write(tmp_path / f"faults{suffix}", rows)) == expected


@every_format
@pytest.mark.parametrize(
    ("name", "first", "again"),
    [
        ("record_id", "r1", "r1"),
        ("record_id", "r1", " r1"),
        ("url", "https://x.org/a", "https://x.org/a"),
        ("url", "https://x.org/a", "https://x.org/a/"),
    ],
)
def test_every_repetition_names_the_line_of_the_first(tmp_path, suffix, name, first, again):
    rows = [
        record(0),
        record(1, **{name: first}),
        record(2, **{name: again}),
        record(3),
        record(4, **{name: again}),
    ]
    found = problems_of(write(tmp_path / f"faults{suffix}", rows))
    start, column = HEADER_LINES[suffix], SCHEMA.source_of(name)
    message = f"stands in line {start + 2} already, expected once"
    assert found == [problem(start + 3, column, again, message), problem(start + 5, column, again, message)]


def test_a_column_may_be_declared_unique(tmp_path):
    schema = schema_of({**COLUMNS, "observed": {"unique": True}})
    path = write(
        tmp_path / "faults.csv", [record(1), record(2), record(3, observed="x"), record(4, observed="x")]
    )
    message = "stands in line 4 already, expected once"
    assert problems_of(path, schema) == [problem(5, "observed", "x", message)]


# --- many bad rows at once

SLIPS = {
    "record_id": ["", " "],
    "url": ["ftp://x.org/1", "x"],
    "project": [""],
    "category": ["trainng", ""],
    "root_cause": ["learning_rat", ""],
    "symptom": ["crsh", "\t"],
    "trigger": ["long"],
    "created": ["2025-02-30"],
    "number": ["one"],
    "state": ["ajar"],
    "observed": ["\x00"],
}
bad_rows = st.dictionaries(st.sampled_from(sorted(SLIPS)), st.integers(0, 1), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dataset")


@hypothesis_settings(max_examples=80, deadline=None, derandomize=True)
@given(
    slips=st.lists(bad_rows, min_size=1, max_size=12),
    breaks=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    blanks=st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_exactly_the_bad_cells_are_reported_each_with_its_real_line(folder, slips, breaks, blanks):
    text, expected = ",".join(HEADER) + "\n", set()
    for number, (slip, lines, empty) in enumerate(zip(slips, breaks, blanks, strict=False)):
        changes = {name: SLIPS[name][which % len(SLIPS[name])] for name, which in slip.items()}
        text += "\n" * empty
        expected |= {(1 + text.count("\n"), SCHEMA.source_of(name)) for name in changes}
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerow(
            record(number, **{"observed": "x\n" * lines} | changes)
        )
        text += stream.getvalue()
    path = folder / "slips.csv"
    path.write_text(text)
    if expected:
        found = [message.split(":")[:2] for message in problems_of(path)]
        assert {(int(line), column.split("`")[1]) for line, column in found} == expected
        assert [int(line) for line, _ in found] == sorted(int(line) for line, _ in found)
    else:
        assert len(dataset.load(path, SCHEMA, BOOK)) == len(slips)


def test_unreadable_rows_and_bad_cells_are_reported_in_one_run(tmp_path):
    path = tmp_path / "faults.csv"
    write(path, [record(1, symptom="crsh"), record(2), record(3, symptom="crsh"), record(4), record(5)])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"too,few\r\n"
    lines[4] = lines[4].replace(b"a/b,", b"caf\xe9,")
    lines[5] = lines[5].replace(b"crash", b'"cra"sh')
    path.write_bytes(b"".join(lines))
    assert [message.split(":")[0] for message in problems_of(path)] == ["2", "3", "4", "5", "6"]


def test_two_slips_in_one_row_are_two_errors(tmp_path):
    path = write(tmp_path / "faults.csv", [record(1, symptom="crsh", created="today")])
    assert len(problems_of(path)) == 2


@every_format
def test_of_a_hundred_thousand_bad_rows_each_is_reported(folder, suffix):
    count = 100_000 if suffix == ".csv" else 1000
    rows = [record(i, root_cause=f"stale_{i}", symptom="crsh", url=f"ftp://x.org/{i}") for i in range(count)]
    found = problems_of(write(folder / f"all_bad{suffix}", rows))
    assert len(found) == 3 * count
    assert found[0].startswith(f"{HEADER_LINES[suffix] + 1}:")
    assert found[-1].startswith(f"{HEADER_LINES[suffix] + count}:")


def test_a_long_value_is_cut_in_the_message(tmp_path):
    path = write(
        tmp_path / "faults.csv", [record(1, symptom="x" * 100_000, url="https://" + "x" * 100_000 + " ")]
    )
    assert all(len(message) < 250 for message in problems_of(path))


# --- the column map


@every_format
def test_columns_that_are_not_there_are_listed_with_those_that_are(tmp_path, suffix):
    header = ["id", "URL", *HEADER[2:]]
    path = write(tmp_path / f"faults{suffix}", [record(1)], header)
    where = " " if suffix == ".parquet" else "1: "
    columns = ", ".join(f"`{name}`" for name in header)
    seen = f"sheet `Sheet` has the columns {columns}" if suffix == ".xlsx" else f"the columns {columns}"
    assert problems_of(path) == [
        f"{where}there is no column `Id`; did you mean `id`?",
        f"{where}there is no column `url`; did you mean `URL`?",
        f"{where}found: {seen}",
    ]


def test_an_unfinished_column_map_tells_what_every_sheet_holds(tmp_path):
    workbook = openpyxl.Workbook()
    workbook.active.append(["Link", "Repo"])
    workbook.active.append(["x", "y"])
    workbook.create_sheet("Notes").append(["Who"])
    workbook.save(tmp_path / "faults.xlsx")
    found = problems_of(tmp_path / "faults.xlsx", schema_of({"urls": {"from": "Link"}}, sheet="Sheet"))
    assert found == [
        "1: the column map does not map `record_id`, which every analysis needs",
        "1: the column map does not map `url`, which every analysis needs; did you mean `urls`?",
        *(f"1: the column map does not map `{name}`, which every analysis needs" for name in NEEDED[2:]),
        "1: found: sheet `Sheet` has the columns `Link`, `Repo`; sheet `Notes` has the columns `Who`",
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"secondary": {"vocabulary": "symptoms"}},
            "`secondary`: vocabulary `symptoms` is not in the codebook; did you mean `symptom`?",
        ),
        (
            {"symptom": {"vocabulary": "trigger"}},
            "`symptom`: its labels are those of `symptom`, not of `trigger`",
        ),
        (
            {"category": {"labels": {"A": "kv_cahce", "B": "training", "C": ""}}},
            "`category`: label `kv_cahce` is not in the codebook; did you mean `kv_cache`?",
        ),
        (
            {"state": {"values": ["open"], "labels": {"o": "opened"}}},
            "`state`: label `opened` is not one of open; did you mean `open`?",
        ),
    ],
)
def test_a_column_map_that_contradicts_the_codebook_is_an_error(tmp_path, columns, expected):
    path = write(tmp_path / "faults.csv", [record(1)])
    assert problems_of(path, schema_of(COLUMNS | columns))[0] == f"1: the column map of {expected}"


def test_a_missing_column_does_not_hide_rows_that_cannot_be_read(tmp_path):
    path = tmp_path / "faults.csv"
    path.write_bytes(b"Id,url\n1\n2,\xff\n")
    assert [message.split(":")[0] for message in problems_of(path)[:2]] == ["2", "3"]


def test_a_mapped_column_must_be_there_even_if_its_cells_may_be_empty(tmp_path):
    path = write(tmp_path / "faults.csv", [record(1)], [*HEADER[:-1], "seen"])
    assert problems_of(path)[0] == "1: there is no column `observed`"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"pattern": "("}, "pattern`: not a regular expression: missing ), unterminated subpattern"),
        ({"pattern": "a{99999999999}"}, "pattern`: not a regular expression"),
        ({"pattern": "github.com/.*"}, "pattern`: expected a group in parentheses, which becomes the value"),
        ({"patern": "(a)"}, "unknown key `columns.project.patern`; did you mean `pattern`?"),
        ({"form": "Repo"}, "unknown key `columns.project.form`; did you mean `from`?"),
        ({"kind": "Date"}, "kind`: input should be 'text', 'url', 'date' or 'integer', found `Date`"),
        ({"required": "perhaps"}, "required`: input should be a valid boolean"),
        ({"values": [True]}, "values.0`: input should be a valid string, found `True`"),
        ("Repo", "project`: expected a mapping with keys among from, pattern"),
    ],
)
def test_a_wrong_entry_of_the_column_map_is_an_input_error(column, expected):
    with pytest.raises(InputError) as caught:
        schema_of({**COLUMNS, "project": column})
    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]


def test_every_wrong_entry_of_a_schema_file_is_reported_at_once(tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text("titel: x\ncolumns:\n  url: {pattern: '('}\n  url2: {kinds: url}\nnote: [3]\n")
    with pytest.raises(InputError) as caught:
        settings.read(Schema, path)
    assert len(caught.value.problems) == 5
    assert f"{path}: unknown key `titel`; did you mean `title`?" in caught.value.problems


# --- patterns and translations


def test_a_cell_without_the_pattern_is_shown_as_it_stands(tmp_path):
    schema = schema_of({**COLUMNS, "project": {"from": "url", "pattern": r"github\.com/([^/]+/[^/]+)"}})
    path = write(tmp_path / "faults.csv", [record(1), record(2, url="https://x.org/2")])
    message = r"holds no `github\.com/([^/]+/[^/]+)`, expected a value"
    assert problems_of(path, schema) == [problem(3, "url", "https://x.org/2", message)]


@pytest.mark.parametrize("pattern", [r"(?P<name>a)/", r"(?i)(A)/", r"^(\w)/(\w)", r"((?<=)a)"])
def test_the_first_group_of_any_pattern_is_the_value(tmp_path, pattern):
    schema = schema_of({**COLUMNS, "project": {"pattern": pattern}})
    assert dataset.load(write(tmp_path / "faults.csv", [record(1)]), schema, BOOK)["project"][0] == "a"


def test_translated_labels_are_reported_as_they_stand_in_the_file(tmp_path):
    schema = schema_of(
        {**COLUMNS, "root_cause": {"from": "Root cause", "labels": {"Stale": "stale_entries"}}}
    )
    path = write(tmp_path / "faults.csv", [record(1, root_cause="Stale"), record(2, root_cause="stael")])
    assert problems_of(path, schema) == [
        problem(2, "Root cause", "Stale", "belongs to category `kv_cache`, but the row says `training`"),
        problem(3, "Root cause", "stael", f"{NEXT_TO_NOTHING}; did you mean `Stale`?"),
    ]


def test_labels_are_translated_once_even_when_they_swap(tmp_path):
    labels = {"crash": "NaN", "NaN": "crash", "-": ""}
    schema = schema_of(
        {**COLUMNS, "symptom": {"labels": labels}, "secondary": {"vocabulary": "symptom", "labels": labels}}
    )
    path = write(
        tmp_path / "faults.csv", [record(1, symptom="crash", secondary="NaN"), record(2, secondary="-")]
    )
    records = dataset.load(path, schema, BOOK)
    assert (records["symptom"].tolist(), records["secondary"].tolist()) == (["NaN", "NaN"], ["crash", ""])


# --- somebody else's dataset, by configuration alone

FOREIGN_CODEBOOK = """
version: "2024-b"
scopes: {attention_specific: Aufmerksamkeit, other: Sonstiges}
categories:
  "no": {scope: attention_specific, definition: kein Cache, root_causes: ["null", 1.0]}
  Maske: {scope: attention_specific, root_causes: {zu kurz: Die Maske endet zu früh.}}
  Rest: {scope: other, root_causes: [NaN]}
symptoms: [Absturz, None, "007"]
"""
FOREIGN_SCHEMA = """
title: Fehler in Transformern
note: Zweiter Datensatz, erfunden.
limits: [erfunden]
sheet: Fehler
columns:
  record_id: {from: Nr., required: true}
  url: {from: Verweis}
  project: {from: Verweis, pattern: "^https://gitlab\\\\.example/([^/]+/[^/]+)/"}
  category: {from: Art, labels: {Cache: "no"}}
  root_cause: {from: Ursache, labels: {leer: "null", eins: "1.0"}}
  symptom: {from: Wirkung, labels: {"-": None}}
  created: {from: Tag, kind: date}
"""


def test_a_dataset_of_another_shape_loads_through_its_own_column_map_and_codebook(tmp_path):
    (tmp_path / "codebook.yaml").write_text(FOREIGN_CODEBOOK, encoding="utf-8")
    (tmp_path / "schema.yaml").write_text(FOREIGN_SCHEMA, encoding="utf-8")
    workbook = openpyxl.Workbook()
    workbook.active.append(["Hinweise"])
    sheet = workbook.create_sheet("Fehler")
    sheet.append(["Fehler in Transformern"][:0])
    sheet.append(["Nr.", "Verweis", "Art", "Ursache", "Wirkung", "Tag", "intern"])
    link = "https://gitlab.example/gruppe/modell/-/issues/"
    sheet.append([1, f"{link}1", "Cache", "leer", "Absturz", pd.Timestamp("2024-02-29"), 0.5])
    sheet.append([2, f"{link}2", "Cache", "eins", "-", None, None])
    sheet.append([3, f"{link}3", "Maske", "zu kurz", "007", "2024-03-01", None])
    sheet.append([4, f"{link}4", "Rest", "NaN", "None", None, "=1+1"])
    workbook.save(tmp_path / "faults.xlsx")

    book = codebook.load(tmp_path / "codebook.yaml")
    schema = settings.read(Schema, tmp_path / "schema.yaml")
    records = dataset.load(tmp_path / "faults.xlsx", schema, book)

    assert records.astype("str").to_dict("list") == {
        "record_id": ["1", "2", "3", "4"],
        "url": [f"{link}{i}" for i in (1, 2, 3, 4)],
        "project": ["gruppe/modell"] * 4,
        "category": ["no", "no", "Maske", "Rest"],
        "root_cause": ["null", "1.0", "zu kurz", "NaN"],
        "symptom": ["Absturz", "None", "007", "None"],
        "created": ["2024-02-29", "", "2024-03-01", ""],
        "scope": ["attention_specific", "attention_specific", "attention_specific", "other"],
    }
    assert {name for name in records if records[name].dtype == "category"} == {
        "scope",
        "category",
        "root_cause",
        "symptom",
    }


# --- damage


@pytest.fixture(scope="module")
def originals(folder):
    rows = [record(i, observed="ä") for i in range(8)]
    return {suffix: write(folder / f"sound{suffix}", rows).read_bytes() for suffix in WRITERS}


@every_format
@hypothesis_settings(max_examples=100, deadline=None, derandomize=True)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_flipped_bytes_give_valid_records_or_an_input_error(folder, originals, suffix, changes):
    content = bytearray(originals[suffix])
    for share, byte in changes:
        content[int(share * len(content))] = byte
    path = folder / f"damaged{suffix}"
    path.write_bytes(content)
    problems = []
    try:
        records = dataset.load(path, SCHEMA, BOOK)
        assert not records[["category", "root_cause", "symptom", "scope"]].isna().any(axis=None)
    except InputError as error:
        problems = error.problems
    assert all(message.startswith(f"{path}:") for message in problems)
