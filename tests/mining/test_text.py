"""Text comes out clean, and no person's name or address with it."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_faults.errors import InputError
from attention_faults.mining import privacy, text
from attention_faults.mining.privacy import Pseudonyms

PSEUDONYMS = Pseudonyms(b"a salt")


@given(st.text())
def test_plain_text_has_no_control_characters_and_loses_no_other(raw: str) -> None:
    clean = text.plain(raw)
    assert not [c for c in clean if unicodedata.category(c)[0] == "C" and c not in "\t\n\u200c\u200d"]
    assert text.plain(clean) == clean
    if "\x1b" not in raw:
        letters = [c for c in raw if unicodedata.category(c)[0] != "C"]
        assert [c for c in clean if unicodedata.category(c)[0] != "C"] == letters


@given(st.text())
def test_titles_are_one_line(raw: str) -> None:
    title = text.title(raw)
    assert "\n" not in title
    assert title == title.strip()


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<b>bold</b> &amp; <img src=x onerror=alert(1)> x", "bold & x"),
        ("Loss of <pad> and </s> tokens, <mask>", "Loss of <pad> and </s> tokens, <mask>"),
        ("a < b and c > d", "a < b and c > d"),
        ("<<b>b>bold<</b>/b>", "bold"),
        ("red \x1b[31mtext\x1b[0m", "red text"),
        ("two\r\nlines\x00", "two lines"),
        ("\u202eright to left", "right to left"),
        ("half \ud800 pair", "half pair"),
    ],
)
def test_titles_lose_markup_and_keep_tokens(raw: str, clean: str) -> None:
    assert text.title(raw) == clean


def test_html_becomes_lines_of_text() -> None:
    html = "<p>One <code>x &lt; y</code></p><script>evil()</script><ul><li>a<li>b</ul><p>Two<br>three"
    assert [line for line in text.from_html(html).split("\n") if line] == [
        "One x < y",
        "a",
        "b",
        "Two",
        "three",
    ]


def test_tags_without_end_are_text_and_cannot_make_reading_slow() -> None:
    assert text.from_html("a < b <i>or</i> <c") == "a < b or <c"
    assert text.from_html("<a " * 50_000) == " ".join(["<a"] * 50_000)


def test_unclosed_script_hides_the_rest_only() -> None:
    assert text.from_html("before<script>evil(") == "before"


def test_markdown_keeps_its_marks_and_loses_hidden_comments() -> None:
    assert text.markdown("<!-- fill in -->\n**bold** `x`\x07\r\n<!-- open") == "**bold** `x`"


def test_names_and_addresses_are_hashed_by_salt() -> None:
    hidden = PSEUDONYMS.hide("Ask @Anna or anna.b+c@mail.example.org, not @torch.jit.script", ["anna"])
    assert hidden == (
        f"Ask @{PSEUDONYMS.of('anna')} or {PSEUDONYMS.of('anna.b+c@mail.example.org')}, not @torch.jit.script"
    )
    assert PSEUDONYMS.of("anna") == PSEUDONYMS.of(" Anna ") != Pseudonyms(b"another").of("anna")
    assert PSEUDONYMS.of("") == ""


@given(
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10})?@[a-z]{1,10}\.(org|com|co\.uk)", fullmatch=True),
    st.text(),
)
def test_no_address_is_left(address: str, around: str) -> None:
    hidden = PSEUDONYMS.hide(f"{around} <{address}> {around}")
    assert address not in hidden


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("\u8054\u7cfb{address}\u7684", "\u7684"),  # scripts without blanks
        ("\u8054" * 80 + "{address}", None),
        ("_{address}_", "_"),
        ("{address}-", "-"),
        ("<{address}>", "<>"),
        ("{address}(work)", ")"),
    ],
)
def test_no_address_is_left_whatever_touches_it(written: str, left: str | None) -> None:
    hidden = PSEUDONYMS.hide(written.format(address="anna.b@mail.example.org"))
    assert "@" not in hidden
    assert "anna" not in hidden
    assert left is None or hidden.endswith(left[-1])


@pytest.mark.parametrize("written", ["\u95ee@Anna\u7684", "_@anna_", "(@ANNA)", "@anna's", "@anna, @anna."])
def test_no_name_is_left_whatever_touches_it(written: str) -> None:
    assert "anna" not in PSEUDONYMS.hide(written, ["anna", "an"]).lower()


@pytest.mark.parametrize("written", ["@anna-b", "@anna.b", "@annab", "b@anna"])
def test_other_names_stay(written: str) -> None:
    assert PSEUDONYMS.hide(written, ["anna"]) == written


def test_addresses_cannot_make_hashing_slow() -> None:
    hostile = "a" * 50_000 + "@" + "a." * 50_000
    assert PSEUDONYMS.hide(hostile) is not None
    assert not re.search(r"@b\.org", PSEUDONYMS.hide("x@b.org " * 1000))


def test_salt_is_drawn_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = privacy.of_archive(tmp_path)
    assert privacy.of_archive(tmp_path) == first
    assert privacy.of_archive(tmp_path / "other") != first
    assert len(first.salt) == 32
    assert (tmp_path / "salt").stat().st_mode & 0o077 == 0
    (tmp_path / "salt").write_text("no salt")
    with pytest.raises(InputError, match="expected a salt of hexadecimal digits"):
        privacy.of_archive(tmp_path)
    (tmp_path / "salt").write_text("")
    with pytest.raises(InputError, match="expected a salt of at least 16 bytes, found 0"):
        privacy.of_archive(tmp_path)
