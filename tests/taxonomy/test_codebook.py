"""The codebook: every label once, with its definition, in its order, whatever YAML would make of it."""

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_faults.errors import InputError
from attention_faults.taxonomy import codebook
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC

SMALL = {
    "scopes": {ATTENTION_SPECIFIC: "of attention", "generic": "of any network"},
    "categories": {
        "cache": {
            "scope": ATTENTION_SPECIFIC,
            "definition": "old keys",
            "root_causes": {"stale": "not dropped"},
        },
        "training": {"scope": "generic", "root_causes": ["rate", "loss"]},
    },
    "symptoms": ["crash", "hang"],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "codebook.yaml"


def load(path, content):
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return codebook.load(path)


def problems_of(path, content):
    with pytest.raises(InputError) as caught:
        load(path, content)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:").strip() for problem in caught.value.problems]


def test_the_embedded_codebook_has_the_published_names_and_ours(book):
    specific = [name for name, scope in book.scope_of.items() if scope == ATTENTION_SPECIFIC]
    causes = [cause for cause, category in book.category_of.items() if category in specific]
    assert (len(specific), len(causes)) == (7, 25)
    assert len(book.labels("category")) == 12
    assert book.columns == ["scope", "category", "root_cause", "symptom", "trigger", "visibility", "stage"]
    assert book.labels("stage") == ["training", "inference", "both", "conversion"]


def test_labels_keep_the_order_of_the_file_and_know_their_definitions(path):
    book = load(path, SMALL)
    assert book.labels("scope") == [ATTENTION_SPECIFIC, "generic"]
    assert book.labels("category") == ["cache", "training"]
    assert book.labels("root_cause") == ["stale", "rate", "loss"]
    assert book.labels("symptom") == ["crash", "hang"]
    assert book.category_of == {"stale": "cache", "rate": "training", "loss": "training"}
    assert book.scope_of == {"cache": ATTENTION_SPECIFIC, "training": "generic"}
    assert book.scopes["generic"] == "of any network"
    assert book.categories["cache"].definition == "old keys"
    assert book.categories["cache"].root_causes == {"stale": "not dropped"}
    assert book.facets["symptom"]["hang"] == ""


def test_a_facet_that_the_codebook_does_not_define_is_no_column(path):
    book = load(path, SMALL)
    assert book.columns == ["scope", "category", "root_cause", "symptom"]
    with pytest.raises(KeyError):
        book.labels("trigger")


def test_labels_that_yaml_takes_for_something_else_stay_as_they_are_written(path):
    traps = [
        "no",
        "Yes",
        "null",
        "~",
        "1.0",
        "007",
        "1e3",
        "2025-02-30",
        "NaN",
        "None",
        ".inf",
        "0x1",
        "12:30",
    ]
    traps += ["=1+1", "+1", "on"]
    listed = "\n".join(f"  - {trap}" for trap in traps)
    content = f"""
version: 3.10
scopes: [{ATTENTION_SPECIFIC}, no]
categories:
  off: {{scope: no, root_causes: [true, false]}}
  1.50: {{scope: {ATTENTION_SPECIFIC}, root_causes: {{y: n}}}}
symptoms:
{listed}
"""
    book = load(path, content)
    assert book.version == "3.10"
    assert book.labels("symptom") == traps
    assert book.labels("root_cause") == ["true", "false", "y"]
    assert book.scope_of == {"off": "no", "1.50": ATTENTION_SPECIFIC}
    assert book.categories["off"].root_causes.keys() | book.categories["1.50"].root_causes.keys() == {
        "true",
        "false",
        "y",
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1),
        min_size=1,
        unique=True,
    )
)
def test_any_labels_survive(tmp_path_factory, labels):
    path = tmp_path_factory.getbasetemp() / "any_codebook.yaml"
    path.write_text(yaml.safe_dump(SMALL | {"symptoms": labels}, allow_unicode=True), encoding="utf-8")
    assert codebook.load(path).labels("symptom") == labels


def test_categorised_labels_are_in_codebook_order_and_empty_cells_are_missing(path):
    book = load(path, SMALL | {"triggers": ["null", "NaN"]})
    records = pd.DataFrame(
        {"symptom": ["hang", "crash", ""], "trigger": ["NaN", "", "null"], "note": ["", "x", ""]}
    )
    found = book.categorise(records)
    assert found["symptom"].cat.categories.tolist() == ["crash", "hang"]
    assert found["symptom"].cat.codes.tolist() == [1, 0, -1]
    assert found["trigger"].cat.codes.tolist() == [1, -1, 0]
    assert found["note"].tolist() == ["", "x", ""]
    pd.testing.assert_frame_equal(book.categorise(found), found)
    assert records["symptom"].tolist() == ["hang", "crash", ""]


def changed(*, without=(), **keys):
    return {key: value for key, value in (SMALL | keys).items() if key not in without}


def with_category(**entry):
    return changed(
        categories=SMALL["categories"] | {"mask": {"scope": "generic", "root_causes": ["x"]} | entry}
    )


