"""Features on file systems that map no files: read whole, and that is said."""

import errno
import mmap
import os

import numpy as np
import pytest

from loaders.memory_map import map_array, map_journal

ROWS = np.arange(12, dtype=np.float16).reshape(4, 3)


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    ROWS.tofile(tmp_path / "x.part")
    return tmp_path


def refuse(monkeypatch, code):
    def fail(*args, **how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(mmap, "mmap", fail)


def test_rows_are_mapped_and_nothing_is_said(files, capsys):
    for rows in (map_array(files / "x.npy"), map_journal(files / "x.part", 3)):
        assert isinstance(rows, np.memmap)
        np.testing.assert_array_equal(rows, ROWS)
    assert capsys.readouterr().err == ""


def test_where_files_cannot_be_mapped_they_are_read(files, capsys, monkeypatch):
    refuse(monkeypatch, errno.ENODEV)
    np.testing.assert_array_equal(map_array(files / "x.npy"), ROWS)
    np.testing.assert_array_equal(map_journal(files / "x.part", 3), ROWS)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    for name, line in zip(("x.npy", "x.part"), said, strict=True):
        assert f"{files / name} cannot be memory-mapped where it lies (No such device)" in line


def test_another_error_stays_one(files, monkeypatch):
    refuse(monkeypatch, errno.ENOMEM)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        map_array(files / "x.npy")
    with pytest.raises(FileNotFoundError):
        map_array(files / "none.npy")
