"""The archive only grows, survives any end of a run, and lets nothing out of its folder."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_faults.errors import InputError
from attention_faults.mining.archive import Archive, Shelf
from attention_faults.mining.transport import Answer

URL = "https://api.example.org/search?q=a"


def answer(body: bytes = b"{}", status: int = 200, day: int = 1) -> Answer:
    return Answer(
        status=status, body=body, etag='"e"', more=False, fetched=datetime(2026, 1, day, tzinfo=UTC)
    )


def fill(folder: Path, pages: int) -> None:
    shelf = Shelf(folder)
    for number in range(pages):
        shelf.add(f"{URL}&page={number}", answer(f'{{"page": {number}}}'.encode()), total=pages)
    shelf.close()


def test_page_is_read_as_it_was_written(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    shelf = Shelf(tmp_path)
    for number in range(3):
        entry = shelf.find(f"{URL}&page={number}")
        assert entry is not None
        assert shelf.read(entry) == f'{{"page": {number}}}'.encode()
    assert shelf.find(f"{URL}&page=3") is None


def test_equal_answers_give_equal_files(tmp_path: Path) -> None:
    fill(tmp_path / "a", 3)
    fill(tmp_path / "b", 3)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_manifest_says_what_was_asked_and_how_it_was_answered(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (line,) = map(json.loads, (tmp_path / "manifest.jsonl").read_text().splitlines())
    assert line["page"] == "page-0001.json.gz"
    assert line["url"] == f"{URL}&page=0"
    assert (line["status"], line["etag"], line["total"], line["bytes"]) == (200, '"e"', 1, 11)
    assert line["fetched"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_half_a_line_of_a_killed_run_is_written_again(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 3)
    manifest = tmp_path / "manifest.jsonl"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-cut])
    shelf = Shelf(tmp_path)
    assert shelf.find(f"{URL}&page=2") is None
    shelf.add(f"{URL}&page=2", answer(b'{"page": 2}'), total=3)
    shelf.close()
    assert manifest.read_bytes() == whole
    assert len(list(tmp_path.glob("page-*"))) == 3


def test_a_shelf_that_was_closed_goes_on_where_it_was(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(3):
        shelf.add(f"{URL}&page={number}", answer(b"{}"), total=3)
        shelf.close()
    assert len((tmp_path / "manifest.jsonl").read_text().splitlines()) == 3


def test_page_without_a_line_is_written_again(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "page-0002.json.gz").write_bytes(b"half")
    (tmp_path / ".0123456789abcdef.gz").write_bytes(b"hal")
    shelf = Shelf(tmp_path)
    shelf.add(f"{URL}&page=1", answer(b'{"page": 1}'))
    shelf.close()
    assert gzip.decompress((tmp_path / "page-0002.json.gz").read_bytes()) == b'{"page": 1}'
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.jsonl",
        "page-0001.json.gz",
        "page-0002.json.gz",
    ]


def test_a_page_that_was_fetched_again_is_added_and_the_old_one_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add(URL, answer(b"[1]"))
    shelf.add(URL, answer(b"[2]", day=2))
    shelf.add(URL, answer(b"", status=304, day=3))
    shelf.close()
    entry = Shelf(tmp_path).find(URL)
    assert entry is not None
    assert Shelf(tmp_path).read(entry) == b"[2]"
    assert (entry.status, entry.fetched.day) == (200, 3)
    assert gzip.decompress((tmp_path / "page-0001.json.gz").read_bytes()) == b"[1]"
    assert len(list(tmp_path.glob("page-*"))) == 2


def test_changed_page_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    page = tmp_path / "page-0001.json.gz"
    page.write_bytes(gzip.compress(b'{"page": 9}'))
    shelf = Shelf(tmp_path)
    entry = shelf.find(f"{URL}&page=0")
    assert entry is not None
    with pytest.raises(InputError, match="not the bytes that were fetched"):
        shelf.read(entry)
    page.unlink()
    with pytest.raises(InputError, match="not readable"):
        shelf.read(entry)


@pytest.mark.parametrize("line", ["{}", "nonsense", "[1]", '{"url": 1}'])
def test_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    fill(tmp_path, 2)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(manifest.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl:3: not a line of a manifest"):
        Shelf(tmp_path)


@given(st.text(alphabet="a./\\:\x00~-_ %\n", min_size=0, max_size=20))
def test_no_name_leads_out_of_the_archive(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("archive")
    archive = Archive(root / "raw", "github")
    try:
        shelf = archive.shelf(name)
    except InputError:
        return
    shelf.add(URL, answer())
    shelf.close()
    assert all(path.is_relative_to(archive.folder / name) for path in root.rglob("*.gz"))
    assert (archive.folder / name).resolve().parent == archive.folder.resolve()


@pytest.mark.parametrize("name", ["..", ".", "", "../..", "/etc", "a/b", "a\\b", "a\n", ".hidden", "a" * 300])
def test_path_tricks_are_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a folder of the archive"):
        Archive(tmp_path, "github").shelf(name)
    assert list(tmp_path.iterdir()) == []


def test_second_run_on_one_source_is_refused_and_on_another_is_not(tmp_path: Path) -> None:
    with Archive(tmp_path, "github").locked():
        with (
            pytest.raises(InputError, match="another run adds to this archive"),
            Archive(tmp_path, "github").locked(),
        ):
            pass
        with Archive(tmp_path, "stackexchange").locked():
            pass
    with Archive(tmp_path, "github").locked():
        pass
