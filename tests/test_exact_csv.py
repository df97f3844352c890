"""What is written as CSV is read back, and no cell of it is a formula."""

import csv

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attention_faults import exact_csv

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
any_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(
    st.lists(st.tuples(any_text, st.floats(), st.integers(-(2**53), 2**53)), min_size=1, max_size=5),
    any_text.filter(bool),
)
def test_what_is_written_as_csv_is_read_back(tmp_path, rows, name):
    frame = pd.DataFrame(rows, columns=[f"{name}1", f"{name}2", f"{name}3"])
    exact_csv.write_csv(frame, tmp_path / "x.csv")
    back = exact_csv.read(tmp_path / "x.csv")
    if not any(frame[f"{name}1"]):
        back[f"{name}1"] = ""  # a column without a value is numeric
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_labels_that_look_like_something_else_stay_text(tmp_path):
    labels = ["NaN", "None", "null", "007", "1e5", "True", "'-x", "-x"]
    exact_csv.write_csv(pd.DataFrame({"label": labels}), tmp_path / "x.csv")
    assert list(exact_csv.read(tmp_path / "x.csv")["label"]) == labels
    assert list(exact_csv.read_text(tmp_path / "x.csv")["label"]) == labels


def test_a_table_without_rows_is_read_back_with_its_columns(tmp_path):
    exact_csv.write_csv(pd.DataFrame({"a": [], "b": []}), tmp_path / "x.csv")
    assert list(exact_csv.read(tmp_path / "x.csv")) == ["a", "b"]


@quick
@given(st.lists(any_text, min_size=1, max_size=5), st.sampled_from(FORMULA_STARTS), any_text)
def test_no_text_of_the_csv_begins_like_a_formula(tmp_path, texts, start, rest):
    frame = pd.DataFrame({f"{start}{rest}": [*texts, f"{start}{rest}"]})
    exact_csv.write_csv(frame, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]


def test_escaping_for_spreadsheets_leaves_numbers_and_other_text_alone():
    frame = pd.DataFrame({"n": [-1.5, np.nan], "t": ["it's", "-1.5"]}, index=[7, 8])
    escaped = exact_csv.escape_spreadsheet(frame)
    pd.testing.assert_series_equal(escaped["n"], frame["n"])
    assert list(escaped["t"]) == ["it's", "'-1.5"]
    assert list(escaped.index) == [7, 8]
