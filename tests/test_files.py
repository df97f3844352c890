"""A file is the old one or the new one, never a part of either."""

import os
import stat

import pytest

from attention_faults.files import replacing


class Interruption(BaseException):
    """Stands for any way to stop, KeyboardInterrupt among them."""


def write_half(target, failure):
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise failure


def test_the_file_appears_whole_and_alone(tmp_path):
    with replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "new")]


def test_missing_folders_are_made(tmp_path):
    with replacing(tmp_path / "results" / "tables" / "table.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "results" / "tables" / "table.csv").read_text() == "new"


def test_the_old_content_stands_until_the_new_is_complete(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("ne")
        assert target.read_text() == "old"
    assert target.read_text() == "ne"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, Interruption])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_failure_keeps_what_was_there_and_leaves_nothing_else(tmp_path, failure, old):
    target = tmp_path / "table.csv"
    if old:
        target.write_text(old)
    with pytest.raises(failure):
        write_half(target, failure)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({"table.csv": old} if old else {})


def test_a_failure_before_the_first_byte_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="early"), replacing(tmp_path / "table.csv"):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_wrote_nothing_does_not_pass_for_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "table.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path):
    folder = tmp_path / "table.csv"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"), replacing(folder) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [folder]


def test_the_temporary_file_has_the_suffix_and_the_file_system_of_its_target(tmp_path):
    with replacing(tmp_path / "figure.svg") as temporary:
        assert (temporary.suffix, temporary.parent) == (".svg", tmp_path)
        temporary.touch()


def test_two_writers_of_one_file_do_not_share_a_temporary_file(tmp_path):
    target = tmp_path / "table.csv"
    with replacing(target) as one, replacing(target) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "table.csv") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "table.csv").stat().st_mode) == 0o666 & ~umask
