"""Files that are complete or absent."""

import os
import socket
import sys

import pytest

from utils.atomic import atomic_write


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_with_all_its_content(tmp_path):
    with atomic_write(tmp_path / "deep" / "x.txt", "w") as file:
        file.write("naïve\n")
    assert (tmp_path / "deep" / "x.txt").read_bytes() == "naïve\n".encode()
    assert names(tmp_path / "deep") == ["x.txt"]


def test_until_it_is_whole_a_reader_finds_the_old_file(tmp_path):
    (tmp_path / "x").write_text("old")
    with atomic_write(tmp_path / "x", "w") as file:
        file.write("new")
        file.flush()
        assert (tmp_path / "x").read_text() == "old"
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "x").write_text("old")

    def write() -> None:
        with atomic_write(tmp_path / "x") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_an_error_before_the_first_file_leaves_none(tmp_path):
    with pytest.raises(ValueError, match="no"), atomic_write(tmp_path / "x"):
        raise ValueError("no")
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):

    def write() -> None:
        with atomic_write(tmp_path / "x") as file, open("/dev/full", "wb") as full:
            os.dup2(full.fileno(), file.fileno())
            file.write(b"more than fits")

    with pytest.raises(OSError, match="No space left") as error:
        write()
    assert error.value.filename == str(tmp_path / "x")
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_writes(tmp_path):
    host = socket.gethostname()
    dead, alive, other = (f".x.{host}.{pid}.tmp" for pid in (2**22 + 1, os.getppid(), "word"))
    for name in (dead, alive, other, f".y.{host}.{2**22 + 1}.tmp"):
        (tmp_path / name).write_text("half")
    with atomic_write(tmp_path / "x", "w") as file:
        file.write("whole")
    assert names(tmp_path) == sorted([alive, other, f".y.{host}.{2**22 + 1}.tmp", "x"])


def test_leftovers_of_a_name_with_brackets_are_its_own(tmp_path):
    host, dead = socket.gethostname(), 2**22 + 1
    own, other = (f".{name}.{host}.{dead}.tmp" for name in ("a[0].csv", "a0.csv"))
    for name in (own, other):
        (tmp_path / name).write_text("half")
    with atomic_write(tmp_path / "a[0].csv", "w") as file:
        file.write("x")
    assert names(tmp_path) == sorted([other, "a[0].csv"])


def test_names_with_brackets_are_only_names(tmp_path):
    with atomic_write(tmp_path / "a[0].csv", "w") as file:
        file.write("x")
    assert names(tmp_path) == ["a[0].csv"]
