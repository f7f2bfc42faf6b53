"""Checkpoints from strangers, handed to the scripts: refused with one line that names the file, and never run."""

import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from predicting.checkpoint import load_checkpoint

STEM = "mobilenet_v3_small_tiny_last_32x64_16000_0-2_model.pth"
ALL = ("test.py", "tag.py", "train.py")
FLIPPED = 25  # checkpoints with a few bytes changed


@pytest.fixture
def state(tagger) -> dict:
    """What the checkpoint of a finished run holds, for a test to spoil."""
    return load_checkpoint(tagger / "checkpoints" / STEM)


@pytest.fixture
def refuse(tagger, script, tmp_path) -> Callable[..., None]:
    """Hand a checkpoint to test.py, tag.py and train.py --resume; each must refuse it with one line that names it."""

    def hand_over(stranger: Path, said: str = "", scripts: tuple[str, ...] = ALL) -> None:
        for name in scripts:
            *before, output = {
                "test.py": ("--model_path", stranger, "--prediction_dir"),
                "tag.py": ("x.wav", "--model_path", stranger, "--csv"),
                "train.py": ("--resume", stranger, "--checkpoint_dir"),
            }[name]
            outcome = script(tagger, name, *before, output, tmp_path / "out")
            assert outcome.code == 1, (name, outcome)
            assert str(stranger) in outcome.error, (name, outcome.err)
            assert said in outcome.error, (name, outcome.err)
            assert len(outcome.error) < 500
        assert [path.suffix for path in (tmp_path / "out").glob("*")] in ([], [".lock"])

    return hand_over


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["beside", "model", "the old format"])
def test_a_pickle_bomb_is_refused_and_does_not_go_off(refuse, state, tmp_path, place):
    path, crater = tmp_path / "stranger.pth", tmp_path / "crater"
    bomb = {"model": {**state["model"], "bomb": Bomb(crater)}} if place == "model" else {"bomb": Bomb(crater)}
    torch.save({**state, **bomb}, path, _use_new_zipfile_serialization=place != "the old format")
    refuse(path, "may hold code, and was not loaded")
    assert not crater.exists()
    torch.load(path, weights_only=False)
    assert crater.exists()  # so it was a real one


FIRST = "features.0.0.weight"
REFUSED = {  # what differs, from what the checkpoint holds; and what the line names
    "a weight of another shape": (lambda s: {"model": {**s["model"], FIRST: s["model"][FIRST][:1]}}, FIRST),
    "a class too many": (lambda s: {"class_names": [*s["class_names"], "Meow"]}, ""),
    "an unknown network": (lambda s: {"args": {**s["args"], "arch": "../x"}}, "arch"),
    "another format": (lambda s: {"format": 99}, "format 99"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_checkpoint_that_does_not_fit_is_refused_by_every_script(refuse, state, tmp_path, what):
    change, said = REFUSED[what]
    torch.save({**state, **change(state)}, tmp_path / "stranger.pth")
    refuse(tmp_path / "stranger.pth", said)


def test_other_classes_than_those_of_the_data_set_are_refused(refuse, state, tmp_path):
    torch.save({**state, "class_names": ["Meow", *state["class_names"][1:]]}, tmp_path / "stranger.pth")
    refuse(tmp_path / "stranger.pth", "class", ("test.py", "train.py"))  # tag.py has no data set


def test_what_is_no_file_or_cut_off_or_unpacks_to_a_thousand_times_its_size_is_refused(refuse, tagger, tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    whole = (tagger / "checkpoints" / STEM).read_bytes()
    for size in (0, 1000, len(whole) - 1):
        (tmp_path / f"{size}.pth").write_bytes(whole[:size])
    with zipfile.ZipFile(tmp_path / "zip.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("archive/version", "3\n")
        file.writestr("archive/data.pkl", bytes(32 << 20))
    for name in ("nothing.pth", "x" * 300, *sorted(path.name for path in tmp_path.iterdir())):
        refuse(tmp_path / name, "compressed" if name == "zip.pth" else "")


TRAINING = {  # arguments and parts that only a training needs
    "n_iter": [0, "2", None, 1], "l_rate": ["0.1", -1.0], "dropout_rate": [7.0], "loss": ["nonsense"],
    "precision": ["fp7"], "generators": [{}, {"cpu": torch.zeros(3)}], "losses": [torch.zeros(7), torch.zeros(2, 2)],
    "optimizer": [{}, {"state": {}, "param_groups": []}], "held_out": [["nobody.wav"], []],
}  # fmt: skip


@pytest.mark.parametrize("key", TRAINING)
def test_what_only_a_training_needs_is_refused_by_train_py(refuse, state, tmp_path, key):
    for value in TRAINING[key]:
        change = {"args": {**state["args"], key: value}} if key in state["args"] else {key: value}
        torch.save({**state, **change}, tmp_path / "stranger.pth")
        refuse(tmp_path / "stranger.pth", scripts=("train.py",))


def test_a_checkpoint_does_not_choose_where_to_write(state, tagger, script, tmp_path):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "stranger.pth"
    args = {**state["args"], "checkpoint_dir": str(elsewhere), "resume": "x", "prediction_dir": "y"}
    torch.save({**state, "args": args, "best_step": state["step"]}, path)
    outcome = script(tagger, "train.py", "--resume", path, "--checkpoint_dir", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert not elsewhere.exists()


def test_changed_bytes_are_refused_or_change_nothing_that_matters(tagger, script, tmp_path):
    whole, path = (tagger / "checkpoints" / STEM).read_bytes(), tmp_path / "stranger.pth"
    names = whole.index(b"data.pkl"), whole.index(b"data/0")  # the pickle lies between; damage to weights goes unseen
    rng = random.Random(0)
    for _ in range(FLIPPED):
        spoilt = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            spoilt[rng.randrange(*names)] = rng.randrange(256)
        path.write_bytes(spoilt)
        flags = ["--model_path", path, "--prediction_dir", tmp_path / "out", "--split", "val"]
        outcome = script(tagger, "test.py", *flags)
        assert outcome.code in (0, 1, 2), outcome
        assert "Traceback" not in outcome.err
        if outcome.code:
            assert str(path) in outcome.error
