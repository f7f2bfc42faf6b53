"""Which files of a folder are clips, for data sets in folders and for tag.py."""

import os
from pathlib import Path

import pytest
import soundfile as sf

from loaders.layouts import read_corpus
from loaders.listing import SUFFIXES, list_folders, list_sounds
from tagging.tagger import find_audio


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listings(root: Path) -> list[list[str]]:
    """What both of those who list a folder find in it."""
    return [list_sounds(root), [path.relative_to(root).as_posix() for path in find_audio([root])]]


def test_junk_is_no_clip_at_any_depth(tmp_path):
    touch(tmp_path, "a.wav", "deep/b.flac", "._a.wav", ".DS_Store", ".hidden/c.wav", "deep/.ipynb_checkpoints/b.wav")
    touch(tmp_path, "__MACOSX/deep/d.wav", "deep/__pycache__/e.wav", "lost+found/f.wav", "notes.txt", "wav")
    touch(tmp_path, "take1.wav/t.wav")
    assert listings(tmp_path) == [["a.wav", "deep/b.flac", "take1.wav/t.wav"]] * 2
    assert listings(tmp_path / ".hidden") == [["c.wav"]] * 2, "named, it is searched"
    assert list_folders(tmp_path) == ["deep", "take1.wav"]


def test_labels_may_be_links(tmp_path):
    root = touch(tmp_path / "data", "train/B/b.wav")
    (root / "train" / "A").symlink_to(touch(tmp_path / "elsewhere", "1.wav", "2.wav"))
    corpus = read_corpus(root)
    assert corpus.class_names == ["A", "B"]
    assert corpus.subset("train_curated").truth.sum(axis=0).tolist() == [2, 1]


def test_loops_of_links_end_and_each_clip_is_found_once(tmp_path):
    root = touch(tmp_path / "root", "a/1.wav", "b/2.wav")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "b").symlink_to(root / "b")
    (root / "b" / "a").symlink_to(touch(root / "b" / "z", "3.wav"))  # what lies there goes by its own name
    (root / "b" / "other").symlink_to(touch(tmp_path / "elsewhere", "4.wav"))
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "self.wav").symlink_to(root / "self.wav")
    (root / "a" / "2.wav").symlink_to(root / "b/2.wav")
    found = ["a/1.wav", "a/2.wav", "b/2.wav", "b/other/4.wav", "b/z/3.wav", "self.wav"]
    assert listings(root) == [found] * 2


def test_every_format_of_libsndfile_has_its_suffix():
    assert {f".{name.lower()}" for name in sf.available_formats()} <= SUFFIXES


def test_a_folder_that_may_not_be_read_is_an_error_that_names_it(tmp_path, monkeypatch):
    touch(tmp_path, "a/b/1.wav", "2.wav")
    scandir = os.scandir

    def refuse(path):  # as chmod makes it for everybody but root, who may run the tests
        if Path(path) == tmp_path / "a/b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="a/b"):
        list_sounds(tmp_path)
