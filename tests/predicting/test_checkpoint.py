"""Checkpoints: whole or refused, and never run."""

import pickle
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

from predicting.checkpoint import FORMAT, KEYS, load_checkpoint, load_weights, save_checkpoint
from utils.errors import UserError


def state() -> dict:
    return {
        "args": {"arch": "resnet18", "dataset": "tiny", "img_rows": 32, "img_cols": 64, "sampling_rate": 16000,
                 "fold_num": 0, "num_folds": 2, "seed": 1, "use_cbam": False, "loss": "bce+lovasz", "shift_share": 0.0},
        "class_names": ["A", "B"], "step": 3, "best_score": 0.5, "best_step": 2,
        "model": {"weight": torch.ones(2, 2)}, "optimizer": {},
        "precision": "fp16", "scaler": {"scale": 512.0, "_growth_tracker": 7}, "skipped_steps": 2,
        "generators": {"cpu": torch.get_rng_state()},
        "losses": torch.zeros(4), "log": [{"step": 2, "per_class": {"A": 1.0}}], "held_out": ["a.wav"],
        "made_from": {"the training clips": "3f"}, "prior": torch.ones(2) / 2, "versions": {"torch": "2"},
        "presence": {}, "order": {"train_curated": ["a.wav"]},
    }  # fmt: skip


def refusal(path: Path) -> str:
    """The one line that a checkpoint is refused with; a warning beside it would be a second one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError) as error:
            load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_saved_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "x.pth", state())
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert set(loaded) == {"format", *KEYS} == {"format", *state()}
    assert torch.equal(loaded["model"]["weight"], torch.ones(2, 2))
    assert all(loaded[key] == state()[key] for key in ("args", "step", "log", "held_out", "scaler", "made_from"))


def test_a_failing_save_leaves_the_checkpoint_before(tmp_path):
    save_checkpoint(tmp_path / "x.pth", state())
    before = (tmp_path / "x.pth").read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path / "x.pth", state() | {"log": [lambda: None]})
    assert (tmp_path / "x.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_what_is_not_there_or_no_file_is_named(tmp_path):
    assert "there is no checkpoint" in refusal(tmp_path / "x.pth")
    refusal(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(pickle.dumps({"format": FORMAT, "bomb": print}))
@example(b"PK\3\4")
@example(b"PK\5\6" + bytes(18))
@example(bytes(5000))
@given(st.binary(max_size=40))
def test_any_bytes_are_refused_without_a_crash(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    assert "damaged or not a checkpoint of train.py" in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("key", state())
@pytest.mark.parametrize("value", [None, ("tuple",)], ids=["missing", "of another kind"])
def test_a_part_that_is_missing_or_of_another_kind_is_named(tmp_path, key, value):
    held = {name: given for name, given in (state() | {key: value}).items() if given is not None}
    save_checkpoint(tmp_path / "x.pth", held)
    if key in ("presence", "order") and value is None:  # of before there was such
        assert load_checkpoint(tmp_path / "x.pth")[key] == {}
    else:
        assert key in refusal(tmp_path / "x.pth")


ODD_ARGS = {
    "arch": [5], "dataset": [7, []], "loss": [5], "seed": [-1, "1234"], "shift_share": [2.0, "0.1"],
    "img_rows": [0, "32", 32.0, 2**70], "img_cols": [-64, 10**12], "sampling_rate": [0, 10**9],
    "fold_num": [-1, 2], "num_folds": [0, 10**6], "x": [torch.ones(2)],
}  # fmt: skip
ARGS, PAIR = state()["args"], torch.ones(2)
ODD = {
    "class_names": [["A"], ["A", "A"], ["A", 2], [[], []], ["A", "B", "C"]],
    "step": [-1, 5, 10**9],
    "best_step": [-5, 1],
    "losses": [torch.zeros(2), torch.tensor(0.0)],
    "log": [[], [7], [{"step": 2}], [{"step": 4, "per_class": {}}], [{"step": 2, "per_class": {"C": 1.0}}],
            [{"step": 2, "per_class": {}, "loss": torch.ones(2)}]],
    "held_out": [[7], [[]]],
    "order": [{"train_curated": 7}, {"train_curated": [7]}],
    "made_from": [{"x": torch.ones(2)}],
    "prior": [torch.zeros(3), torch.zeros(2, 2)],
    "presence": [{"thresholds": torch.ones(2)}, {"thresholds": torch.ones(5), "slope": torch.ones(()), "offsets": PAIR},
                 {"thresholds": PAIR, "slope": torch.ones(()), "offsets": PAIR * torch.nan}],
    "format": [4, "5", torch.ones(2)],
    "args": [ARGS | {name: value} for name, values in ODD_ARGS.items() for value in values] + [ARGS | {5: 5}]
            + [{name: value for name, value in ARGS.items() if name != missing} for missing in ARGS],
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_values_that_no_run_can_have_are_refused(tmp_path, key):
    for value in ODD[key]:
        torch.save({"format": FORMAT, **state(), key: value}, tmp_path / "x.pth")
        assert "damaged or not a checkpoint of train.py" in refusal(tmp_path / "x.pth"), value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.running_mean": None}, "Missing.*1.running_mean"),
        ({"2.weight": torch.ones(2)}, "Unexpected.*2.weight"),
        ({"0.weight": torch.ones(2, 4)}, "size mismatch for 0.weight"),
        ({"0.bias": torch.full((2,), torch.nan)}, "0.bias has values that are not finite"),
    ],
)
def test_weights_fit_or_are_named(change, said):
    model, other = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
    load_weights(model, {"model": other.state_dict()}, "x.pth")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    weights = {name: value for name, value in (other.state_dict() | change).items() if value is not None}
    with pytest.raises(UserError, match=f"^x.pth is damaged or not a checkpoint of train.py: .*{said}"):
        load_weights(model, {"model": weights}, "x.pth")
