"""Single trainings of the recipe's benchmark: what makes each, its predictions at several levels, what they score."""

import argparse
import ast
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from benchmarks.changes import CHANGES, CODE, changed_copy
from benchmarks.common import ROOT, machine, script
from loaders import get_data_path, get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus, read_corpus
from predicting.metrics import METRICS
from predicting.prediction_file import load_predictions
from predicting.splits import SPLITS
from training.augment import change_level
from training.flags import build_parser
from training.setup import audio_settings
from utils.devices import pick_device
from utils.digests import digest, versions
from utils.recipes import read_recipe

LEVELS = (0, -20, -40)  # dB
BLOCK = 1 << 14  # frames whose level is changed at a time
ONE_AT_A_TIME = Lock()  # writing results and features of another level; parsing, which Python 3.11 cannot do in threads
Record = dict[str, Any]  # of a finished run: the run, digests, where and when, the folder of its predictions, scores


@dataclass(frozen=True)
class Run:
    """One training.  flags: of train.py, and --select_noisy.  change: a key of CHANGES, or none."""

    dataset: str
    flags: str
    fold: int
    seed: int
    change: str = ""

    @property
    def words(self) -> list[str]:
        """Flags of train.py."""
        flags = [word for word in shlex.split(self.flags) if word != "--select_noisy"]
        return ["--dataset", self.dataset, *flags, "--fold_num", str(self.fold), "--seed", str(self.seed)]

    @property
    def args(self) -> argparse.Namespace:
        """What train.py makes of them."""
        parser = build_parser()
        parser.set_defaults(**read_recipe(parser.parse_args(self.words).recipe))
        return parser.parse_args(self.words)

    @property
    def split(self) -> str:
        """What is scored: test clips if their answers are known, else those that the fold held out."""
        test = corpus_of(self.dataset).subsets.get("test")
        return "val" if test is None or test.truth is None else "test"

    @property
    def levels(self) -> tuple[int, ...]:
        """Where a change may make other features, their level cannot be changed."""
        return LEVELS[:1] if self.change else LEVELS


def corpus_of(dataset: str) -> Corpus:
    return read_corpus(get_data_path(dataset))


def code(change: str = "") -> str:
    """A digest of the code and the packages that train and predict; comments do not count."""
    paths = sorted(path for name in CODE for path in (ROOT / name, *(ROOT / name).rglob("*.py")) if path.is_file())
    with ONE_AT_A_TIME:
        parsed = [ast.dump(ast.parse(path.read_text(encoding="utf-8"))) for path in paths]
    return digest([str(versions()), str(CHANGES.get(change)), *parsed])


def describe(run: Run) -> Record:
    """What a finished run is known by beside its code: itself, train.py's flags, digests of labels and features."""
    args, clips = run.args, []
    folder = features_dir(get_features_path(run.dataset), audio_settings(args))
    for name, subset in corpus_of(run.dataset).subsets.items():
        truth = "" if subset.truth is None else digest(subset.truth)
        index = read_index(folder / f"{name}.json") or {"clips": []}
        clips.append(json.dumps([truth, subset.fnames, [[clip[0], clip[3]] for clip in index["clips"]]]))
    return {"run": asdict(run), "flags": digest([repr(sorted(vars(args).items()))]), "data": digest(clips)}


def finish(runs: list[Run], folder: Path, jobs: int, work: bool = True) -> dict[Run, Record]:
    """The record of each run; what is not there is made, `jobs` at a time.  If one fails, the others still finish.

    work: if False, nothing is made; a run then has the last record that other code or flags made of the same data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, records = folder / "results.jsonl", {}
    codes = {change: code(change) for change in {run.change for run in runs}}
    wanted = {run: describe(run) | {"code": codes[run.change]} for run in runs}
    for record in map(json.loads, results.read_text(encoding="utf-8").splitlines() if results.exists() else []):
        run = Run(**record["run"])
        if run in wanted and record["data"] == wanted[run]["data"]:
            record["present"] = wanted[run].items() <= record.items()
            if record["present"] or not records.get(run, {}).get("present"):
                records[run] = record
    todo = sorted((run for run in wanted if not records.get(run, {}).get("present")), key=lambda run: run.seed)
    if work and (stale := sum(run in records for run in todo)):
        print(f"{stale} runs in {results} are of other code or flags, and are made again", flush=True)

    def make(run: Run) -> None:
        name = f"{run.dataset}_{run.fold}_{run.seed}_{digest([json.dumps(wanted[run])])}"
        train_and_predict(run, folder / name, folder)
        where = f"{machine(pick_device(run.args.device).type)}, {jobs} runs at a time"
        record = wanted[run] | {"machine": where, "date": str(date.today()), "commit": commit(), "predictions": name}
        record["scores"] = {f"{level} dB": score([record], level, "lwlrap", folder) for level in run.levels}
        if code(run.change) != record["code"]:
            record["code"] = "changed meanwhile"
        records[run] = record | {"present": record["code"] == codes[run.change]}
        with ONE_AT_A_TIME, open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{run}: {record['scores']}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(make, todo if work else []))
    return records


def commit() -> str:
    """Of the code; "-dirty" if files differ from it."""
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def place(run: Run, name: str, folder: Path) -> Path:
    """A folder whose config.json has the run's data set with features of their own."""
    there = folder / "places" / f"{run.dataset}_{name}"
    there.mkdir(parents=True, exist_ok=True)
    entry = {"data_path": str(get_data_path(run.dataset).resolve()), "features_path": "features"}
    (there / "config.json").write_text(json.dumps({run.dataset: entry}), encoding="utf-8")
    return there


