"""Screening against a small independent one in Python, on planted duplicates and threads of every kind."""

import itertools
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from attention_faults.labelling import candidates
from attention_faults.mining import deduplication, funnel, outcome, sampling, screening, table
from attention_faults.mining.criteria import Criteria, Length, Sample
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.thread import SOURCES, Thread

START = datetime(2024, 1, 1, tzinfo=UTC)
KEYWORDS = ["attention_mask", "KV cache", "attention"]
PROSE = (
    "When I pass an attention mask to the model all weights of the padded keys should be zero but they are "
    "not, and the loss becomes NaN after the first step of training on two devices."
)
LENIENT = Criteria(characters=Length(least=0, most=10**6), keywords=0, evidence=[], languages=[])
STRICT = Criteria(
    near_duplicates=0.8,
    characters=Length(least=60, most=2000),
    keywords=1,
    evidence=["linked_fix", "merged", "accepted_answer"],
    languages=["en"],
)


def thread(number: int, **other) -> Thread:
    given = {
        "source": "github", "url": f"https://github.com/a/b/issues/{number}", "kind": "issue",
        "project": "a/b",
        "title": f"Attention fails in way {number}", "body": f"{PROSE} Case {number}.", "state": "closed",
        "created": START + timedelta(days=number), "fix_url": f"https://github.com/a/b/commit/{number}",
    }  # fmt: skip
    return Thread(**(given | other))


def screened(folder, threads, criteria=LENIENT, files=1):
    paths = [folder / f"{number}.parquet" for number in range(files)]
    for number, path in enumerate(paths):
        table.write(threads[number::files], path)
    screening.screen(paths, folder / "candidates.parquet", criteria=criteria, keywords=KEYWORDS)
    return parquet.read_table(folder / "candidates.parquet").to_pylist()


def test_words_of_a_keyword_may_stand_on_two_lines(tmp_path):
    said = thread(1, title="Wrong mask", body="The KV\n  cache is read before it is written. kv cache!")
    two = LENIENT.model_copy(update={"keywords": 2})
    one = LENIENT.model_copy(update={"keywords": 1})
    assert [row["kept"] for row in screened(tmp_path, [said], one)] == [True]
    assert [row["reason"] for row in screened(tmp_path, [said], two)] == ["off_topic"]


def reasons(rows):
    return {row["url"].rpartition("/")[2]: row["reason"] for row in rows}


def originals(rows):
    return {
        row["url"].rpartition("/")[2]: (row["duplicate_of"] or "").rpartition("/")[2]
        for row in rows
        if row["duplicate_of"]
    }


def text_of(number: int, words: int = 60) -> str:
    """Words that no other number draws in this order."""
    draw = random.Random(number)
    return " ".join(f"w{draw.randrange(5000)}" for _ in range(words))


def test_the_table_holds_all_columns_of_a_thread_as_they_were(tmp_path):
    found = [
        thread(1, labels=("bug", "x"), updated=START, comments=3, discussion="Yes.\n\nNo."),
        thread(2, fix_url=None),
    ]
    rows = screened(tmp_path, found)
    added = {"evidence", "kept", "reason", "duplicate_of"}
    kept = [{name: value for name, value in row.items() if name not in added} for row in rows]
    assert kept == list(map(vars_of, found))
    schema = parquet.read_schema(tmp_path / "candidates.parquet")
    assert schema.names == [*table.SCHEMA.names, "evidence", "kept", "reason", "duplicate_of"]
    assert {str(schema.field(name).type) for name in ("created", "updated", "closed")} == {
        "timestamp[us, tz=UTC]"
    }


def vars_of(found: Thread) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(found).items()}


def test_a_thread_that_several_queries_found_is_kept_once_as_last_updated(tmp_path):
    old = thread(1, query="first", updated=START, body="Old. " + PROSE)
    new = replace(old, query="second", updated=START + timedelta(days=9), body="New. " + PROSE)
    rows = screened(tmp_path, [old, new, thread(2)])
    assert [(row["query"], row["reason"]) for row in rows[:2]] == [("second", None), ("first", "same_url")]
    assert rows[1]["duplicate_of"] == rows[0]["url"]


