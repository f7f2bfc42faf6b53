"""A data set whose name is a pattern to a shell: every script that looks for its files finds them, and only those."""

import json

import torch

from predicting.checkpoint import load_checkpoint
from tests.conftest import write_config
from tests.scripts.conftest import BEST

NAME = "birds[2024]"
SIZE = ["--dataset", NAME, "--img_rows", 32, "--img_cols", 64]


def test_every_script_finds_what_it_looks_for(tmp_path, template, script, tagger, beep):
    folder = write_config(tmp_path / "birds", **{NAME: template})
    (folder / "checkpoints").mkdir()
    beep(folder / "x.wav")
    commands = [
        ["merge.py", *SIZE, "--split", "test"],
        ["merge.py", *SIZE, "--split", "val"],
        ["report.py", *SIZE, "--clips", 0, "--noisy_clips", 0],
        ["tag.py", "--device", "cpu", "--tta", 1, "."],
        ["on_kaggle/pack.py", "--dataset", NAME, "--num_folds", 2, "--no-wheels"],
    ]
    for fold in range(2):
        state, path = load_checkpoint(tagger / BEST.format(fold)), BEST.format(fold).replace("tiny", NAME)
        torch.save(state | {"args": state["args"] | {"dataset": NAME}}, folder / path)
        commands.insert(0, ["test.py", "--model_path", path, "--device", "cpu", "--split", "test", "val", "--tta", 1])
    for command in commands:
        done = script(folder, *command)
        assert (done.code, done.err) == (0, ""), command
    assert NAME in (folder / "report.html").read_text()
    assert len(json.loads((folder / "kaggle_dataset/pack.json").read_text())["checkpoints"]) == 2
