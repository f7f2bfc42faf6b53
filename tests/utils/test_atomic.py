"""Files that are complete or absent."""

import os
import socket
import sys

import pytest

from utils.atomic import atomic_write, try_outputs
from utils.errors import MisuseError, UserError

NO_FILES = "fifo", "tofifo", "tonull", "folder"
HOST, DEAD = socket.gethostname(), 2**22 + 1  # no process has this number


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["x", "deep/x", "a[0].csv"])
@pytest.mark.parametrize("there", [True, False], ids=["an old file", "nothing"])
def test_until_it_is_whole_a_reader_finds_what_was_there(tmp_path, name, there):
    path = tmp_path / name
    if there:
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("naïve\n")
        file.flush()
        assert path.read_text() == "old" if there else not path.exists()
    assert path.read_bytes() == "naïve\n".encode()
    assert names(path.parent) == [path.name]


def full_disk(file) -> None:
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), file.fileno())


def interrupted(file) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("there", [True, False], ids=["an old file", "nothing"])
@pytest.mark.parametrize(("spoil", "error"), [(full_disk, OSError), (interrupted, KeyboardInterrupt)])
def test_an_error_names_the_file_and_leaves_what_was_there(tmp_path, spoil, error, there):
    if there:
        (tmp_path / "x").write_text("old")

    def write() -> None:
        with atomic_write(tmp_path / "x") as file:
            spoil(file)
            file.write(b"half")

    with pytest.raises(error) as raised:
        write()
    assert error is not OSError or raised.value.filename == str(tmp_path / "x")
    assert names(tmp_path) == ["x"][:there]
    assert not there or (tmp_path / "x").read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(("name", "other"), [("x", "y"), ("a[0].csv", "a0.csv")])
def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_writes(tmp_path, name, other):
    kept = [f".{name}.{HOST}.{os.getppid()}.tmp", f".{name}.{HOST}.word.tmp", f".{other}.{HOST}.{DEAD}.tmp"]
    for leftover in (f".{name}.{HOST}.{DEAD}.tmp", *kept):
        (tmp_path / leftover).write_text("half")
    with atomic_write(tmp_path / name, "w") as file:
        file.write("whole")
    assert names(tmp_path) == sorted([*kept, name])


@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing"])
def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path, there):
    target, link = tmp_path / "deep" / "x", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to("second")
    (tmp_path / "second").symlink_to("deep/x")
    with atomic_write(link, "w") as file:
        file.write("new")
    assert (target.read_text(), target.is_symlink(), os.readlink(link)) == ("new", False, "second")
    assert (names(tmp_path), names(tmp_path / "deep")) == (["deep", "link", "second"], ["x"])


@pytest.fixture
def odd(tmp_path):
    """A folder with what is no file to write, and what leads to it."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    links = {"link": "file", "tofifo": "fifo", "tonull": os.devnull}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


def test_where_files_can_be_written_trying_leaves_nothing(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("gone/away")
    try_outputs("--csv", *(tmp_path / name for name in ("x", "deep/er/x", "old", "link")))
    assert names(tmp_path) == ["link", "old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        *((name, UserError, "file is not a folder") for name in ("file/x", "file/deep/er/x", "link/x")),
        ("x" * 253, UserError, "too long"),  # for the name that it has until it is whole
        *((name, MisuseError, "is a folder, a device or a pipe") for name in NO_FILES),
    ],
)
def test_what_cannot_be_a_file_stays_and_is_named_with_the_reason_and_the_flag(odd, name, error, reason):
    before = names(odd)
    with pytest.raises(error, match=reason) as refused:
        try_outputs("--csv", odd / name)
    assert type(refused.value) is error
    assert str(odd / name) in str(refused.value)
    assert "--csv" in str(refused.value)
    with pytest.raises(OSError, match=r".") as raised, atomic_write(odd / name):
        pytest.fail("it was opened")
    assert "/x" in name or (reason[:8] in str(raised.value) and raised.value.filename == str(odd / name))
    assert names(odd) == before
    assert (odd / "fifo").is_fifo()
