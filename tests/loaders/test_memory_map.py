"""Features on file systems that map no files: read whole, and that is said."""

import errno
import mmap
import os

import numpy as np
import pytest

from loaders.clips import map_array

ROWS = np.arange(12, dtype=np.float16).reshape(4, 3)


@pytest.mark.parametrize("code", [None, errno.ENODEV, errno.ENOMEM])
def test_an_array_is_mapped_or_else_read_and_another_error_stays_one(tmp_path, capsys, monkeypatch, code):
    def fail(*args, **how):
        raise OSError(code, os.strerror(code))

    np.save(tmp_path / "x.npy", ROWS)
    if code:
        monkeypatch.setattr(mmap, "mmap", fail)
    if code == errno.ENOMEM:
        with pytest.raises(OSError, match="Cannot allocate memory"):
            map_array(tmp_path / "x.npy")
        return
    rows = map_array(tmp_path / "x.npy")
    np.testing.assert_array_equal(rows, ROWS)
    assert isinstance(rows, np.memmap) == (code is None)
    problem = f"{tmp_path / 'x.npy'} cannot be memory-mapped where it lies (No such device); reading it whole, 0 MB\n"
    assert capsys.readouterr().err == (problem if code else "")


def test_an_array_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        map_array(tmp_path / "none.npy")
