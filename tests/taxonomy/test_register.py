"""The register: every dataset that can be studied, and every row that cannot be used."""

import csv
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from attention_faults.errors import InputError
from attention_faults.taxonomy import register
from attention_faults.taxonomy.register import COLUMNS

ROOT = Path(__file__).parents[2]
SHA = "ab" * 32


@pytest.fixture
def folder(tmp_path):
    for name in ("records.csv", "schema.yaml", "codebook.yaml", "ratings.csv"):
        (tmp_path / name).write_text(name)
    return tmp_path


def row(**changes):
    cells = dict.fromkeys(COLUMNS, "") | {
        "name": "ours",
        "version": "1.0",
        "path": "records.csv",
        "licence": "CC BY 4.0",
        "population": "independent",
        "synthetic": "no",
        "schema": "schema.yaml",
        "codebook": "codebook.yaml",
    }
    return cells | changes


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def problems_of(*paths):
    with pytest.raises(InputError) as caught:
        register.load(paths)
    return caught.value.problems


def test_the_embedded_register_holds_the_embedded_dataset_as_it_was_registered():
    entries = register.load([ROOT / "data" / "datasets.csv"])
    entry = entries["github_2026"]
    register.check_sha256(Path(entry.path), entry.sha256)
    assert (entry.population, entry.synthetic, entry.is_remote) == ("independent", False, False)
    assert entry.schema.is_file()
    assert entry.codebook.is_file()
    assert entry.ratings.is_file()


def test_paths_are_seen_from_the_folder_of_the_register(folder):
    entry = register.load([write(folder / "datasets.csv", row(ratings="ratings.csv", synthetic="yes"))])[
        "ours"
    ]
    assert Path(entry.path) == folder / "records.csv"
    assert (entry.schema, entry.codebook) == (folder / "schema.yaml", folder / "codebook.yaml")
    assert (entry.ratings, entry.synthetic) == (folder / "ratings.csv", True)


def test_an_absolute_path_is_taken_as_it_stands(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "faults.csv"
    other.touch()
    assert register.load([write(folder / "datasets.csv", row(path=str(other)))])["ours"].path == str(other)


def test_a_dataset_on_a_server_keeps_its_address(folder):
    path = write(folder / "datasets.csv", row(path="https://x.org/faults.csv", sha256=SHA))
    entry = register.load([path])["ours"]
    assert (entry.path, entry.is_remote, entry.ratings) == ("https://x.org/faults.csv", True, None)


def test_a_second_register_adds_its_datasets(folder):
    (folder / "mine").mkdir()
    files = {"path": "../records.csv", "schema": "../schema.yaml", "codebook": "../codebook.yaml"}
    second = write(folder / "mine" / "datasets.csv", row(name="mine", **files))
    entries = register.load([write(folder / "datasets.csv", row()), second])
    assert list(entries) == ["ours", "mine"]


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in register.OPTIONAL])
@pytest.mark.parametrize("empty", ["", "  "])
def test_a_needed_cell_that_is_empty_is_reported(folder, name, empty):
    path = write(folder / "datasets.csv", row(**{name: empty}))
    assert problems_of(path) == [f"{path}:2: column `{name}`: `{empty}` is empty, expected a value"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "compare"}, "`name`: `compare` cannot name a folder"),
        ({"name": "curvature"}, "`name`: `curvature` cannot name a folder"),
        ({"name": "../up"}, "`name`: `../up` cannot name a folder"),
        ({"name": ".."}, "`name`: `..` cannot name a folder"),
        ({"name": "a b"}, "`name`: `a b` cannot name a folder"),
        ({"name": "ours\n"}, "`name`: `ours\\n` cannot name a folder"),
        (
            {"population": "author"},
            "`population`: `author` is not one of authors, independent; did you mean `authors`?",
        ),
        ({"synthetic": "No"}, "`synthetic`: `No` is not one of yes, no; did you mean `no`?"),
        ({"synthetic": "false"}, "`synthetic`: `false` is not one of yes, no"),
        ({"sha256": "abc"}, "`sha256`: `abc` is not a checksum; expected 64 hexadecimal digits"),
        ({"sha256": SHA + " "}, f"`sha256`: `{SHA} ` is not a checksum"),
        ({"path": "gone.csv"}, "`path`: `gone.csv` is not a file, seen from"),
        ({"path": "."}, "`path`: `.` is not a file, seen from"),
        ({"path": "x" * 300}, f"`path`: `{'x' * 80}...` is not a file, seen from"),
        ({"path": "a\x00b"}, "`path`: `a\\x00b` is not a file, seen from"),
        (
            {"path": "ftp://x.org/a.csv", "sha256": SHA},
            "`path`: `ftp://x.org/a.csv` is not a file or an http(s) address",
        ),
        ({"path": "https://"}, "`path`: `https://` is not a file or an http(s) address"),
        (
            {"path": "https://u:p@x.org/a.csv"},
            "`path`: `https://u:p@x.org/a.csv` is not a file or an http(s) address",
        ),
        (
            {"path": "https://x.org/a.csv"},
            "`sha256`: `` is empty, expected the checksum of what is downloaded",
        ),
        ({"schema": "shema.yaml"}, "`schema`: `shema.yaml` is not a file, seen from"),
        ({"codebook": "https://x.org/c.yaml"}, "`codebook`: `https://x.org/c.yaml` is not a file, seen from"),
        ({"ratings": "gone.csv"}, "`ratings`: `gone.csv` is not a file, seen from"),
    ],
)
def test_one_slip_is_one_error_with_its_line(folder, changes, expected):
    path = write(folder / "datasets.csv", row(), row(name="second") | changes)
    found = problems_of(path)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:3: column {expected}")


