"""train.py --tensorboard: it shows what the log holds and what the network sees, and changes no bit of the training."""

import json
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from predicting.checkpoint import load_checkpoint
from training.tensorboard import grid

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"
FLAGS = shlex.split("--n_iter 4 --eval_freq 2 --use_mix_up --use_spec_aug --iter_size 2")
needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (run,) = (folder / "tensorboard").iterdir()
    return EventAccumulator(str(run)).Reload()


def log(folder: Path) -> list[dict]:
    (path,) = folder.glob("*_log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(folder).Scalars(name)]


def figures(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(record["step"], pytest.approx(record[name], rel=1e-6)) for record in log(folder)]


@needs_tensorboard
def test_it_holds_what_the_log_holds_and_the_batches_and_changes_no_byte_of_checkpoint_and_log(
    train, workplace, module_of, monkeypatch
):
    folder, seen = workplace / "with", []
    module = module_of("train.py")
    augment = module.spec_augment
    monkeypatch.setattr(module, "spec_augment", lambda *batch: seen.append(augment(*batch)) or seen[-1])
    for name, flags in {"without": [], "with": ["--tensorboard"]}.items():
        done = train(*FLAGS, "--checkpoint_dir", name, *flags)
        assert (done.code, done.err) == (0, ""), done.err
    one, two = ({path.name: path.read_bytes() for path in (workplace / name).glob("[!.]*.*")}
                for name in ("with", "without"))  # fmt: skip
    assert len(one) == 3
    assert one == two
    for name in ("train_loss", "lwlrap", "best_lwlrap", "learning_rate"):
        assert scalars(folder, name) == figures(folder, name)
    expected = [(record["step"], pytest.approx(record["per_class"]["Hum"])) for record in log(folder)]
    assert scalars(folder, "per_class/Hum") == expected
    pictures = events(folder).Images("inputs")
    assert [picture.step for picture in pictures] == [2, 4]
    shown = cv2.imdecode(np.frombuffer(pictures[1].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    expected = (grid(seen[-1]) * 255).round().permute(1, 2, 0).numpy()  # mixed and masked
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 1


@needs_tensorboard
@pytest.mark.parametrize("before", [["--tensorboard"], []])
def test_a_resumed_run_goes_on_in_the_same_curves(train, workplace, before):
    parts = workplace / "parts"
    train(*FLAGS, "--checkpoint_dir", parts, *before).ok()
    last = parts / STEM.format("last")
    state = load_checkpoint(last)
    cut = {"log": state["log"][:1], "step": 2}  # as if it had been killed after the validation at step 2
    torch.save(state | cut | {"best_step": 2, "best_score": cut["log"][0]["lwlrap"]}, last)
    train("--resume", last, "--checkpoint_dir", parts, "--tensorboard").ok()
    assert [step for step, _ in scalars(parts, "lwlrap")] == [2, 4]
    assert scalars(parts, "lwlrap") == figures(parts, "lwlrap")


def test_without_the_package_it_is_misuse_that_tells_what_to_install(train, workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    refused = train(*FLAGS, "--tensorboard")
    assert refused.code == 2
    assert "pip install tensorboard" in refused.error
    assert refused.out == ""


def test_the_low_bands_are_at_the_bottom_of_the_picture():
    inputs = torch.zeros(1, 1, 8, 5)
    inputs[..., 0, :] = 1
    picture = grid(inputs)
    assert picture[:, -1].min() == 1
    assert picture[:, :-1].max() == 0
