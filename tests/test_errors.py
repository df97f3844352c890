"""What a user is told."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_faults.errors import SHOWN_CHARACTERS, InputError, nearest, shown


def test_every_problem_stands_on_its_own_line_and_the_count_ends_the_message():
    error = InputError(f"records.csv:{line}: wrong" for line in (2, 3))
    assert str(error).splitlines() == [
        "records.csv:2: wrong",
        "records.csv:3: wrong",
        "2 errors; nothing was written.",
    ]


def test_one_problem_is_one_error_not_errors():
    assert str(InputError("a.csv: no such file")) == "a.csv: no such file\n1 error; nothing was written."


def test_an_error_that_crosses_a_process_border_keeps_its_problems():
    error = InputError(["one", "two"])
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problems, str(copy)) == (error.problems, str(error))


@pytest.mark.parametrize(
    "written", ["mask_genration", "Mask_Generation", " mask generation ", "MASK_GENERATION"]
)
def test_a_slip_of_the_pen_gets_the_label_that_was_meant(written):
    assert nearest(written, ["dimension", "mask_generation"]) == "; did you mean `mask_generation`?"


@pytest.mark.parametrize(("written", "valid"), [("qwxyz", ["dimension"]), ("", ["dimension"]), ("a", [])])
def test_nothing_close_gets_no_hint(written, valid):
    assert nearest(written, valid) == ""


@given(st.text())
def test_what_is_shown_is_one_short_printable_line(text):
    line = shown(text)
    assert line.isprintable()
    assert len(line) <= len("\\U0010ffff") * SHOWN_CHARACTERS + len("...")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=SHOWN_CHARACTERS))
def test_plain_text_is_shown_as_it_is(text):
    assert shown(text) == text


def test_a_long_value_is_cut_and_says_so():
    assert shown("x" * 1000) == "x" * SHOWN_CHARACTERS + "..."