def test_cross_posts_are_found_across_sources_and_markup(tmp_path):
    asked = thread(
        1,
        title="**NaN** in `softmax`?",
        body="The *loss* is NaN:\n```\nx = f(y)\n```\nWhat is wrong in here?",
    )
    again = thread(
        2, source="stackexchange", kind="question", url="https://stackoverflow.com/questions/2",
        title="NaN in softmax", body="The loss is NaN:\n\nx = f(y)\n\nWhat is wrong, in here",
    )  # fmt: skip
    other_title = replace(again, url="https://stackoverflow.com/questions/3", title="NaN in attention")
    rows = screened(tmp_path, [again, asked, other_title])
    assert reasons(rows) == {"1": None, "2": "cross_post", "3": None}
    assert originals(rows) == {"2": "1"}


def test_an_empty_template_is_no_cross_post(tmp_path):
    rows = screened(tmp_path, [thread(n, title="Bug", body="### Steps\n\n### Version") for n in (1, 2)])
    assert reasons(rows) == {"1": None, "2": None}


def test_a_pull_request_gives_way_to_the_issue_that_it_fixes(tmp_path):
    pull = "https://github.com/a/b/pull/7"
    rows = screened(
        tmp_path,
        [
            thread(
                7, kind="pull_request", url=pull, state="merged", fix_url=None, created=START, title="Mend"
            ),
            thread(3, fix_url=pull, title="The third"),
            thread(2, fix_url=pull, title="The second"),
            thread(
                8, kind="pull_request", url="https://github.com/a/b/pull/8", title="Nothing to do with it"
            ),
        ],
    )
    assert reasons(rows) == {"7": "fixing_pull_request", "2": None, "3": None, "8": None}
    assert originals(rows) == {"7": "2"}


def test_a_pull_request_follows_its_issue_to_the_thread_that_stays(tmp_path):
    pull = "https://github.com/a/b/pull/7"
    rows = screened(
        tmp_path,
        [
            thread(7, kind="pull_request", url=pull, state="merged", fix_url=None, title="Mend"),
            thread(3, fix_url=pull, title="As before", body=PROSE),
            thread(1, title="As before", body=PROSE),
        ],
    )
    assert reasons(rows) == {"7": "fixing_pull_request", "3": "cross_post", "1": None}
    assert originals(rows) == {"7": "1", "3": "1"}


def test_of_two_equal_threads_the_resolved_one_stays(tmp_path):
    rows = screened(
        tmp_path,
        [
            thread(1, title="Same", body=PROSE, fix_url=None, state="open"),
            thread(9, title="Same", body=PROSE, fix_url=None, state="closed", has_accepted_answer=True),
        ],
        replace_criteria(evidence=["accepted_answer"]),
    )
    assert originals(rows) == {"1": "9"}
    assert [row["kept"] for row in rows] == [False, True]


def replace_criteria(**other) -> Criteria:
    return LENIENT.model_copy(update=other)


SCREENS_ONLY = STRICT.model_copy(update={"near_duplicates": None})
UNFIT = {
    "bot": {"author_is_bot": True},
    "too_short": {"title": "attention", "body": "broken"},
    "too_long": {"body": PROSE * 50},
    "off_topic": {"title": "Wrong colours", "body": "The button is green although its style says red."},
    "no_resolution": {"fix_url": None},
    "language": {"body": "Wenn ich dem Modell eine Maske gebe (attention), wird der Verlust viel zu groß."},
}  # fmt: skip


@pytest.mark.parametrize("reason", UNFIT)
def test_each_screen_drops_what_it_should_and_says_why(tmp_path, reason):
    rows = screened(tmp_path, [thread(1), thread(2, **UNFIT[reason])], SCREENS_ONLY)
    assert reasons(rows) == {"1": None, "2": reason}
    lenient = reasons(screened(tmp_path, [thread(1), thread(2, **UNFIT[reason])]))
    assert lenient == {
        "1": None,
        "2": "bot" if reason == "bot" else None,
    }  # a bot is none of anybody's choice


def test_a_thread_without_a_title_cannot_be_labelled(tmp_path):
    assert reasons(screened(tmp_path, [thread(1, title=""), thread(2)])) == {"1": "too_short", "2": None}