def script_of(run: Run, folder: Path) -> Callable[..., None]:
    """Runs a script for a run; where its row changes the code, that of a copy, with features of its own."""
    name = f"{run.change}_{code(run.change)}" if run.change else ""
    changed = (
        {"root": changed_copy(run.change, folder / "changed" / name), "cwd": place(run, name, folder)} if name else {}
    )
    return partial(script, **changed)


def make_features(runs: list[Run], folder: Path) -> None:
    """The features that the runs need, and those as they are, which their data are known by."""
    runs = [replace(run, change=change) for run in runs for change in dict.fromkeys(("", run.change))]
    for run in {(run.dataset, run.change, audio_settings(run.args)): run for run in runs}.values():
        sizes = "--img_rows", run.args.img_rows, "--sampling_rate", run.args.sampling_rate
        script_of(run, folder)("loaders/freesound_loader.py", "--dataset", run.dataset, *sizes)


def train_and_predict(run: Run, into: Path, folder: Path) -> None:
    """One training; its last weights predict at each level, into a folder of that name.  folder: for all runs."""
    call = script_of(run, folder)

    def train(checkpoints: Path, *more: object) -> Path:
        how = "--eval_freq", 0, "--save_freq", 200, "--resume", "auto", "--checkpoint_dir", checkpoints
        call("train.py", *run.words, *how, *more)
        return next(checkpoints.glob("*_last_*.pth"))

    def predict(checkpoint: Path, split: str, predictions: Path, cwd: Path | None = None) -> None:
        how = "--model_path", checkpoint, "--device", run.args.device, "--prediction_dir", predictions
        call("test.py", *how, "--split", split, cwd=cwd)

    more: tuple[object, ...] = ()
    if "--select_noisy" in run.flags:
        predict(train(into / "first", "--split", "train_curated"), "train_noisy", into / "noisy")
        more = ("--noisy_scores", into / "noisy")
    last = train(into / "checkpoints", *more)
    for level in run.levels:
        predict(last, run.split, into / str(level), at_level(run, level, folder) if level else None)
    for name in ("first", "noisy", "checkpoints"):
        shutil.rmtree(into / name, ignore_errors=True)


def at_level(run: Run, level: int, folder: Path) -> Path:
    """A folder whose config.json has the run's data set with the clips to score as if they were `level` dB louder."""
    settings, name = audio_settings(run.args), f"{SPLITS[run.split]}.json"
    with ONE_AT_A_TIME:
        there = place(run, f"{settings.digest}_{level}", folder)
        source, target = (features_dir(path, settings) for path in (get_features_path(run.dataset), there / "features"))
        index = read_index(source / name)
        if read_index(target / name) == index:
            return there
        target.mkdir(parents=True, exist_ok=True)
        frames = np.load(source / index["array"], mmap_mode="r", allow_pickle=False)
        gain = torch.tensor([10 ** (level / 20)])
        changed = np.lib.format.open_memmap(target / index["array"], "w+", np.float16, frames.shape)
        for at in range(0, len(frames), BLOCK):
            piece = torch.from_numpy(frames[at : at + BLOCK].astype(np.float32))[None, None]
            changed[at : at + BLOCK] = change_level(piece, gain, settings)[0, 0].numpy()
        changed.flush()
        (target / name).write_text(json.dumps(index), encoding="utf-8")  # last: what has it is whole
    return there


def score(records: list[Record], level: int, metric: str, folder: Path) -> float:
    """Of test clips the mean of the runs' probabilities is scored; clips that folds held out, all folds together."""
    run = Run(**records[0]["run"])
    corpus = corpus_of(run.dataset)
    tables = [load_predictions(next((folder / each["predictions"] / str(level)).glob("*.npz"))) for each in records]
    if run.split == "val":
        fnames = [fname for table in tables for fname in table.fnames]
        probabilities = np.concatenate([table.aligned(table.fnames, corpus.class_names) for table in tables])
    else:
        fnames = tables[0].fnames
        probabilities = np.mean([table.aligned(fnames, corpus.class_names) for table in tables], axis=0)
    return METRICS[metric](corpus.subset(SPLITS[run.split]).truth_of(fnames), probabilities)