def test_a_name_that_is_registered_twice_is_reported_also_across_registers(folder):
    first, second = write(folder / "one.csv", row(), row()), write(folder / "two.csv", row())
    expected = "column `name`: `ours` is registered already"
    assert problems_of(first, second) == [f"{first}:3: {expected}", f"{second}:2: {expected}"]


def test_every_error_of_every_register_is_reported_at_once(folder):
    first = write(folder / "one.csv", row(population="x", synthetic="x"), row(name="b", path="gone.csv"))
    with first.open("a") as stream:
        stream.write("too,few\n")
    second = folder / "two.csv"
    second.write_text("name;path\na;b\n")
    third = write(folder / "three.csv", row(name=""))
    found = problems_of(first, second, third, folder / "gone.csv")
    assert [problem.split(": ")[0] for problem in found] == [
        *(f"{first}:{line}" for line in (2, 2, 3, 4)), f"{second}:1", f"{third}:2", str(folder / "gone.csv"),
    ]  # fmt: skip


def test_columns_that_are_missing_are_all_reported_with_those_that_are_there(folder):
    path = folder / "datasets.csv"
    path.write_text("name,version,path,sha,license,population,synthetic,schema,codebook\na,b,c,d,e,f,g,h,i\n")
    assert problems_of(path)[:3] == [
        f"{path}:1: there is no column `sha256`; did you mean `sha`?",
        f"{path}:1: there is no column `licence`; did you mean `license`?",
        f"{path}:1: there is no column `ratings`",
    ]
    assert problems_of(path)[3].startswith(f"{path}:1: found: the columns `name`, `version`")


def test_selection_keeps_the_asked_order_and_each_dataset_once(folder):
    entries = register.load([write(folder / "datasets.csv", row(), row(name="b"), row(name="c"))])
    assert [entry.name for entry in register.select(entries, ["c", "ours", "c"])] == ["c", "ours"]


def test_every_name_that_is_not_registered_is_reported_with_the_nearest(folder):
    entries = register.load([write(folder / "datasets.csv", row(name="github_2026"))])
    with pytest.raises(InputError) as caught:
        register.select(entries, ["github_2025", "github_2026", "qqq"])
    assert caught.value.problems == [
        "configuration: key `datasets`: `github_2025` is not in the register; did you mean `github_2026`?",
        "configuration: key `datasets`: `qqq` is not in the register",
    ]


def test_a_file_that_differs_from_its_checksum_is_refused(folder):
    path = folder / "records.csv"
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    register.check_sha256(path, checksum)
    register.check_sha256(path, checksum.upper())
    register.check_sha256(path, "")
    path.write_text("changed")
    with pytest.raises(
        InputError, match=f"{path}: the file's sha256 is [0-9a-f]{{64}}, the register expects {checksum}"
    ):
        register.check_sha256(path, checksum)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(folder):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_download_with_the_registered_checksum_is_kept(folder, server):
    checksum = hashlib.sha256(b"records.csv").hexdigest()
    register.fetch(f"{server}/records.csv", checksum, folder / "got" / "faults.csv")
    assert (folder / "got" / "faults.csv").read_text() == "records.csv"


def test_a_download_with_another_checksum_leaves_nothing(folder, server):
    with pytest.raises(InputError, match=f"{server}/records.csv: "):
        register.fetch(f"{server}/records.csv", SHA, folder / "got" / "faults.csv")
    assert list((folder / "got").iterdir()) == []


@pytest.mark.parametrize("address", ["{server}/gone.csv", "http://127.0.0.1:1/faults.csv"])
def test_a_server_that_does_not_deliver_is_an_input_error_that_leaves_nothing(folder, server, address):
    address = address.format(server=server)
    with pytest.raises(InputError, match=address):
        register.fetch(address, SHA, folder / "got" / "faults.csv")
    assert list((folder / "got").iterdir()) == []
