"""Settings files: every error at once, in words that say what to change."""

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field, field_validator

from attention_faults import settings
from attention_faults.errors import InputError
from attention_faults.settings import Settings


class Bootstrap(Settings):
    draws: int = 1000
    level: float = 0.95
    method: Literal["BCa", "percentile"] = "BCa"


class Dataset(Settings):
    name: str
    source: str | None = Field(None, alias="from")
    bootstrap: Bootstrap | None = None

    @field_validator("name")
    @classmethod
    def _is_no_path(cls, name):
        if "/" in name:
            raise ValueError("Expected a Name, not a path")
        return name


class Study(Settings):
    seed: int
    datasets: list[Dataset] = Field([])
    named: dict[str, Bootstrap] = Field({})
    bootstrap: Bootstrap = Bootstrap()


def problems_of(content):
    with pytest.raises(InputError) as caught:
        settings.parse(Study, content, "config.yaml")
    return caught.value.problems


def test_what_fits_becomes_the_model():
    content = {"seed": 1, "datasets": [{"name": "a", "from": "b"}], "named": {"x": {"draws": 3}}}
    study = settings.parse(Study, content, "config.yaml")
    assert (study.datasets[0].source, study.named["x"].draws) == ("b", 3)


def test_every_error_is_reported_at_once_with_its_place():
    content = {"sead": 1, "datasets": [{"nam": "a"}, {"name": "b/c"}], "bootstrap": {"draws": math.nan}}
    assert sorted(problems_of(content)) == [
        "config.yaml: key `bootstrap.draws`: input should be a finite number, found `nan`",
        "config.yaml: key `datasets.0.name` is missing",
        "config.yaml: key `datasets.1.name`: expected a Name, not a path, found `b/c`",
        "config.yaml: key `seed` is missing",
        "config.yaml: unknown key `datasets.0.nam`; did you mean `name`?",
        "config.yaml: unknown key `sead`; did you mean `seed`?",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"bootstrp": {}}, "unknown key `bootstrp`; did you mean `bootstrap`?"),
        ({"bootstrap": {"drws": 1}}, "unknown key `bootstrap.drws`; did you mean `draws`?"),
        ({"named": {"draws": {"levl": 1}}}, "unknown key `named.draws.levl`; did you mean `level`?"),
        (
            {"datasets": [{"name": "a", "bootstrap": {"lvl": 1}}]},
            "unknown key `datasets.0.bootstrap.lvl`; did you mean `level`?",
        ),
        ({"datasets": [{"name": "a", "form": "b"}]}, "unknown key `datasets.0.form`; did you mean `from`?"),
        ({"qqqq": 1}, "unknown key `qqqq`"),
    ],
)
def test_an_unknown_key_gets_the_nearest_one_of_its_own_level(content, expected):
    assert problems_of({"seed": 1, **content}) == [f"config.yaml: {expected}"]


def test_choices_keep_their_case():
    assert "'BCa' or 'percentile', found `bca`" in problems_of({"seed": 1, "bootstrap": {"method": "bca"}})[0]


@pytest.mark.parametrize("content", [None, [], "text", 3, True])
def test_a_file_that_is_no_mapping_lists_the_keys(content):
    keys = "seed, datasets, named, bootstrap"
    expected = f"config.yaml: the file: expected a mapping with keys among {keys}, found `{content}`"
    assert problems_of(content) == [expected]


def test_a_huge_value_is_cut_in_the_message():
    assert len(problems_of({"seed": "x" * 10**6})[0]) < 300


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Bootstrap().draws = 3


@pytest.fixture
def file(tmp_path):
    return tmp_path / "study.yaml"


def problems_in(file, content):
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        settings.read(Study, file)
    return caught.value.problems


@pytest.mark.parametrize("start", ["", "\ufeff", "# comment\n", "---\n"])
def test_a_file_is_read(file, start):
    file.write_text(f"{start}seed: 3\nbootstrap: {{draws: 7}}\n", encoding="utf-8")
    assert settings.read(Study, file) == Study(seed=3, bootstrap=Bootstrap(draws=7))


@pytest.mark.parametrize(
    ("content", "line", "key"),
    [
        ("seed: 1\nseed: 2\n", 2, "seed"),
        ("seed: 1\nbootstrap:\n  draws: 1\n  level: 0.9\n  draws: 2\n", 5, "draws"),
        ("seed: 1\nnamed: {a: {}, 'a': {}}\n", 2, "a"),
        ("seed: 1\ndatasets:\n  - {name: a, name: b}\n", 3, "name"),
    ],
)
def test_a_key_that_stands_twice_is_an_error_with_its_line(file, content, line, key):
    assert problems_in(file, content) == [f"{file}:{line}: not readable as YAML: key `{key}` stands twice"]


def test_keys_of_different_mappings_may_agree(file):
    file.write_text("seed: 1\nnamed: {a: {draws: 1}, b: {draws: 2}}\n")
    assert settings.read(Study, file).named == {"a": Bootstrap(draws=1), "b": Bootstrap(draws=2)}


@pytest.mark.parametrize(
    ("content", "line"),
    [("seed: [1\n", 2), ("seed: 1\n  x: 2\n", 2), ("seed: 1\nnamed: *gone\n", 2), ("a: 1\n---\nb: 2\n", 2)],
)
def test_broken_yaml_names_its_line(file, content, line):
    assert problems_in(file, content)[0].startswith(f"{file}:{line}: not readable as YAML: ")


@pytest.mark.parametrize(
    "content",
    [
        b"seed: \xff\n",
        b"seed: caf\xe9\n",
        "seed: 1\n".encode("utf-16"),
        b"seed: \x00\n",
        b"seed: 2025-02-30\n",
        b"seed: !!timestamp x\n",
        b"seed: !!int ''\n",
        b"seed: !!python/object/apply:os.system [ls]\n",
        b"? [a, b]\n: 1\n",
        b"[" * 800,
        b"seed: &a [*a]\n",
        b"seed: " + b"9" * 5000,
        b"",
    ],
)
def test_a_file_that_cannot_be_used_is_an_input_error_that_names_it(file, content):
    assert all(problem.startswith(str(file)) for problem in problems_in(file, content))


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path):
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            settings.read(Study, path)


def test_scalars_that_yaml_takes_for_something_else_stay_text(file):
    class Labels(Settings):
        values: list[str]

    file.write_text("values: [no, null, ~, 1.0, 007, 2025-02-30, NaN, =]\n")
    assert settings.read(Labels, file).values == [
        "no", "null", "~", "1.0", "007", "2025-02-30", "NaN", "=",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("settings") / "study.yaml"


VALID = b"seed: 1\ndatasets:\n  - {name: a, from: b}\nnamed:\n  x: {draws: 3, level: 0.9}\n"


@hypothesis_settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_a_study_or_an_input_error(scratch: Path, flips):
    content = bytearray(VALID)
    for position, byte in flips:
        content[position] = byte
    scratch.write_bytes(content)
    problems = []
    try:
        settings.read(Study, scratch)
    except InputError as error:
        problems = error.problems
    assert all(problem.startswith(str(scratch)) for problem in problems)


@hypothesis_settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
    )
)
def test_any_content_gives_a_study_or_an_input_error(content):
    problems = []
    try:
        settings.parse(Study, content, "config.yaml")
    except InputError as error:
        problems = error.problems
    assert all(problem.startswith("config.yaml: ") for problem in problems)
