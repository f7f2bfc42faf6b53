"""What the README shows, run small: the competition step by step, and the code to paste into Python."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.pages import ROOT, blocks, called

README = ROOT / "README.md"
SMALLER = {"0 1 2 3 4": "0 1", "--num_folds 5": "--num_folds 2", "-5_model": "-2_model"}
FURTHER = {  # flags that make a step small, by script
    "loaders/freesound_loader.py": ["--jobs", "1"],
    "train.py": ["--n_iter", "1", "--batch_size", "4", "--device", "cpu"],
    "test.py": ["--no-use_cuda"],
    "report.py": ["--clips", "1", "--noisy_clips", "0"],
}


def smaller(text: str) -> str:
    for written, small in SMALLER.items():
        text = text.replace(written, small)
    return text


def steps(folder: Path) -> list[list[str]]:
    """The scripts that the steps call, in order, without run.sh, which would call them again."""
    section = re.search(r"^## The competition.*?(?=^## )", README.read_text(encoding="utf-8"), re.M | re.S)[0]
    texts = [text for text in blocks(README, "bash") if text in section and "run.sh" not in text]
    return [call[1:] for text in texts for call in called(text, folder, smaller)]


def test_the_competition_step_by_step_ends_in_a_submission_and_a_report(script, template, tmp_path):
    (tmp_path / "stand_in").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    shutil.copytree(template, place / "data", ignore=shutil.ignore_patterns("features"))
    (place / "config.json").write_text(json.dumps({"freesound": {"data_path": "data"}}))
    for name, *flags in steps(tmp_path / "stand_in"):
        done = script(place, name, *flags, *FURTHER.get(name, []))
        assert done.code == 0, done.err
    assert len(list((place / "checkpoints").glob("resnet18_freesound_*_128x197_44100_?-2_model.pth"))) == 4
    assert len(pd.read_csv(place / "submission.csv")) == 6
    assert len(pd.read_csv(place / "oof.csv")) == 20
    assert "<html" in (place / "report.html").read_text()


@pytest.fixture
def trained(tagger, tmp_path, monkeypatch) -> Path:
    """A folder as after make demo: config.json, checkpoints and nothing else; the working directory."""
    folder = tmp_path / "trained"
    shutil.copytree(tagger / "checkpoints", folder / "checkpoints")
    shutil.copy(tagger / "config.json", folder)
    monkeypatch.chdir(folder)
    return folder


def test_the_first_look_draws_a_clip_and_tags_it(trained, capsys):
    [text] = blocks(README, "python")
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
