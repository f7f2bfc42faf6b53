"""A copy of the repository beside a small corpus, in which an attack runs the loop and interrupts it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from demo.corpus import generate
from tests.robustness.processes import command_line, end, members, wait_for
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CLIPS = {"curated": 28, "noisy": 14, "test": 42}
FLAGS = [
    *("--arch", "mobilenet_v3_small", "--sampling_rate", "16000", "--img_rows", "32", "--img_cols", "64"),
    *("--batch_size", "4", "--n_iter", "9", "--eval_freq", "3", "--save_freq", "1", "--print_train_freq", "3"),
    *("--l_rate", "0.02", "--use_mix_up", "--use_spec_aug", "--device", "cpu"),
]
FOLDS = 2
SCRIPTS = {"features": "loaders/freesound_loader.py", "train": "train.py", "test": "test.py", "merge": "merge.py"}
PASSES = [  # of the loop, in its order
    "features",
    *(name for fold in range(FOLDS) for name in (f"train {fold}", f"test {fold}")),
    "merge val",
    "merge test",
]
MADE = ("features", "checkpoints", "predictions", "oof.csv", "submission.csv")
CLOCK = 0.02  # seconds between two looks


@dataclass(frozen=True)
class Pass:
    """A script's run within the undisturbed loop."""

    argv: list[str]
    seconds: float


@dataclass(frozen=True)
class Sandbox:
    """A folder with the repository's files, in which `run.sh tiny` works."""

    folder: Path
    python: str  # what run.sh calls Python by

    @property
    def environ(self) -> dict[str, str]:
        """One thread, so that other processes on the machine cost no more than their share; no GPU; no .pyc files."""
        own = {"PYTHON": self.python, "TTA": "2", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return os.environ | own | {"PYTHONDONTWRITEBYTECODE": "1"}

    @property
    def output(self) -> Path:
        """What the loop has printed since it was last started."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def start(self, *command: str) -> subprocess.Popen:
        """Start the loop, or another command, in a process group of its own."""
        with open(self.output, "wb") as log:
            return subprocess.Popen(
                command or ["./run.sh", "tiny", str(FOLDS), *FLAGS], cwd=self.folder, env=self.environ,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip

    def finish(self) -> None:
        """Run the loop to its end.  Raises UserError with what it printed if it fails."""
        loop = self.start()
        try:
            code = loop.wait(timeout=1800)
        finally:
            end(loop.pid)
        if code:
            raise UserError(f"the loop failed with exit code {code}; it printed:\n{self.output.read_text()}")

    def clear(self) -> None:
        """Remove all that the loop has made."""
        _remove(self.folder / name for name in MADE)

    def undo(self, name: str) -> None:
        """Remove what a pass of the loop has made."""
        stage, *where = name.split()
        fold, split = f"{where[0]}-{FOLDS}" if where else "", where[-1] if where else ""
        merged = "oof.csv" if split == "val" else "submission.csv"
        made = {"features": "features", "train": f"checkpoints/*_{fold}_*", "merge": merged}
        _remove(self.folder.glob(made.get(stage, f"predictions/*_{fold}.*")))

    def copy(self, folder: Path) -> "Sandbox":
        """Another one, as far as this one has come."""
        shutil.copytree(self.folder, folder)
        return Sandbox(folder, self.python)


def _remove(paths: Iterator[Path]) -> None:
    for path in list(paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def undisturbed(folder: Path) -> Iterator[tuple[Sandbox, dict[str, Pass]]]:
    """A sandbox in which the loop has ended in peace, and its passes.  Scripts start warm as long as this lasts."""
    with warm_python(folder) as python:
        box = make_sandbox(folder / "reference", make_corpus(folder / "data"), python)
        yield box, watch(box)


def make_corpus(folder: Path) -> Path:
    """A small corpus in Kaggle's layout, with one training clip and one test clip that cannot be read."""
    generate(folder, 0, CLIPS, 1)
    for table, split in (("train_curated.csv", "train_curated"), ("sample_submission.csv", "test")):
        lines = (folder / table).read_text(encoding="utf-8").splitlines()
        (folder / split / "broken.wav").write_bytes(b"RIFF")
        lines.append("broken.wav," + lines[1].partition(",")[2])
        (folder / table).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "test_post_competition.csv").unlink()  # nobody knows the answers for the broken clip
    return folder


def make_sandbox(folder: Path, corpus: Path, python: str) -> Sandbox:
    """Copy the scripts and packages of the repository to a folder, and have its config.json name the corpus."""
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.suffix in (".py", ".sh"):
            shutil.copy(path, folder)
        elif path.name not in ("tests", "benchmarks") and any(path.glob("*.py")):
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    entry = {"data_path": str(corpus), "features_path": "features"}
    (folder / "config.json").write_text(json.dumps({"tiny": entry}), encoding="utf-8")
    return Sandbox(folder, python)


@contextmanager
def warm_python(folder: Path) -> Iterator[str]:
    """A name for run.sh to call Python by that starts scripts in a fraction of a second; see zygote.py."""
    script, address = Path(__file__).with_name("zygote.py"), folder / "zygote.sock"
    environ = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    server = subprocess.Popen([sys.executable, script, "serve", address], env=environ, process_group=0)
    try:
        wait_for(lambda: address.exists() or server.poll() is not None, seconds=300)
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "{address}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        yield str(python)
    finally:
        end(server.pid)
        server.wait()
        address.unlink(missing_ok=True)


def watch(box: Sandbox) -> dict[str, Pass]:
    """Run the loop to its end; what it did.  Raises UserError if it failed."""
    seconds, argvs, loop, now = Counter(), {}, box.start(), time.monotonic()
    try:
        while loop.poll() is None:
            before, now = now, time.monotonic()
            if at := running(loop.pid):
                name, argvs[name] = at
                seconds[name] += now - before
            time.sleep(CLOCK)
    finally:
        end(loop.pid)
    if loop.returncode or set(argvs) != set(PASSES):
        text = f"the undisturbed loop ended with {loop.returncode} after {', '.join(argvs)}; it printed:"
        raise UserError(f"{text}\n{box.output.read_text()}")
    return {name: Pass(argvs[name], seconds[name]) for name in PASSES}


def running(group: int) -> tuple[str, list[str]] | None:
    """The pass of the loop that a process group is at, and its script's arguments; None between two."""
    for pid in members(group):
        words = command_line(pid)
        for stage, script in SCRIPTS.items():
            if script in words and "--plan" not in words:  # which only asks
                argv = words[words.index(script) :]
                return _name(stage, argv), argv
    return None


def _name(stage: str, argv: list[str]) -> str:
    values = dict(pairwise(argv))
    fold = values.get("--fold_num") or values.get("--model_path", "_-")[: -len("-2_model.pth")].rpartition("_")[2]
    split = values.get("--split", "") if stage == "merge" else ""
    return " ".join(word for word in (stage, fold, split) if word)
