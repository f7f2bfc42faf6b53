"""What README.md, docs/tagging.md and CONTRIBUTING.md show, run small: Python to paste, and the diffs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loaders.layouts import read_corpus
from tests.pages import ROOT, blocks


@pytest.fixture
def trained(tagger, tmp_path, monkeypatch) -> Path:
    """A folder as after make demo: config.json, checkpoints and nothing else; the working directory."""
    folder = tmp_path / "trained"
    shutil.copytree(tagger / "checkpoints", folder / "checkpoints")
    shutil.copy(tagger / "config.json", folder)
    monkeypatch.chdir(folder)
    return folder


def test_the_first_look_draws_a_clip_and_tags_it(trained, capsys):
    [text] = blocks(ROOT / "README.md", "python")
    exec(text.replace('"demo"', '"tiny"'), {})
    assert Path("clip.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert all(name in out for name in ("Bark", "Hum", "Rain", "Whistle"))


def test_tagging_from_python_as_its_page_shows(trained, beep):
    [text] = blocks(ROOT / "docs/tagging.md", "python")
    Path("recordings").mkdir()
    beep(Path("recordings/beep.wav"))
    for letter, checkpoint in zip("ab", sorted(Path("checkpoints").glob("*_best_*")), strict=True):
        checkpoint.rename(f"checkpoints/{letter}.pth")
    names: dict = {}
    exec(text, names)
    assert list(names["table"].index) == ["recordings/beep.wav"]
    assert names["table"].shape == (1, 4)


DIFFS = blocks(ROOT / "CONTRIBUTING.md", "diff")
TRAIN = """
import runpy, sys
for command in sys.argv[1:]:
    sys.argv, sys.path[0] = command.split(), "."
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            raise
"""  # two scripts in one process, which imports torch once
FLAGS = "--dataset named --sampling_rate 16000 --img_rows 32"
COMMANDS = [
    f"loaders/freesound_loader.py {FLAGS} --jobs 1",
    f"train.py {FLAGS} --img_cols 64 --n_iter 1 --batch_size 9 --num_folds 2 --arch efficientnet_b0 --loss bce+squared",
]


def test_the_diffs_are_short_apply_and_train(make_repository, template, process):
    root = make_repository("named")
    for diff in DIFFS:
        assert len(re.findall(r"^(?!\+\+\+|---)[-+]", diff, re.M)) <= 15
        subprocess.run(["git", "apply"], input=diff, text=True, cwd=root, check=True)
    curated = read_corpus(template).subset("train_curated")
    (root / "named/sounds").mkdir(parents=True)
    for fname, labels in zip(curated.fnames, curated.truth, strict=True):
        shutil.copy(curated.folder / fname, root / f"named/sounds/Class{labels.argmax()}_{fname}")
    (root / "config.json").write_text(json.dumps({"named": {"data_path": "named"}}))
    done = process(root, sys.executable, "-c", TRAIN, *COMMANDS).ok()
    assert "lwlrap per class" in done.out
    assert all(f"Class{label}" in done.out for label in range(4))
    assert (root / "checkpoints/efficientnet_b0_named_best_32x64_16000_0-2_model.pth").exists()
