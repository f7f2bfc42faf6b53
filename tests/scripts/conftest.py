"""What several tests of scripts share: for tag.py two folds of a network that tells clips apart, and ways to run it;
for the report a run that was never trained, its probabilities random.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torchvision.models import mobilenetv3

from loaders.layouts import read_corpus
from predicting.checkpoint import build_network, load_checkpoint
from predicting.prediction_file import Predictions, save_predictions
from tests.conftest import write_config

BEST = "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_{}-2_model.pth"
RATE = 16000
SETTINGS = {"arch": "resnet18", "dataset": "tiny", "img_rows": 32, "img_cols": 64, "sampling_rate": 16000,
            "num_folds": 2, "seed": 1234, "l_rate": 0.1, "n_iter": 20, "tta": 8}  # fmt: skip
BROWSER_FLAGS = shlex.split(
    "--headless=new --no-sandbox --disable-dev-shm-usage --force-prefers-reduced-motion "
    "--autoplay-policy=no-user-gesture-required"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@contextmanager
def small_networks() -> Iterator[None]:
    """Within this process MobileNetV3-Small has four of its blocks, and few crops calibrate it: a third of the time."""
    block = partial(mobilenetv3.InvertedResidualConfig, stride=2, dilation=1, width_mult=1.0)
    shapes = [(16, 3, 16, 16, True, "RE"), (16, 3, 32, 24, False, "RE"), (24, 5, 48, 32, True, "HS"),
              (32, 5, 64, 32, True, "HS")]  # fmt: skip

    def make(weights: None, **how: object) -> torch.nn.Module:
        return mobilenetv3.MobileNetV3([block(*shape) for shape in shapes], 64, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobilenetv3, "mobilenet_v3_small", make)
        patch.setattr("predicting.presence.LEAST", 10)
        patch.setattr("predicting.presence.CROPS_A_CLASS", 5)
        yield


@pytest.fixture(scope="module", autouse=True)
def networks(request):
    """Small ones, but where scripts in processes of their own share checkpoints with those within this one."""
    with nullcontext() if getattr(request.module, "WHOLE_NETWORKS", False) else small_networks():
        yield


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A real browser without a window."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


def resize(browser, width: int) -> None:
    """Give the browser's window that many pixels; under 500 it is a phone."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def check_looks(browser, colours: str) -> None:
    """The page is no wider than its window, and its colours, an expression, are others where the system is dark."""
    for width in (320, 400, 768, 1400):
        resize(browser, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    seen = set()
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        seen.add(browser.execute_script(f"return {colours}"))
    assert len(seen) == 2


def _sharpen(path: Path) -> None:
    """Make a network that was hardly trained tell clips apart, so that a crop in another place would be seen."""
    torch.manual_seed(0)
    state = load_checkpoint(path)
    model = build_network(path, state).train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    for _ in range(8):
        model(torch.rand(16, 1, 32, 64) * torch.rand(16, 1, 32, 1) ** 4)
    model.classifier[-1].weight.data *= 25
    torch.save(state | {"model": model.state_dict()}, path)


@pytest.fixture
def train(script, workplace, tiny_flags) -> Callable:
    """Run train.py on the tiny corpus in the test's own folder."""
    return lambda *flags: script(workplace, "train.py", *tiny_flags, *map(str, flags))


@pytest.fixture(scope="session")
def tagger(tmp_path_factory, template, script, tiny_flags) -> Path:
    """A folder with config.json, and both folds of a run whose scores differ from clip to clip."""
    folder = write_config(tmp_path_factory.mktemp("trained"), tiny=template)
    with small_networks():
        for fold in (0, 1):
            fold_flags = ["--fold_num", fold, "--shift_share", 0.2]
            done = script(folder, "train.py", *tiny_flags, "--n_iter", 2, "--eval_freq", 0, *fold_flags)
            assert done.code == 0, done.err
            _sharpen(folder / BEST.format(fold))
            done = script(folder, "test.py", "--model_path", BEST.format(fold), "--no-use_cuda")
            assert done.code == 0, done.err
    return folder


@pytest.fixture
def place(tagger, template, tmp_path):
    """Both folds of a run, trained and predicted, beside a copy of their data."""
    root = shutil.copytree(tagger, tmp_path / "place")
    shutil.copytree(template, root / "data")
    (root / "config.json").write_text(json.dumps({"tiny": {"data_path": "data"}}))
    return root


@pytest.fixture
def run_tag(script, tagger):
    """Run tag.py beside the checkpoints."""
    return lambda *flags: script(tagger, "tag.py", *flags, "--no-use_cuda")


@pytest.fixture
def tag(module_of, tagger, monkeypatch):
    """tag.py's function, beside the checkpoints."""
    monkeypatch.chdir(tagger)
    return lambda *args, **how: module_of("tag.py").tag(*args, device="cpu", **how)


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


@pytest.fixture(scope="session")
def predict() -> Callable[..., Path]:
    """Write a fold's predictions as test.py would: predict(folder, data set's folder, fold, split).

    table: (N, C), or what gives the row of a name.  Keywords change its arguments.
    """

    def write(folder: Path, data: Path, fold: int, split: str, table=None, **changes: object) -> Path:
        corpus = read_corpus(data)
        fnames = corpus.subset({"val": "train_curated"}.get(split, split)).fnames
        fnames = fnames[fold::2] if split == "val" else fnames
        if table is None:
            rng = np.random.default_rng([fold, len(fnames), len(changes)])
            table = rng.uniform(0.01, 0.99, (len(fnames), len(corpus.class_names)))
        elif callable(table):
            table = np.array([table(fname) for fname in fnames])
        args = SETTINGS | {"fold_num": fold, "split": split, "checkpoint_step": 10 + fold} | changes
        args |= {"model_path": f"checkpoints/{args['arch']}_tiny_best_32x64_16000_{fold}-2_model.pth"}
        path = folder / "predictions" / f"{args['arch']}_tiny_{split}_32x64_16000_{fold}-2.npz"
        save_predictions(path, Predictions(table.astype(np.float32), fnames, corpus.class_names, args))
        return path

    return write


@pytest.fixture(scope="session")
def write_log() -> Callable[[Path, int], Path]:
    """Write a fold's log as train.py would: write_log(folder, fold)."""

    def write(folder: Path, fold: int) -> Path:
        path = folder / "checkpoints" / f"resnet18_tiny_32x64_16000_{fold}-2_log.jsonl"
        path.parent.mkdir(exist_ok=True)
        record = {"train_loss": 3.5, "learning_rate": 0.1, "lwlrap": 0.4 + fold / 10, "per_class": {}}
        path.write_text("".join(json.dumps({"step": step, **record}) + "\n" for step in (10, 20)))
        return path

    return write


@pytest.fixture
def ready(workplace, template, predict, write_log) -> Path:
    """A folder with the predictions of two folds and their logs."""
    for fold in range(2):
        for split in ("val", "test", "train_noisy"):
            predict(workplace, template, fold, split)
        write_log(workplace, fold)
    return workplace


@pytest.fixture(scope="session")
def make_repository(tmp_path_factory, template, request):
    """A copy of the repository, on a copy of the corpus without features."""

    def make(dataset: str = "tiny") -> Path:
        root = tmp_path_factory.mktemp("repository")
        rooms = ("loaders", "losses", "models", "predicting", "recipes", "training", "utils")
        for name in (*rooms, "train.py", "test.py", "merge.py", "run.sh"):
            source = request.config.rootpath / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
        shutil.copytree(template, root / "data", ignore=shutil.ignore_patterns("features"))
        return write_config(root, **{dataset: "data"})

    return make
