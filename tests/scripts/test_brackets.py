"""A data set whose name is a pattern to a shell: every script that looks for its files finds them, and only those."""

import json

import pytest
import torch

from predicting.checkpoint import load_checkpoint
from tests.scripts.conftest import BEST

NAME = "birds[2024]"
SIZE = ["--dataset", NAME, "--img_rows", 32, "--img_cols", 64]


@pytest.fixture(scope="module")
def birds(tmp_path_factory, template, script, tagger):
    """A folder with both folds of a run on that data set, and their predictions."""
    folder = tmp_path_factory.mktemp("birds")
    (folder / "config.json").write_text(json.dumps({NAME: {"data_path": str(template)}}))
    (folder / "checkpoints").mkdir()
    for fold in range(2):
        state, path = load_checkpoint(tagger / BEST.format(fold)), BEST.format(fold).replace("tiny", NAME)
        torch.save(state | {"args": state["args"] | {"dataset": NAME}}, folder / path)
        done = script(folder, "test.py", "--model_path", path, "--device", "cpu", "--split", "test", "val", "--tta", 1)
        assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("merge.py", [*SIZE, "--split", "test"]),
        ("merge.py", [*SIZE, "--split", "val"]),
        ("report.py", [*SIZE, "--clips", 0, "--noisy_clips", 0]),
        ("tag.py", ["--device", "cpu", "--tta", 1, "."]),
        ("on_kaggle/pack.py", ["--dataset", NAME, "--num_folds", 2, "--no-wheels"]),
    ],
)
def test_every_script_finds_what_it_looks_for(birds, script, beep, name, flags):
    beep(birds / "x.wav")
    done = script(birds, name, *flags)
    assert (done.code, done.err) == (0, "")
    if name == "report.py":
        assert NAME in (birds / "report.html").read_text()
    if name == "on_kaggle/pack.py":
        assert len(json.loads((birds / "kaggle_dataset/pack.json").read_text())["checkpoints"]) == 2