LABELS_EXPECTED = "expected a list or mapping of labels, found"
NO_BLANKS = "a label is text without blanks around it, found"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (changed(without=["scopes"]), "key `scopes` is missing"),
        (changed(without=["categories"]), "key `categories` is missing"),
        (changed(without=["symptoms"]), "key `symptoms` is missing"),
        (changed(symptom=["x"]), "unknown key `symptom`; did you mean `symptoms`?"),
        (changed(symptoms=[]), f"key `symptoms`: {LABELS_EXPECTED} `[]`"),
        (changed(symptoms="crash"), f"key `symptoms`: {LABELS_EXPECTED} `crash`"),
        (changed(stages={}), f"key `stages`: {LABELS_EXPECTED} `{{}}`"),
        (changed(triggers=["a", "b", "a"]), "key `triggers`: expected each label once, `a` stands twice"),
        (changed(symptoms=["crash", ""]), f"key `symptoms.`: {NO_BLANKS} ``"),
        (changed(symptoms={" crash": "x"}), f"key `symptoms. crash`: {NO_BLANKS} ` crash`"),
        (changed(symptoms={"crash": {"deep": "x"}}), "key `symptoms.crash`: input should be a valid string"),
        (
            changed(symptoms=[{"crash": "x"}]),
            "key `symptoms`: expected labels without definitions in this list",
        ),
        (changed(rules="one"), "key `rules`: input should be a valid list, found `one`"),
        (changed(version=["1"]), "key `version`: input should be a valid string"),
        (changed(categories={}), "key `categories`: dictionary should have at least 1 item"),
        (changed(categories=["cache"]), "key `categories`: input should be a valid dictionary"),
        (changed(scopes=["generic"]), f"key `scopes`: one scope must be `{ATTENTION_SPECIFIC}`"),
        (
            with_category(scope="genric"),
            "category `mask`: scope `genric` is not in `scopes`; did you mean `generic`?",
        ),
        (with_category(scope=["generic"]), "key `categories.mask.scope`: input should be a valid string"),
        (with_category(root_causes=[]), f"key `categories.mask.root_causes`: {LABELS_EXPECTED}"),
        (
            with_category(root_causes=[{"x": "y"}]),
            "key `categories.mask.root_causes`: expected labels without",
        ),
        (
            with_category(root_causes=["stale"]),
            "category `mask`: root cause `stale` already belongs to `cache`",
        ),
        (
            with_category(root_cause=[]),
            "unknown key `categories.mask.root_cause`; did you mean `root_causes`?",
        ),
        (with_category(definition=[]), "key `categories.mask.definition`: input should be a valid string"),
        (
            changed(categories={"cache": "x"}),
            "key `categories.cache`: expected a mapping with keys among scope,",
        ),
        ([], "the file: expected a mapping with keys among version, scopes, categories, symptoms"),
        ("", "the file: expected a mapping with keys among version, scopes, categories, symptoms"),
    ],
)
def test_one_slip_is_one_error_that_says_what_was_expected(path, content, expected):
    found = problems_of(path, content)
    assert len(found) == 1 + (expected.startswith("key `scopes`: one"))
    assert found[0].startswith(expected)


def test_every_slip_is_reported_at_once(path):
    content = changed(
        without=["symptoms"],
        simptoms=["x"],
        stages=[],
        categories={"a": {"scop": "generic", "root_causes": []}, "b": "c"},
    )
    assert len(problems_of(path, content)) == 7


def test_contradictions_between_the_parts_are_reported_at_once(path):
    categories = {
        "cache": {"scope": "x", "root_causes": ["a", "b"]},
        "mask": {"scope": "generik", "root_causes": ["a", "b"]},
        "score": {"scope": "generic", "root_causes": ["a"]},
    }
    assert problems_of(path, changed(categories=categories, scopes=["generic"])) == [
        f"key `scopes`: one scope must be `{ATTENTION_SPECIFIC}`; a column map can translate to it",
        "category `cache`: scope `x` is not in `scopes`",
        "category `mask`: scope `generik` is not in `scopes`; did you mean `generic`?",
        "category `mask`: root cause `a` already belongs to `cache`",
        "category `mask`: root cause `b` already belongs to `cache`",
        "category `score`: root cause `a` already belongs to `cache`",
    ]


@pytest.mark.parametrize(
    ("content", "line", "key"),
    [
        ("scopes: [a]\nsymptoms: [a]\nscopes: [b]\n", 3, "scopes"),
        ("categories:\n  cache: {scope: x, root_causes: [a]}\n  mask: {}\n  cache: {}\n", 4, "cache"),
        ("categories:\n  cache:\n    root_causes:\n      a: x\n      a: y\n", 5, "a"),
        ("symptoms: {no: x, 'no': y}\n", 1, "no"),
    ],
)
def test_a_key_that_stands_twice_is_an_error_and_no_category_vanishes(path, content, line, key):
    assert problems_of(path, content) == [f"{line}: not readable as YAML: key `{key}` stands twice"]


@pytest.mark.parametrize(
    "content", [b"scopes: [\xff]", b"\x00", b"a: [", b"a: *b", b"\t- a", b"%PDF-1.4 \n\xe2", b"{" * 800]
)
def test_a_file_that_is_no_yaml_is_an_input_error(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"codebook\.yaml"):
        codebook.load(path)


def test_a_missing_codebook_is_an_input_error(path):
    with pytest.raises(InputError, match=r"codebook\.yaml: not readable as YAML: .*No such file"):
        codebook.load(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5))
def test_flipped_bytes_give_a_codebook_or_an_input_error(tmp_path_factory, flips):
    content = bytearray(yaml.safe_dump(SMALL).encode())
    for share, byte in flips:
        content[int(share * len(content))] = byte
    path = tmp_path_factory.getbasetemp() / "flipped_codebook.yaml"
    path.write_bytes(content)
    problems = []
    try:
        assert ATTENTION_SPECIFIC in codebook.load(path).labels("scope")
    except InputError as error:
        problems = error.problems
    assert all(problem.startswith(f"{path}:") for problem in problems)
