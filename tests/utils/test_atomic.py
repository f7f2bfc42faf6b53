"""Files that are complete or absent."""

import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from utils.atomic import atomic_write, try_outputs
from utils.errors import MisuseError, UserError


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


def test_what_a_killed_process_left_beside_a_name_with_brackets_is_removed(tmp_path):
    (tmp_path / f".a[0].csv.{socket.gethostname()}.{2**22 + 1}.tmp").write_text("half")
    with atomic_write(tmp_path / "a[0].csv", "w") as file:
        file.write("x")
    assert names(tmp_path) == ["a[0].csv"]


def test_a_name_too_long_is_an_error_that_names_the_file_that_was_meant(tmp_path):
    path = tmp_path / ("x" * 253)
    with pytest.raises(OSError, match="too long") as error, atomic_write(path):
        pass
    assert error.value.filename == str(path)


@pytest.mark.parametrize("there", [True, False], ids=["file", "nothing"])
def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path, there):
    for name in ("out", "deep"):
        (tmp_path / name).mkdir()
    target, link = tmp_path / "deep" / "x", tmp_path / "out" / "link"
    if there:
        target.write_text("old")
    (tmp_path / "out" / "second").symlink_to("../deep/x")
    link.symlink_to("second")
    with atomic_write(link, "w") as file:
        file.write("new")
        file.flush()
        assert target.read_text() == "old" if there else not target.exists()
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert os.readlink(link) == "second"
    assert names(tmp_path / "out") == ["link", "second"]
    assert names(tmp_path / "deep") == ["x"]


def test_a_loop_of_links_is_an_error_that_names_it(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links") as error, atomic_write(tmp_path / "loop"):
        pass
    assert error.value.filename == str(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "through a link"])
def test_a_fifo_is_written_into_and_stays_one(tmp_path, linked):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with ThreadPoolExecutor() as pool:
        reader = pool.submit((tmp_path / "fifo").read_bytes)
        with atomic_write(tmp_path / ("link" if linked else "fifo"), "w") as file:
            file.write("größe\n")
        assert reader.result() == "größe\n".encode()
    assert (tmp_path / "fifo").is_fifo()
    assert names(tmp_path) == ["fifo", "link"]


def test_a_device_is_written_into_and_stays_one():
    master, slave = os.openpty()
    terminal = os.ttyname(slave)
    with atomic_write(terminal) as file:
        file.write(b"shown")
    assert os.read(master, 100) == b"shown"
    assert Path(terminal).is_char_device()
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_a_file_that_stdout_goes_to_keeps_what_was_printed(process, tmp_path, name, request):
    code = (
        "from utils.atomic import atomic_write\nprint('before')\n"
        f"with atomic_write({name!r}, 'w') as file: file.write('table\\n')\nprint('after')"
    )
    command = f'{sys.executable} -c "{code}" > printed'
    assert process(tmp_path, "sh", "-c", command, PYTHONPATH=str(request.config.rootpath)).err == ""
    assert (tmp_path / "printed").read_text() == "before\ntable\nafter\n"


def test_where_files_can_be_written_trying_leaves_nothing(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # which nobody reads
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("gone/away")
    outputs = [tmp_path / name for name in ("x", "deep/er/x", "old", "link", "fifo")]
    try_outputs("--csv", *outputs, os.devnull, "/dev/stdout")
    assert names(tmp_path) == ["fifo", "link", "old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file/x", "file is not a folder"),
        ("file/deep/er/x", "file is not a folder"),
        ("link/x", "file is not a folder"),
        ("loop", "symbolic links"),
        ("x" * 300, "too long"),
        ("x" * 253, "too long"),  # for the name that it has until it is whole
        ("/dev/fd/987", "Bad file descriptor"),
    ],
)
def test_where_none_can_be_written_the_place_the_reason_and_the_flag_are_named(tmp_path, name, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=reason) as error:
        try_outputs("--csv", tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "--csv" in str(error.value)
    assert names(tmp_path) == ["file", "link", "loop"]


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(MisuseError, match="is a folder"):
        try_outputs("--csv", tmp_path)


def test_a_read_only_folder_is_named(tmp_path, read_only):
    read_only(tmp_path / "disc")
    with pytest.raises(UserError, match=r"Read-only file system \(.*disc\)"):
        try_outputs("--csv", tmp_path / "disc" / "deep" / "x")
