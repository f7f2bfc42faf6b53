"""Single trainings of the recipe's benchmark: what each is known by, its predictions at two levels, what they score.

A training is a string of flags of train.py.  What it made stands in a folder named by a digest of code, data and flags.
"""

import argparse
import ast
import json
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
import torch

from benchmarks.common import ROOT, machine, script
from loaders import get_data_path, get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus, read_corpus
from loaders.levels import change_level
from predicting.metrics import METRICS
from predicting.prediction_file import load_predictions
from predicting.splits import SPLITS
from training.flags import build_parser
from training.setup import audio_settings
from utils.atomic import atomic_write
from utils.devices import pick_device
from utils.digests import digest, versions
from utils.errors import UserError
from utils.recipes import read_recipe

CODE = ["train.py", "test.py", "loaders", "losses", "models", "predicting", "training", "utils"]
LEVELS = (0, -20)  # dB
BLOCK = 1 << 14  # frames whose level is changed at a time
RECORD = "run.json"  # of a finished run: its flags, machine, date and commit
PARSING = Lock()  # which Python 3.11 cannot do in threads


def parse(flags: str) -> argparse.Namespace:
    """What train.py makes of them."""
    parser, words = build_parser(), shlex.split(flags)
    parser.set_defaults(**read_recipe(parser.parse_args(words).recipe))
    return parser.parse_args(words)


def corpus_of(dataset: str) -> tuple[Corpus, str]:
    """A data set, and the split that is scored: the test clips if their answers are known."""
    corpus = read_corpus(get_data_path(dataset))
    test = corpus.subsets.get("test")
    return corpus, "val" if test is None or test.truth is None else "test"


def code() -> str:
    """A digest of the code and the packages that train and predict; comments do not count."""
    paths = sorted(path for name in CODE for path in (ROOT / name, *(ROOT / name).rglob("*.py")) if path.is_file())
    return digest([str(versions()), *(ast.dump(ast.parse(path.read_text(encoding="utf-8"))) for path in paths)])


def key(flags: str, code: str) -> str:
    """A digest of all that a run is made from: code, flags, labels and features."""
    args = parse(flags)
    folder = features_dir(get_features_path(args.dataset), audio_settings(args))
    parts = [code, repr(sorted(vars(args).items()))]
    for name, subset in corpus_of(args.dataset)[0].subsets.items():
        index = read_index(folder / f"{name}.json") or {"clips": []}
        parts.append("" if subset.truth is None else digest(subset.truth))
        parts.append(json.dumps([subset.fnames, [[clip[0], clip[3]] for clip in index["clips"]]]))
    return digest(parts)


def finish(runs: list[str], folder: Path, jobs: int) -> dict[str, Path]:
    """The folder of each finished run by its flags; what is not there is made, `jobs` at a time (0: nothing)."""
    if jobs:
        make_features(runs, folder)
    before = code()
    folders = {run: folder / key(run, before) for run in runs}

    def make(run: str) -> None:
        train_and_predict(run, folders[run], folder)
        with PARSING:
            if key(run, code()) != folders[run].name:
                raise UserError(f"code or data changed while this ran: {run}; start again")
        where = f"{machine(pick_device(parse(run).device).type)}, {jobs} runs at a time"
        record = {"flags": run, "machine": where, "date": str(date.today()), "commit": commit()}
        with atomic_write(folders[run] / RECORD, "w") as file:  # last: what has it is whole
            json.dump(record, file)
        print(f"done: {run}", flush=True)

    todo = {path: run for run, path in folders.items() if jobs and not (path / RECORD).exists()}  # each once
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        list(pool.map(make, todo.values()))
    return {run: path for run, path in folders.items() if (path / RECORD).exists()}


def commit() -> str:
    """Of the code; "-dirty" if files differ from it."""
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def train_and_predict(flags: str, into: Path, folder: Path) -> None:
    """One training; its last weights predict at each level, into a folder of that name.  folder: of all runs."""
    args, how = parse(flags), ("--eval_freq", 0, "--save_freq", 200, "--resume", "auto")
    script("train.py", *shlex.split(flags), *how, "--checkpoint_dir", into / "checkpoints")
    last = next((into / "checkpoints").glob("*_last_*.pth"))
    for level in LEVELS:
        what = "--model_path", last, "--split", corpus_of(args.dataset)[1], "--device", args.device
        cwd = at_level(args, level, folder) if level else None
        script("test.py", *what, "--prediction_dir", into / str(level), cwd=cwd)
    shutil.rmtree(into / "checkpoints")


def make_features(runs: list[str], folder: Path) -> None:
    """The features that the runs need, as they are and at other levels."""
    for args in {(args.dataset, audio_settings(args)): args for args in map(parse, runs)}.values():
        sizes = "--img_rows", args.img_rows, "--sampling_rate", args.sampling_rate
        script("loaders/freesound_loader.py", "--dataset", args.dataset, *sizes)
        for level in filter(None, LEVELS):
            quieter(args, level, at_level(args, level, folder))


def at_level(args: argparse.Namespace, level: int, folder: Path) -> Path:
    """The folder whose config.json has the run's data set with the clips to score as if they were `level` dB louder."""
    return folder / f"{args.dataset}_{audio_settings(args).digest}_{level}"


def quieter(args: argparse.Namespace, level: int, there: Path) -> None:
    """Fill such a folder, if it is not up to date."""
    settings, name = audio_settings(args), f"{SPLITS[corpus_of(args.dataset)[1]]}.json"
    source, target = (features_dir(path, settings) for path in (get_features_path(args.dataset), there / "features"))
    index = read_index(source / name)
    if read_index(target / name) == index:
        return
    target.mkdir(parents=True, exist_ok=True)
    entry = {"data_path": str(get_data_path(args.dataset).resolve()), "features_path": "features"}
    (there / "config.json").write_text(json.dumps({args.dataset: entry}), encoding="utf-8")
    frames, gain = np.load(source / index["array"], allow_pickle=False), torch.tensor([10 ** (level / 20)])
    changed = [
        change_level(torch.from_numpy(piece.astype(np.float32))[None, None], gain, settings)[0, 0].half().numpy()
        for piece in np.array_split(frames, 1 + len(frames) // BLOCK)
    ]
    np.save(target / index["array"], np.concatenate(changed))
    (target / name).write_text(json.dumps(index), encoding="utf-8")  # last: what has it is whole


def score(dataset: str, folders: list[Path], level: int, metric: str = "lwlrap") -> float:
    """Of the mean of the runs' probabilities of each clip; folds that held out different clips are scored together."""
    corpus, split = corpus_of(dataset)
    tables = [load_predictions(next((folder / str(level)).glob("*.npz"))) for folder in folders]
    frames = [pd.DataFrame(table.probabilities, table.fnames, table.class_names) for table in tables]
    means = pd.concat(frames).groupby(level=0).mean()
    truth = corpus.subset(SPLITS[split]).truth_of(list(means.index))
    return METRICS[metric](truth, means[corpus.class_names].to_numpy())