def test_labelling_reads_what_was_kept_and_what_was_drawn(tmp_path):
    found = [thread(n, labels=("bug",), title=f"=1+{n} <b>; 'x\"") for n in range(1, 40)]
    found += [thread(100, author_is_bot=True), thread(101, title=""), replace(found[0], query="again")]
    screened(tmp_path, found)
    kept = candidates.read([tmp_path / "candidates.parquet"], {}).set_index("url")
    assert set(kept.index) == {t.url for t in found[:39]}
    for name in ("title", "body", "project", "source"):
        assert kept[name].to_dict() == {t.url: getattr(t, name) for t in found[:39]}
    assert kept["created"][found[0].url].startswith("2024-01-02")
    sample = Sample(margin=0.3, level=0.95, strata=["source", "evidence"])
    drawn = sampling.draw(tmp_path / "candidates.parquet", tmp_path / "sample.parquet", sample, 1)
    read = candidates.read([tmp_path / "sample.parquet"], {})
    assert len(read) == drawn["sampled"].iloc[-1] == sampling.size_for(39, 0.3, 0.95)
    assert set(read["url"]) <= set(kept.index)


def test_the_first_reason_counts(tmp_path):
    worse: dict[str, object] = {}
    for reason in ("language", "no_resolution", "too_long", "bot"):
        worse |= UNFIT[reason] if reason != "too_long" else {"body": UNFIT["language"]["body"] * 50}
        (row,) = screened(tmp_path, [thread(1, **worse)], SCREENS_ONLY)
        assert row["reason"] == reason


def test_evidence_is_named(tmp_path):
    found = [
        thread(1),
        thread(2, fix_url=None, kind="pull_request", state="merged"),
        thread(3, fix_url=None, state="open", has_accepted_answer=True),
        thread(4, fix_url=None),
        thread(5, fix_url=None, state="open"),
    ]
    rows = screened(tmp_path, found)
    assert [row["evidence"] for row in rows] == ["linked_fix", "merged", "accepted_answer", "closed", ""]


def test_code_does_not_make_english_another_language(tmp_path):
    body = f"{PROSE}\n```\n{'für_jeden(schritt) = maske.der.aufmerksamkeit ' * 20}\n```"
    assert reasons(screened(tmp_path, [thread(1, body=body)], STRICT)) == {"1": None}


@pytest.mark.parametrize(
    "body", ["", "\x00", "日本語", "\U0001f600", "a" * 5000, "x=1;" * 300, "'; DROP TABLE thread; --"]
)
def test_odd_text_is_screened_as_any_other(tmp_path, body):
    found = [thread(1, body=body, title="it's attention"), thread(2)]
    assert len(screened(tmp_path, found, STRICT)) == 2
    assert {row["body"] for row in screened(tmp_path, found)} == {body, found[1].body}


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("the kv CACHE", 1),
        ("kv caches", 0),
        ("an attention_mask here", 1),
        ("attention, attention_mask", 2),
        ("a.b", 0),
    ],
)
def test_keywords_are_whole_words_and_counted_once(tmp_path, text, hits):
    for asked in range(1, 4):
        (row,) = screened(
            tmp_path, [thread(1, title="T", body=f"{text} {text}")], replace_criteria(keywords=asked)
        )
        assert row["kept"] == (hits >= asked)


# --- properties of any collection of threads

BODIES = [f"{PROSE} {text_of(n)}" for n in range(4)] + ["short", UNFIT["language"]["body"]]


@st.composite
def collections(draw):
    """Threads with few different addresses, titles and bodies, so that they meet."""
    found = []
    for _ in range(draw(st.integers(1, 14))):
        number = draw(st.integers(1, 7))
        pull = draw(st.booleans())
        fix = draw(st.sampled_from([None, *(f"https://github.com/a/b/pull/{n}" for n in range(1, 8))]))
        body = draw(st.sampled_from(BODIES)) + draw(
            st.sampled_from(["", " Also here.", " Me too with three"])
        )
        found.append(
            thread(
                number,
                source=draw(st.sampled_from(SOURCES)),
                url=f"https://github.com/a/b/{'pull' if pull else 'issues'}/{number}",
                kind="pull_request" if pull else "issue",
                title=draw(st.sampled_from(["One", "Two", "one!"])),
                body=body,
                fix_url=fix,
                author_is_bot=draw(st.sampled_from([False, False, True])),
                query=draw(st.sampled_from(["a", "b"])),
            )
        )
    return found


