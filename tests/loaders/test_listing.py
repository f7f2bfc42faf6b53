"""Which files of a folder are clips, for data sets in folders and for tag.py."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from loaders.audio import UnusableClipError, read_mono
from loaders.layouts import read_corpus
from loaders.listing import SUFFIXES, list_folders, list_sounds
from tagging.tagger import find_audio
from utils.errors import UserError

TONE = np.sin(np.arange(1600) / 5).astype(np.float32) / 2


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


def test_labels_may_be_links_and_two_of_them_to_one_folder(tmp_path):
    elsewhere = touch(tmp_path / "elsewhere", "1.wav", "2.wav")
    root = touch(tmp_path / "data", "train/B/b.wav")
    for label in ("A", "C"):
        (root / "train" / label).symlink_to(elsewhere)
    corpus = read_corpus(root)
    assert corpus.class_names == ["A", "B", "C"]
    assert corpus.subset("train_curated").truth.sum(axis=0).tolist() == [2, 1, 2]


def test_loops_of_links_end_and_each_clip_is_found_once(tmp_path):
    root = touch(tmp_path / "root", "a/1.wav", "b/2.wav")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "b").symlink_to(root / "b")
    (root / "b" / "a").symlink_to(touch(root / "b" / "z", "3.wav"))  # what has two names goes by its own
    (root / "self.wav").symlink_to(root / "self.wav")
    (root / "a" / "2.wav").symlink_to(root / "b/2.wav")
    found = ["a/1.wav", "a/2.wav", "a/b/2.wav", "a/b/z/3.wav", "b/2.wav", "b/z/3.wav", "self.wav"]
    assert listings(root) == [found] * 2


def test_links_to_one_another_do_not_multiply(tmp_path):
    for i in range(12):
        touch(tmp_path, f"top/{i}/{i}.wav")
        for j in range(12):
            (tmp_path / "top" / str(i) / f"to{j}").symlink_to(tmp_path / "top" / str(j))
    assert len(list_sounds(tmp_path)) == 12


KINDS = {".wave": "WAV", ".aifc": "AIFF", ".snd": "AU", ".rf64": "RF64", ".voc": "VOC", ".mp2": "MP3", ".bwf": "WAV",
         ".sph": "NIST", ".8svx": "SVX", ".WAV": "WAV"}  # fmt: skip


@pytest.mark.parametrize(("suffix", "kind"), KINDS.items())
def test_suffixes_of_formats_that_can_be_read(tmp_path, suffix, kind):
    path = tmp_path / f"x{suffix}"
    sf.write(path, TONE, 16000, format=kind, subtype=None if kind == "MP3" else "PCM_16")
    assert listings(tmp_path) == [[path.name]] * 2
    assert len(read_mono(path, 16000)) >= len(TONE)


def test_every_format_of_libsndfile_has_its_suffix():
    assert {f".{name.lower()}" for name in sf.available_formats()} <= SUFFIXES


@pytest.mark.parametrize("suffix", [".m4a", ".aac", ".wma", ".amr", ".MP4", ".mov", ".mp3", ".wav"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x20ftypM4A nothing follows", "its index is missing.*; repair it"),
        (b"<html>404</html>" * 99, "of no known format.*; replace it"),
    ],
)
def test_what_is_no_sound_is_listed_and_the_reason_is_that_of_its_content(tmp_path, suffix, content, reason):
    (tmp_path / f"x{suffix}").write_bytes(content)
    assert listings(tmp_path) == [[f"x{suffix}"]] * 2
    with pytest.raises(UnusableClipError, match=f"not readable as audio: .*{reason}"):
        read_mono(tmp_path / f"x{suffix}", 16000)


@pytest.fixture
def deny(monkeypatch):
    """Take the right to read a path away, as chmod does from everybody but root, who may run the tests."""

    def from_path(denied: Path) -> None:
        listdir, access = os.listdir, os.access

        def refuse(path):
            if Path(path) == denied:
                raise PermissionError(13, "Permission denied", str(path))
            return listdir(path)

        monkeypatch.setattr(os, "listdir", refuse)
        monkeypatch.setattr(os, "access", lambda path, *how: Path(path) != denied and access(path, *how))

    return from_path


@pytest.mark.parametrize("list_it", [list_sounds, lambda folder: find_audio([folder])])
@pytest.mark.parametrize("name", [".", "a/b"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, deny, list_it, name):
    touch(tmp_path, "a/b/1.wav", "2.wav")
    deny(tmp_path / name)
    with pytest.raises(UserError, match="permission denied") as error:
        list_it(tmp_path)
    assert str(tmp_path / name) in str(error.value)


def test_a_file_that_may_not_be_read_says_so(tmp_path, deny):
    sf.write(tmp_path / "x.wav", TONE, 16000)
    deny(tmp_path / "x.wav")
    assert list_sounds(tmp_path) == ["x.wav"]
    with pytest.raises(UnusableClipError, match="permission denied"):
        read_mono(tmp_path / "x.wav", 16000)


def test_the_feature_step_fails_on_a_clip_that_may_not_be_read_and_names_it(script, spoiled, corpus, deny):
    deny(corpus / "train_noisy" / "oisy03.wav")
    os.utime(corpus / "train_noisy" / "oisy03.wav", (1, 1))  # so that it is to be read again
    flags = ["--dataset", "tiny", "--sampling_rate", 16000, "--img_rows", 32, "--jobs", 1]
    done = script(spoiled, "loaders/freesound_loader.py", *flags)
    assert done.code == 1
    assert "  oisy03.wav: permission denied" in done.out
    assert "train_noisy: 0 clips computed, 7 up to date, 1 cannot be used" in done.out
