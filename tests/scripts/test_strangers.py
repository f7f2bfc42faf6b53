"""Checkpoints from strangers, handed to the scripts: refused with one line that names the file, and never run."""

import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from predicting.checkpoint import load_checkpoint

STEM = "mobilenet_v3_small_tiny_last_32x64_16000_0-2_model.pth"
FLIPPED = 50  # checkpoints with a few bytes changed


@pytest.fixture(scope="module")
def trained(tmp_path_factory, template, script, tiny_flags) -> Path:
    """A folder in which a fold was trained for two steps."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(json.dumps({"tiny": {"data_path": str(template)}}))
    assert script(folder, "train.py", *tiny_flags, "--n_iter", 2, "--eval_freq", 1).code == 0
    return folder


@pytest.fixture
def state(trained) -> dict:
    """What its checkpoint holds, for a test to spoil."""
    return load_checkpoint(trained / "checkpoints" / STEM)


@pytest.fixture
def refuse(trained, script, tmp_path) -> Callable[..., None]:
    """Hand a checkpoint to test.py, tag.py and train.py --resume; each must refuse it with one line that names it."""

    def hand_over(stranger: Path, said: str = "", scripts: tuple[str, ...] = ("test.py", "tag.py", "train.py")) -> None:
        for name in scripts:
            *before, output = {
                "test.py": ("--model_path", stranger, "--prediction_dir"),
                "tag.py": ("x.wav", "--model_path", stranger, "--csv"),
                "train.py": ("--resume", stranger, "--checkpoint_dir"),
            }[name]
            outcome = script(trained, name, *before, output, tmp_path / "out")
            assert outcome.code == 1, (name, outcome)
            assert str(stranger) in outcome.error, (name, outcome.err)
            assert said in outcome.error, (name, outcome.err)
            assert len(outcome.error) < 500
        assert not (tmp_path / "out").exists()

    return hand_over


@pytest.fixture
def stranger(tmp_path, state) -> Callable[..., Path]:
    """A whole checkpoint in which some things differ."""

    def save(**changes: object) -> Path:
        path = tmp_path / "stranger.pth"
        torch.save({**state, **changes}, path)
        return path

    return save


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["beside", "args", "model", "the old format", "a bare pickle"])
def test_a_pickle_bomb_is_refused_and_does_not_go_off(refuse, state, tmp_path, place):
    path, crater = tmp_path / "stranger.pth", tmp_path / "crater"
    bomb = Bomb(crater)
    if place == "a bare pickle":
        path.write_bytes(pickle.dumps({"format": 1, "bomb": bomb}))
    else:
        held = {"beside": state} | {key: {**state, key: {**state[key], "bomb": bomb}} for key in ("args", "model")}
        content = {**held.get(place, state), "bomb": bomb}
        torch.save(content, path, _use_new_zipfile_serialization=place != "the old format")
    refuse(path, "holds code")
    assert not crater.exists()
    torch.load(path, weights_only=False) if place != "a bare pickle" else pickle.loads(path.read_bytes())
    assert crater.exists()  # so it was a real one


def test_weights_that_do_not_fit_are_named(refuse, stranger, state):
    weights = state["model"]
    first = next(iter(weights))
    refuse(stranger(model={**weights, first: weights[first][:1]}), first)
    refuse(stranger(model={**weights, "further.weight": torch.ones(2)}), "further.weight")
    refuse(stranger(model={name: weight for name, weight in weights.items() if name != first}), first)
    refuse(stranger(model={**weights, first: "text"}), first)
    refuse(stranger(model={**weights, first: weights[first] * torch.nan}), "finite")
    refuse(stranger(model={}))


def test_other_class_lists_are_named(refuse, stranger, state):
    names = state["class_names"]
    refuse(stranger(class_names=["Meow", *names[1:]]), "class", ("test.py", "train.py"))  # tag.py has no data set
    refuse(stranger(class_names=[*names, "Meow"]), "class")
    for odd in (names[:-1], [], [1, 2, 3, 4], [[], [], [], []], [*names[1:], names[1]]):
        refuse(stranger(class_names=odd))


def test_a_newer_format_is_named(refuse, stranger):
    refuse(stranger(format=99), "format 99")


@pytest.mark.parametrize("key", ["args", "class_names", "step", "model", "optimizer", "generators", "log", "held_out"])
def test_a_missing_or_mistaken_part_is_refused(refuse, stranger, state, tmp_path, key):
    for value in (None, 7.5, "text", [], {}, {"x": 1}, ["x"], torch.ones(3)):
        if type(value) is not type(state[key]) or not value:
            refuse(stranger(**{key: value}), scripts=("train.py",))
    lacking = tmp_path / "lacking.pth"
    torch.save({name: value for name, value in state.items() if name != key}, lacking)
    refuse(lacking, key)


BAD_ARGS = {
    "arch": ["resnet9000", "", 5, None, "../x"],
    "dataset": [7, None, [], {}],
    "img_rows": [0, -1, "32", 32.0, None, 2**70],
    "img_cols": [0, -64, "64", None, 10**12],
    "sampling_rate": [0, -1, "16000", None, 10**9],
    "fold_num": [-1, 2, "0", None],
    "num_folds": [0, -2, "2", None, 10**6],
    "use_cbam": ["yes", 1, None],
    "loss": [5, None],
    "seed": [-1, "1234", None],
}


@pytest.mark.parametrize("key", BAD_ARGS)
def test_bad_arguments_are_refused(refuse, stranger, state, key):
    for value in BAD_ARGS[key]:
        refuse(stranger(args={**state["args"], key: value}))
    refuse(stranger(args={name: value for name, value in state["args"].items() if name != key}), key)


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "n_iter": [0, -1, "2", None, 1],
        "batch_size": [0, -4, "4", None],
        "iter_size": [0, "1"],
        "l_rate": ["0.1", None, -1.0],
        "dropout_rate": ["0.5", 7.0],
        "loss": ["nonsense", 5],
        "split": ["elsewhere", None],
        "fold_split": ["elsewhere", 5],
        "noisy_weight": ["0.8", None],
        "precision": ["fp7", None],
    }.items(),
)
def test_bad_arguments_of_the_training_are_refused(refuse, stranger, state, key, values):
    for value in values:
        refuse(stranger(args={**state["args"], key: value}), scripts=("train.py",))


def test_a_checkpoint_does_not_choose_where_to_write(stranger, state, trained, script, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    args = {**state["args"], "checkpoint_dir": str(elsewhere), "resume": "x", "prediction_dir": "y"}
    path = stranger(args=args, best_step=state["step"])
    outcome = script(trained, "train.py", "--resume", path, "--checkpoint_dir", tmp_path / "out")
    assert outcome.code == 0, outcome
    assert not elsewhere.exists()


def test_a_state_that_no_run_can_have_is_refused(refuse, stranger, state):
    optimizer = state["optimizer"]
    odd = {
        "generators": [{}, {"cpu": torch.zeros(3)}, {"cpu": "text"}],
        "optimizer": [{}, {**optimizer, "state": "x"}, {**optimizer, "param_groups": []}],
        "losses": [torch.zeros(7), torch.zeros(2, 2), torch.full((2,), torch.nan)],
        "log": [[{}], [7], [{"step": 1}], []],
        "step": [-1, 3, 10**9],
        "best_step": [-5, 77],
        "best_score": [float("nan")],
        "held_out": [["nobody.wav"], [7], []],
        "prior": [torch.zeros(2), torch.zeros(4, 4)],
    }
    for key, values in odd.items():
        for value in values:
            refuse(stranger(**{key: value}), scripts=("train.py",))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"text", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x80\x04N.", bytes(5000), b"\x80\x02}q\x00."]
)
def test_what_is_no_checkpoint_is_refused(refuse, tmp_path, content):
    path = tmp_path / "stranger.pth"
    path.write_bytes(content)
    refuse(path)


def test_what_is_no_file_is_refused(refuse, tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "loop.pth").symlink_to("loop.pth")
    for name in ("folder.pth", "loop.pth", "nothing.pth", "x" * 300):
        refuse(tmp_path / name)


def test_a_checkpoint_cut_off_anywhere_is_refused(refuse, trained, tmp_path):
    whole, path = (trained / "checkpoints" / STEM).read_bytes(), tmp_path / "stranger.pth"
    for size in (1, 64, 1000, len(whole) // 2, len(whole) - 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        refuse(path)


def test_a_zip_that_unpacks_to_a_gigabyte_is_refused(refuse, tmp_path):
    path = tmp_path / "stranger.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("archive/version", "3\n")
        with file.open("archive/data.pkl", "w", force_zip64=True) as record:
            for _ in range(1 << 10):
                record.write(bytes(1 << 20))
    assert path.stat().st_size < 2 << 20
    refuse(path)


def test_changed_bytes_are_refused_or_change_nothing_that_matters(trained, script, tmp_path):
    whole, path = (trained / "checkpoints" / STEM).read_bytes(), tmp_path / "stranger.pth"
    names = whole.index(b"data.pkl"), whole.index(b"data/0")  # the pickle lies between; damage to weights goes unseen
    rng = random.Random(0)
    for _ in range(FLIPPED):
        spoilt = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            spoilt[rng.randrange(*names)] = rng.randrange(256)
        path.write_bytes(spoilt)
        outcome = script(
            trained, "test.py", "--model_path", path, "--prediction_dir", tmp_path / "out", "--split", "val"
        )
        assert outcome.code in (0, 1, 2), outcome
        assert "Traceback" not in outcome.err
        if outcome.code:
            assert str(path) in outcome.error
