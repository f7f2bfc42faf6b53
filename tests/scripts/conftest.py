"""What the tests of tag.py share: two folds of a network that tells clips apart, and ways to run the script."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from utils.checkpoint import load_checkpoint
from utils.ensemble import build_network

BEST = "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_{}-2_model.pth"
RATE = 16000


def sharpen(path: Path) -> None:
    """Make a network that was hardly trained tell clips apart, so that a crop in another place would be seen."""
    torch.manual_seed(0)
    state = load_checkpoint(path)
    model = build_network(path, state).train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    for _ in range(8):
        model(torch.rand(16, 1, 32, 64) * torch.rand(16, 1, 32, 1) ** 4)
    model.classifier[-1].weight.data *= 20
    torch.save(state | {"model": model.state_dict()}, path)


@pytest.fixture(scope="session")
def tagger(tmp_path_factory, template, script, tiny_flags) -> Path:
    """A folder with config.json, and both folds of a run whose scores differ from clip to clip."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.json").write_text(json.dumps({"tiny": {"data_path": str(template)}}))
    for fold in (0, 1):
        done = script(folder, "train.py", *tiny_flags, "--n_iter", 2, "--eval_freq", 0, "--fold_num", fold)
        assert done.code == 0, done.err
        sharpen(folder / BEST.format(fold))
        done = script(folder, "test.py", "--model_path", BEST.format(fold), "--no-use_cuda")
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def run_tag(script, tagger):
    """Run tag.py beside the checkpoints."""
    return lambda *flags: script(tagger, "tag.py", *flags, "--no-use_cuda")


@pytest.fixture
def tag(module_of, tagger, monkeypatch):
    """tag.py's function, beside the checkpoints."""
    monkeypatch.chdir(tagger)
    return lambda *args, **how: module_of("tag.py").tag(*args, use_cuda=False, **how)


@pytest.fixture
def sounds(tmp_path) -> Path:
    """An empty folder for sound files and tables."""
    (tmp_path / "sounds").mkdir()
    return tmp_path / "sounds"


@pytest.fixture(scope="session")
def beep() -> Callable[..., Path]:
    """Write a tone: beep(path, seconds) -> path."""

    def write(path: Path, seconds: float = 1.0) -> Path:
        sf.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE), RATE)
        return path

    return write
