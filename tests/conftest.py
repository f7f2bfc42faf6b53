"""What the tests share: a tiny corpus with its features, folders to run scripts in, and two ways to run them."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything reads it: small work is faster on one thread

import argparse
import contextlib
import errno
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import settings

from loaders.features import make_features
from loaders.index import features_dir
from loaders.layouts import read_corpus
from loaders.pcen import AudioSettings
from loaders.pool import read_pool
from tests.published import text
from training.flags import build_parser
from training.setup import Setup, Training, build_batches, build_pool, build_training
from utils.errors import run

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ["Bark", "Hum", "Rain", "Whistle"]
SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
WIDTH = 64  # frames of a crop

settings.register_profile("suite", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("suite")


@dataclass(frozen=True)
class Outcome:
    """What a script left behind."""

    code: int
    out: str
    err: str

    def ok(self) -> "Outcome":
        """Itself, if it went well."""
        assert self.code == 0, self.err
        return self

    def refused(self, code: int = 1) -> str:
        """The one line on stderr of a script that ended with this exit code."""
        assert self.code == code, self
        return self.error

    @property
    def error(self) -> str:
        """The one line on stderr, none else."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@cache
def load_script(name: str) -> ModuleType:
    """A script's module, not run.  By path, since `test` is also a package of the standard library."""
    if "/" in name:
        return importlib.import_module(name.removesuffix(".py").replace("/", "."))
    spec = importlib.util.spec_from_file_location(f"script_{Path(name).stem}", ROOT / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def module_of() -> Callable[[str], ModuleType]:
    """train.py, test.py and merge.py as modules."""
    return load_script


@pytest.fixture(scope="session")
def script() -> Callable[..., Outcome]:
    """Run a script as its command line does, in a folder, but inside this process: half a second, not seven."""

    def call(cwd: Path, name: str, *args: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        argv = mock.patch.object(sys, "argv", [name, *map(str, args)])
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with argv, streams[0], streams[1], contextlib.chdir(cwd), pytest.raises(SystemExit) as stop:
            run(load_script(name).main)
        return Outcome(int(stop.value.code or 0), out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def process() -> Callable[..., Outcome]:
    """Run a command in a folder, in a process of its own; a name such as train.py runs that script."""

    def call(cwd: Path, *command: object, **environ: object) -> Outcome:
        words, texts = [str(word) for word in command], {name: str(value) for name, value in environ.items()}
        if words[0].endswith(".py"):
            words = [sys.executable, str(ROOT / words[0]), *words[1:]]
        done = subprocess.run(
            words, cwd=cwd, env=os.environ | texts, capture_output=True, text=True, timeout=900, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def sound() -> Callable[..., np.ndarray]:
    """Samples of a class: sound(rng, "Rain", seconds, rate) -> (n,) float64 within [-1, 1]."""

    def make(rng: np.random.Generator, name: str, seconds: float, rate: int) -> np.ndarray:
        time = np.arange(int(seconds * rate)) / rate
        noise = rng.normal(0, 0.15, len(time))
        if name == "Bark":
            samples = noise * (np.sin(2 * np.pi * rng.uniform(3, 5) * time) > 0.3)
        elif name == "Hum":
            samples = sum(np.sin(2 * np.pi * rng.uniform(95, 105) * k * time) / k for k in range(1, 8)) / 4
        elif name == "Rain":
            samples = noise
        else:
            samples = 0.4 * np.sin(2 * np.pi * rng.uniform(1800, 2500) * time)
        return np.clip(rng.uniform(0.3, 1) * samples + 0.001 * noise, -1, 1)

    return make


def write_corpus(root: Path, sound: Callable[..., np.ndarray]) -> None:
    """Kaggle's layout with answers: 20 curated clips, 5 of a class, 8 noisy ones and 6 test clips, 0.3 to 2.6 s."""
    rng = np.random.default_rng(0)
    labels = {
        "train_curated": [[CLASSES[i % 4]] for i in range(20)],
        "train_noisy": [[CLASSES[(i + i // 6) % 4]] for i in range(8)],
        "test": [[CLASSES[i % 4]] for i in range(6)],
    }
    labels["train_curated"][3].append("Rain")
    labels["train_noisy"][5].append("Hum")
    for split, rows in labels.items():
        (root / split).mkdir(parents=True)
        fnames = [f"{split[-4:]}{i:02}.wav" for i in range(len(rows))]
        for fname, names in zip(fnames, rows, strict=True):
            samples = sound(rng, names[0], rng.uniform(0.3, 2.6), SETTINGS.sampling_rate)
            sf.write(root / split / fname, samples, SETTINGS.sampling_rate)
        table = [f'{fname},"{",".join(names)}"' for fname, names in zip(fnames, rows, strict=True)]
        if split == "test":
            rated = [f"{row},{['Public', 'Private'][i % 2]}" for i, row in enumerate(table)]
            text(root / "test_post_competition.csv", ["fname,labels,usage", *rated])
            text(root / "sample_submission.csv", [f"fname,{','.join(CLASSES)}", *(f"{x},0,0,0,0" for x in fnames)])
        else:
            text(root / f"{split}.csv", ["fname,labels", *table])


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, sound: Callable[..., np.ndarray]) -> Path:
    """The tiny corpus with its features.  Not to be changed: a test that changes it takes `corpus`."""
    root = tmp_path_factory.mktemp("template") / "data"
    write_corpus(root, sound)
    corpus = read_corpus(root)
    for split, subset in corpus.subsets.items():
        make_features(subset, split, features_dir(root / "features", SETTINGS), SETTINGS, jobs=1)
    return root


@pytest.fixture
def corpus(template: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus, features included, for a test to spoil."""
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder in which, as on a disk mounted read-only, nothing can be made.  For root, chmod would not do."""
    open_ = os.open

    def make(folder: Path) -> None:
        folder.mkdir()

        def refuse(path: str | Path, flags: int, *args: object, **how: object) -> int:
            if flags & os.O_CREAT and Path(os.fsdecode(path)).is_relative_to(folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return open_(path, flags, *args, **how)

        monkeypatch.setattr(os, "open", refuse)

    return make


def write_config(folder: Path, **data_paths: Path | str) -> Path:
    """config.json in a folder, which is made where it is not there; the data sets by name."""
    folder.mkdir(exist_ok=True)
    config = {name: {"data_path": str(path)} for name, path in data_paths.items()}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def workplace(template: Path, tmp_path: Path) -> Path:
    """An empty folder whose config.json knows the data set `tiny`."""
    return write_config(tmp_path / "work", tiny=template)


@pytest.fixture
def spoiled(corpus: Path, tmp_path: Path) -> Path:
    """As workplace, but `tiny` is the copy that `corpus` gives."""
    return write_config(tmp_path / "work", tiny=corpus)


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """Flags of train.py for a network and a crop that train in a second."""
    return (
        f"--arch mobilenet_v3_small --dataset tiny --sampling_rate {SETTINGS.sampling_rate} "
        f"--img_rows {SETTINGS.n_mels} --img_cols {WIDTH} --batch_size 4 --num_folds 2 --device cpu --l_rate 0.01"
    ).split()


@pytest.fixture
def make_args(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., argparse.Namespace]:
    """train.py's arguments for the tiny corpus; what a test is about goes in by keyword."""
    monkeypatch.chdir(workplace)
    tiny = {"dataset": "tiny", "sampling_rate": SETTINGS.sampling_rate, "img_rows": SETTINGS.n_mels, "img_cols": WIDTH,
            "batch_size": 4, "seed": 1, "num_folds": 2}  # fmt: skip
    return lambda **changes: argparse.Namespace(**vars(build_parser().parse_args([])) | tiny | changes)


@pytest.fixture
def make_fold(make_args: Callable[..., argparse.Namespace]) -> Callable[..., SimpleNamespace]:
    """A fold's pool, batches and held-out clips on a device; keywords as for make_args, and keep_noisy."""

    def make(device: str = "cpu", keep_noisy: set[str] | None = None, **changes: object) -> SimpleNamespace:
        args = make_args(**changes)
        folds = args.fold_num, args.num_folds, args.fold_split
        pool = read_pool(args.dataset, args.split, SETTINGS, args.seed, args.noisy_weight, *folds, keep_noisy)
        batches, held_out = build_batches(Setup(args, torch.device(device)), pool)
        return SimpleNamespace(
            pool=pool, batches=batches, clips=batches.clips, targets=batches.targets, held_out=held_out
        )

    return make


@pytest.fixture
def make_training(make_args: Callable[..., argparse.Namespace]) -> Callable[..., Training]:
    """A training on the tiny corpus; keywords as for make_args."""

    def make(device: str = "cpu", precision: torch.dtype = torch.float32, **changes: object) -> Training:
        args = make_args(**changes)
        return build_training(Setup(args, torch.device(device), precision, graphs=False), build_pool(args))

    return make
