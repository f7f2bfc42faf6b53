"""Checkpoints: whole or refused, and never run."""

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from predicting.checkpoint import ADDED_KEYS, KEYS, checkpoint_args, load_checkpoint, load_weights, save_checkpoint
from predicting.runs import LATER_ARGS
from utils.errors import UserError


def state() -> dict:
    arguments = {"arch": "resnet18", "dataset": "tiny", "img_rows": 32, "img_cols": 64, "sampling_rate": 16000,
                 **LATER_ARGS, "fold_num": 0, "num_folds": 2, "seed": 1,
                 "use_cbam": False, "loss": "bce+lovasz"}  # fmt: skip
    return {
        "args": arguments, "class_names": ["A", "B"], "step": 3, "best_score": 0.5, "best_step": 2,
        "model": {"weight": torch.ones(2, 2)}, "optimizer": {},
        "precision": "fp16", "scaler": {"scale": 512.0, "growth": 7, "skipped": 2},
        "generators": {"cpu": torch.get_rng_state()},
        "losses": torch.zeros(4), "log": [{"step": 2, "per_class": {}}], "held_out": ["a.wav"], 
        "made_from": {"the training clips": "3f"},
        "prior": torch.ones(2) / 2, "versions": {"torch": "2"},
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
    assert set(loaded) == set(KEYS) == {"format", *state()}
    assert torch.equal(loaded["model"]["weight"], torch.ones(2, 2))
    assert {key: loaded[key] for key in ("args", "step", "log", "held_out")} == {
        key: state()[key] for key in ("args", "step", "log", "held_out")
    }
    assert checkpoint_args(loaded).img_cols == 64


def older(**args: object) -> dict:
    """A checkpoint of format 3."""
    made = {key: value for key, value in state().items() if key not in ("made_from", "precision", "scaler")}
    gone = {"pooling": "mean", "use_coordinate": False, "ema_decay": 0.0, "label_smoothing": 0.0}
    return made | {"format": 3, "clips": "abc", "averaged": None, "args": made["args"] | gone | args}


def test_the_format_before_is_read_with_what_it_did_without(tmp_path):
    save_checkpoint(tmp_path / "x.pth", older())
    loaded = load_checkpoint(tmp_path / "x.pth")
    assert (loaded["made_from"], loaded["args"]) == ({}, state()["args"] | {"mask_share": 0.4})
    assert (loaded["precision"], loaded["scaler"]) == ("", {})


@pytest.mark.parametrize("name", LATER_ARGS)
def test_a_run_of_before_there_was_such_a_flag_did_without(tmp_path, name):
    without = {key: value for key, value in state()["args"].items() if key != name}
    save_checkpoint(tmp_path / "x.pth", state() | {"args": without})
    assert load_checkpoint(tmp_path / "x.pth")["args"] == without | {name: LATER_ARGS[name]}


def test_what_was_not_compiled_before_may_be_now(tmp_path):
    save_checkpoint(tmp_path / "x.pth", older(compile=False))
    assert load_checkpoint(tmp_path / "x.pth")["args"]["compile"] is None


def test_a_checkpoint_of_before_there_was_a_scaler_is_read(tmp_path):
    save_checkpoint(tmp_path / "x.pth", {key: value for key, value in state().items() if key != "scaler"})
    assert load_checkpoint(tmp_path / "x.pth")["scaler"] == {}


@pytest.mark.parametrize(
    "scaler", [{"scale": 512.0}, {"scale": float("nan"), "growth": 0, "skipped": 0},
               {"scale": 0.0, "growth": 0, "skipped": 0}, {"scale": 2.0, "growth": -1, "skipped": 0},
               {"scale": 2.0, "growth": 0, "skipped": "many"}],
)  # fmt: skip
def test_a_scale_of_the_loss_that_cannot_be_is_refused(tmp_path, scaler):
    save_checkpoint(tmp_path / "x.pth", state() | {"scaler": scaler})
    assert "scaler" in refusal(tmp_path / "x.pth")


def test_a_network_of_a_flag_that_is_gone_is_refused_by_name(tmp_path):
    save_checkpoint(tmp_path / "x.pth", older(pooling="meanmax"))
    with pytest.raises(UserError, match="--pooling, which this version no longer has"):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("value", [1, torch.ones(2)])
def test_a_network_with_a_larger_last_map_is_refused(tmp_path, value):
    """Its weights would fit the network that there is now."""
    save_checkpoint(tmp_path / "x.pth", state() | {"args": state()["args"] | {"last_stride": value}})
    assert "--last_stride, which this version no longer has" in refusal(tmp_path / "x.pth")
    save_checkpoint(tmp_path / "y.pth", state() | {"args": state()["args"] | {"last_stride": 2}})
    assert load_checkpoint(tmp_path / "y.pth")["args"] == state()["args"]


def test_a_format_that_is_too_old_is_refused(tmp_path):
    save_checkpoint(tmp_path / "x.pth", older() | {"format": 2})
    with pytest.raises(UserError, match="format 2, which is too old"):
        load_checkpoint(tmp_path / "x.pth")


def test_a_failing_save_leaves_the_checkpoint_before(tmp_path):
    save_checkpoint(tmp_path / "x.pth", state())
    before = (tmp_path / "x.pth").read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path / "x.pth", state() | {"log": [lambda: None]})
    assert (tmp_path / "x.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_a_missing_checkpoint_is_named(tmp_path):
    assert "there is no checkpoint" in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    save_checkpoint(tmp_path / "x.pth", state())
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(whole[: int(share * len(whole))])
    refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"hello", b"fname,labels\n", b"PK\x03\x04", b"\x80\x04N.", b"\0" * 100])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    refusal(tmp_path / "x.pth")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_any_bytes_are_refused_without_a_crash(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    refusal(tmp_path / "x.pth")


def test_a_folder_is_refused(tmp_path):
    refusal(tmp_path)


@pytest.mark.parametrize("content", [[1], {"a": 1}, torch.ones(2), {"format": "1"}])
def test_another_content_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    assert "not a checkpoint of train.py" in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("key", sorted(set(state()) - set(ADDED_KEYS)))
def test_a_missing_key_is_named(tmp_path, key):
    save_checkpoint(tmp_path / "x.pth", {name: value for name, value in state().items() if name != key})
    assert key in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("key", state())
def test_a_key_of_another_kind_is_named(tmp_path, key):
    save_checkpoint(tmp_path / "x.pth", state() | {key: ("tuple",)})
    assert key in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("arch", 3),
        ("use_cbam", 1),
        ("seed", None),
        ("img_rows", "32"),
        ("shift_share", 2.0),
        ("shift_share", float("nan")),
    ],
)
def test_an_argument_of_another_kind_is_named(tmp_path, name, value):
    save_checkpoint(tmp_path / "x.pth", state() | {"args": state()["args"] | {name: value}})
    assert name in refusal(tmp_path / "x.pth")


def test_a_newer_format_asks_for_newer_code(tmp_path):
    save_checkpoint(tmp_path / "x.pth", state() | {"format": 5})
    assert "has format 5; this version reads up to 4; update the code" in refusal(tmp_path / "x.pth")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "lacks 0.weight"),
        ({"1.running_mean": None}, "lacks 1.running_mean"),
        ({"2.weight": torch.ones(2)}, "has an unknown 2.weight"),
        ({"0.weight": torch.ones(2, 4)}, r"has 0.weight of shape \(2, 4\), not \(2, 3\)"),
        ({"0.bias": "text"}, "0.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_none_is_loaded(change, message):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = {name: value for name, value in (network().state_dict() | change).items() if value is not None}
    with pytest.raises(UserError, match=f"x.pth does not fit .*{message}"):
        load_weights(model, {"model": weights}, "x.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_that_fit_are_loaded():
    model, other = network(), network()
    load_weights(model, {"model": other.state_dict()}, "x.pth")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