def words(said: str) -> list[str]:
    return re.findall(r"[^\W_]+", said.lower())


def exact_jaccard(a: dict[str, Any], b: dict[str, Any]) -> float:
    one, other = (
        {tuple(w[i : i + 3]) for i in range(len(w) - 2)}
        for w in (words(f"{row['title']} {row['body']}") for row in (a, b))
    )
    return len(one & other) / len(one | other) if one | other else 0


@settings(max_examples=25, deadline=None)
@given(collections(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_nothing_is_lost_told_twice_or_depends_on_the_order(tmp_path_factory, found, files, shuffle):
    rows = screened(tmp_path_factory.mktemp("a"), found, STRICT)
    assert len(rows) == len(found)
    assert sorted(str(row[n]) for row in rows for n in table.SCHEMA.names) == sorted(
        str(vars_of(t)[n]) for t in found for n in table.SCHEMA.names
    )
    assert all(row["kept"] == (row["reason"] is None) for row in rows)
    assert {row["reason"] for row in rows} <= {None, *screening.REASONS}
    # what stands for a duplicate is no duplicate itself, and there is exactly one such row
    representatives = [row["url"] for row in rows if row["reason"] not in screening.DUPLICATES]
    assert len(representatives) == len(set(representatives))
    for row in rows:
        assert (row["duplicate_of"] is not None) == (row["reason"] in screening.DUPLICATES)
        assert row["duplicate_of"] is None or row["duplicate_of"] in representatives
    for a, b in itertools.combinations([r for r in rows if r["reason"] not in screening.DUPLICATES], 2):
        assert exact_jaccard(a, b) < 0.8
        assert (
            any(words(a[name]) != words(b[name]) for name in ("title", "body")) or len(words(a["body"])) < 8
        )
    again = shuffle.sample(found, len(found))
    other = tmp_path_factory.mktemp("b")
    assert screened(other, again, STRICT, files) == rows


# --- near-duplicates


def planted(pairs: int) -> tuple[list[Thread], set[frozenset[str]]]:
    """Pairs whose words differ here and there, with those that are near by exact comparison."""
    draw = random.Random(7)
    found, near = [], set()
    for number in range(pairs):
        original = words(text_of(number, 80))
        changed = list(original)
        for place in draw.sample(range(80), draw.randrange(8)):
            changed[place] = f"other{draw.randrange(1000)}"
        two = [thread(2 * number + k, title="T", body=" ".join(w)) for k, w in enumerate((original, changed))]
        found += two
        if exact_jaccard(*map(vars, two)) >= 0.8:
            near.add(frozenset(t.url for t in two))
    return found, near


def test_near_duplicates_are_those_of_exact_comparison(tmp_path):
    found, near = planted(600)
    rows = screened(tmp_path, found, replace_criteria(near_duplicates=0.8))
    dropped = [row for row in rows if row["reason"] in {"near_duplicate", "cross_post"}]
    pairs = {frozenset((row["url"], row["duplicate_of"])) for row in dropped}
    assert 150 < len(near) < 450
    assert pairs <= near  # precision 1: every pair is compared exactly
    assert len(pairs & near) / len(near) >= 0.995  # 1 - (1 - 0.8^4)^16 = 0.9998 at the threshold


def test_copies_of_copies_are_one_group_with_its_first_thread_in_place(tmp_path):
    chain = words(text_of(1, 200))
    found = []
    for number in range(12):  # each replaces other words of the one before
        chain = [*chain[: 16 * number], *(f"new{number}x{k}" for k in range(5)), *chain[16 * number + 5 :]]
        found.append(thread(12 - number, body=" ".join(chain), title="T"))
    assert exact_jaccard(vars(found[0]), vars(found[-1])) < 0.6
    assert all(exact_jaccard(a, b) >= 0.8 for a, b in itertools.pairwise(map(vars, found)))
    rows = screened(tmp_path, found, replace_criteria(near_duplicates=0.8))
    assert originals(rows) == {str(number): "1" for number in range(2, 13)}


def test_a_template_of_thousands_costs_no_square(tmp_path):
    form = words(text_of(3, 100))
    found = [thread(n, title="T", body=" ".join([*form, f"u{n}"])) for n in range(1, 3001)]
    rows = screened(tmp_path, found, replace_criteria(near_duplicates=0.8))
    assert sum(row["kept"] for row in rows) == 1


def test_threads_without_three_words_are_no_near_duplicates(tmp_path):
    rows = screened(
        tmp_path, [thread(n, title="T", body=str(n)) for n in (1, 2)], replace_criteria(near_duplicates=0.1)
    )
    assert reasons(rows) == {"1": None, "2": None}


@given(st.lists(st.sets(st.integers(0, 2**64 - 1), max_size=6), min_size=1, max_size=8))
def test_bands_of_equal_sets_are_equal_and_of_empty_ones_nothing(sets):
    column = pa.chunked_array([[list(s) for s in sets], [sorted(s) for s in sets]], pa.list_(pa.uint64()))
    found = deduplication.bands(column).to_pylist()
    assert found[: len(sets)] == found[len(sets) :]
    assert [len(hashes) for hashes in found[: len(sets)]] == [deduplication.BANDS * bool(s) for s in sets]


def test_bands_meet_as_often_as_their_formula_says():
    generator = np.random.default_rng(1)
    pairs, size, shared = 400, 120, 90  # similarity 90 / 150 = 0.6
    drawn = generator.integers(0, 2**63, (pairs, 2 * size - shared), dtype=np.uint64)
    both = np.stack([drawn[:, :size], drawn[:, size - shared :]], axis=1).reshape(2 * pairs, size)
    found = np.array(
        deduplication.bands(pa.chunked_array([both.tolist()], pa.list_(pa.uint64()))).to_pylist()
    )
    met = (found[::2] == found[1::2]).mean()
    assert met == pytest.approx(0.6**deduplication.ROWS, abs=0.02)


# --- the funnel


@pytest.fixture
def counted(tmp_path):
    found, _ = planted(40)
    found += [thread(1000 + n, **change) for n, change in enumerate(UNFIT.values())]
    found += [
        thread(2000 + n, source="stackexchange", url=f"https://stackoverflow.com/questions/{n}")
        for n in range(30)
    ]
    rows = screened(tmp_path, found, STRICT)
    sample = Sample(margin=0.3, level=0.95, strata=["source"])
    drawn = sampling.draw(tmp_path / "candidates.parquet", tmp_path / "sample.parquet", sample, 1)
    return rows, drawn, funnel.count(tmp_path / "candidates.parquet", tmp_path / "sample.parquet")


def test_the_funnel_adds_up(counted):
    rows, drawn, counts = counted
    held = counts[counts["reason"] == ""].set_index("stage")
    assert list(held.index) == list(funnel.STAGES)
    for column in ("github", "stackexchange", "all"):
        assert held[column]["found"] == sum(column in (row["source"], "all") for row in rows)
        assert held[column]["screened"] == sum(
            row["kept"] and column in (row["source"], "all") for row in rows
        )
        for before, after in itertools.pairwise(funnel.STAGES):
            lost = counts.loc[(counts["stage"] == before) & (counts["reason"] != ""), column].sum()
            assert held[column][before] - lost == held[column][after]
    assert held["all"]["sampled"] == drawn["sampled"].iloc[-1]
    assert (counts["all"] == counts["github"] + counts["stackexchange"]).all()


def test_the_note_sums_what_queries_say_and_how_many_fall_short(tmp_path):
    outcome.write(
        [Outcome(source="github", query="NA", found=1500, fetched=1000, truncated=500)], tmp_path / "a.csv"
    )
    outcome.write(
        [Outcome(source="stackexchange", query="b", found=7, fetched=7, incomplete=1)], tmp_path / "b.csv"
    )
    queries = funnel.completeness([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert queries["query"].tolist() == ["NA", "b"]
    said = funnel.note(queries)
    assert "2 queries found 1,507 threads (some several times) and fetched 1,007" in said
    assert "500 are out of reach (truncated)" in said
    assert "Queries that are truncated or incomplete: 2." in said
