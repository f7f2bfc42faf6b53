"""Ablation: what each part of a recipe is worth on a data set, at equal numbers of clips seen.

Every setting is trained with every seed on one fold, and scored on the test clips.  Finished runs stand in --folder,
one line each, and are not repeated; a run that was stopped goes on.  --regime full: 96,000 crops, which is a hundred
epochs of 1,000 clips, and on a GPU a minute or two.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import json
import math
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import mean, median
from threading import Lock
from typing import Any

import numpy as np
from joblib import cpu_count

from benchmarks.common import Row, add_output_flag, publish
from benchmarks.precision import ROOT, script, spread
from loaders import get_data_path, get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import Corpus, read_corpus
from loaders.pcen import AudioSettings
from models import ARCHS
from predicting.merging import balance
from predicting.metrics import lwlrap
from predicting.prediction_file import load_predictions
from utils.cli import hertz, make_parser, natural_int, positive_int
from utils.digests import digest, versions
from utils.errors import UserError, run

ORIGINAL = "--use_mix_up --use_spec_aug"
ADAMW = "--optimizer adamw --l_rate 2e-3 --weight_decay 0.05"
BEFORE_CE = "--recipe improved --loss bce+lovasz"  # the recipe of 2026-11-27
ONE_STAGE = f"{BEFORE_CE} --fine_tune 0 --shift_share 0"
SETTINGS = {  # name -> flags of train.py, or of run.sh
    "original": ORIGINAL,
    "original, masks twice as wide": f"{ORIGINAL} --mask_share 0.4",
    "original, no masks": "--use_mix_up",
    "original, random folds": f"{ORIGINAL} --fold_split random",
    "original, AdamW": f"{ORIGINAL} {ADAMW}",
    "original, cosine": f"{ORIGINAL} --num_cycles 1",
    "original, AdamW, cosine": f"{ORIGINAL} {ADAMW} --num_cycles 1",
    "improved": "--recipe improved",
    "improved, original loss": BEFORE_CE,
    "improved, no shift": "--recipe improved --shift_share 0",
    "original loss, curated clips alone at the end": f"{BEFORE_CE} --final_share 1",
    "original loss, no shift, curated clips alone at the end": f"{BEFORE_CE} --final_share 1 --shift_share 0",
    "improved, share 0.75": "--recipe improved --curated_share 0.75",
    "improved, share as it is": "--recipe improved --curated_share 0",
    "improved, masks twice as wide": "--recipe improved --mask_share 0.4",
    "improved, no masks": "--recipe improved --no-use_spec_aug",
    "improved, believable noisy clips": "--recipe improved --select_noisy",
    "one stage, share 0.9": f"{ONE_STAGE} --curated_share 0.9",
    "one stage, share 0.75": f"{ONE_STAGE} --curated_share 0.75",
    "one stage, share 0.57": ONE_STAGE,
    "one stage, share as it is": f"{ONE_STAGE} --curated_share 0",
    "one stage, curated clips alone": f"{ONE_STAGE} --split train_curated",
    "one stage, share 0.75, believable noisy clips": f"{ONE_STAGE} --curated_share 0.75 --select_noisy",
    "one stage, share 0.75, BCE alone": f"{ONE_STAGE} --curated_share 0.75 --loss bce",
}

CODE = ("train.py", "test.py", "loaders", "losses", "models", "predicting", "training", "utils")  # of a result
SIZES = ["device", "arch", "num_folds", "n_iter", "batch_size", "img_rows", "img_cols", "sampling_rate", "precision"]
REGIMES = {
    "short": {},
    "full": {"n_iter": 1500, "batch_size": 64, "curve": 4, "seeds": [1, 2]},  # 96,000 crops
}

# of the last weights: 8 crops a clip, the same as merge.py --balance has it, one pass a clip, validation
SCORES = ("test", "test, balanced", "test, whole clips", "held out")


def main() -> None:
    args = parse_args()
    corpus = read_corpus(get_data_path(args.dataset))
    if corpus.subset("test").truth is None:
        raise UserError(f"the answers to the test clips of {args.dataset} are not there, so nothing can be compared")
    args.made_from = made_from(corpus, args)
    done = Results(args.folder / "results.jsonl")
    todo = [(name, seed) for seed in args.seeds for name in args.settings if (how(name, args), seed) not in done.rows]
    stale = {(row["setting"], row["seed"]) for row in done.rows.values()}.intersection(todo)
    if stale:
        print(f"{len(stale)} runs in {done.path} are of other code, data or flags, and are made anew", flush=True)
    train_all(todo, args, done)
    facts = f"{args.arch}{' + CBAM' if args.arch.startswith('resnet') else ''}, fold 0 of {args.num_folds}, "
    facts += f"{args.n_iter} steps of {args.batch_size} crops {args.img_rows} x {args.img_cols}, {args.precision}; "
    facts += f"n = {len(args.seeds)} seeds, {args.jobs} runs at a time"
    publish(f"Ablation on {args.dataset}", facts, table(done, args), [], args)


def train_all(todo: list[tuple[str, int]], args: argparse.Namespace, done: "Results") -> None:
    """Train and score these settings and seeds, args.jobs at a time; if one fails, those that run still finish."""
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: train_and_score(*job, args, done), todo))


class Results:
    """Finished runs, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.lock = path, Lock()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows = {(row["how"], row["seed"]): row for row in map(json.loads, lines)}

    def add(self, row: dict[str, Any]) -> None:
        with self.lock, open(self.path, "a", encoding="utf-8") as file:
            self.rows[row["how"], row["seed"]] = row
            file.write(json.dumps(row) + "\n")


def how(setting: str, args: argparse.Namespace) -> str:
    """All that a run's result depends on but its seed: a folder may hold runs of several lengths and recipes."""
    sizes = {name: getattr(args, name) for name in SIZES}
    return json.dumps([SETTINGS[setting], sizes, args.dataset, args.curve, SCORES, args.made_from])


def made_from(corpus: Corpus, args: argparse.Namespace) -> list[str]:
    """Digests of the code, the packages and the data.  A finished run has no checkpoint left that would tell."""
    sources = sorted(path for name in CODE for path in [ROOT / name, *(ROOT / name).rglob("*.py")] if path.is_file())
    folder = features_dir(get_features_path(args.dataset), AudioSettings(args.sampling_rate, args.img_rows))
    clips = []
    for name, subset in corpus.subsets.items():
        index = read_index(folder / f"{name}.json") or {"clips": []}
        clips.append(json.dumps([subset.truth_of(subset.fnames).tolist(), [[c[0], c[3]] for c in index["clips"]]]))
    return [digest(path.read_text(encoding="utf-8") for path in sources), json.dumps(versions()), digest(clips)]


def train_and_score(setting: str, seed: int, args: argparse.Namespace, done: Results) -> None:
    """One training; lwlrap of its last weights on the test clips and on the held-out ones goes to the results."""
    name = "_".join(setting.replace(",", "").split())
    folder = args.folder / f"{name}_{seed}_{digest([how(setting, args)])[:8]}"
    flags = ["--seed", seed, *shlex.split(SETTINGS[setting])]
    began, anew = time.monotonic(), not any(folder.rglob("*.pth"))
    if "--select_noisy" in flags:
        flags.remove("--select_noisy")
        first = train(folder / "first", [*flags, "--split", "train_curated"], args)
        predict(first, "train_noisy", 8, folder / "first", args)
        flags += ["--noisy_scores", folder / "first"]
    last = train(folder, flags, args)
    seconds = time.monotonic() - began if anew else math.nan  # of a run that was stopped a part is not known
    crops, whole = (predict(last, "test", tta, folder / f"tta_{tta}", args) for tta in (8, 0))
    truth, (crops, whole) = tables_of([crops, whole], args.dataset)
    tests = [lwlrap(truth, scores) for scores in (crops, balance(crops), whole)]
    [log] = folder.glob("*_log.jsonl")
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    held_out, curve = records[-1]["lwlrap"], [record["test"] for record in records if "test" in record]
    scores = dict(zip(SCORES, (*tests, held_out), strict=True))
    run_of = {"setting": setting, "seed": seed, "how": how(setting, args), "jobs": args.jobs}
    done.add({**run_of, **scores, "seconds": seconds, "curve": curve})
    print(f"{setting}, seed {seed}: lwlrap {tests[0]:.4f}, held out {held_out:.4f}", flush=True)
    for checkpoint in folder.rglob("*.pth"):
        checkpoint.unlink()


def train(folder: Path, flags: list[object], args: argparse.Namespace) -> Path:
    """Train into a folder; the last checkpoint."""
    every = max(args.n_iter // args.curve, 1) if args.curve else 0
    flags = ["--dataset", args.dataset, "--eval_freq", every, "--checkpoint_dir", folder, *flags]
    flags += ["--resume", "auto", "--save_freq", 200]  # a stopped ablation goes on
    flags += ["--use_cbam"] if args.arch.startswith("resnet") else []
    flags += [word for name in SIZES for word in (f"--{name}", getattr(args, name))]
    script(Path(), "benchmarks/scored_run.py" if args.curve else "train.py", *flags, **threads(args))
    [last] = folder.glob("*_last_*.pth")
    return last


def predict(checkpoint: Path, split: str, tta: int, folder: Path, args: argparse.Namespace) -> Path:
    """Predict a split into a folder; the file of its probabilities."""
    flags = ["--model_path", checkpoint, "--split", split, "--tta", tta, "--prediction_dir", folder]
    script(Path(), "test.py", *flags, "--precision", args.precision, **threads(args))
    [path] = folder.glob(f"*_{split}_*.npz")
    return path


def threads(args: argparse.Namespace) -> dict[str, str]:
    """A run's share of the cores."""
    return {"OMP_NUM_THREADS": str(max(cpu_count() // args.jobs, 1))}


def tables_of(paths: list[Path], dataset: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The answers (N, C) to the test clips, and the probabilities (N, C) in each file of predictions of them."""
    corpus, predictions = read_corpus(get_data_path(dataset)), [load_predictions(path) for path in paths]
    fnames = predictions[0].fnames
    return corpus.subset("test").truth_of(fnames), [each.aligned(fnames, corpus.class_names) for each in predictions]


def table(done: Results, args: argparse.Namespace) -> list[Row]:
    """A line per setting; errors are compared with those of the first."""
    scores = {name: [done.rows[how(name, args), seed] for seed in args.seeds] for name in args.settings}
    first = scores[args.settings[0]]
    rows = []
    for name, records in scores.items():
        test, balanced, whole, held_out = ([record[key] for record in records] for key in SCORES)
        error = 1 - mean(test)
        rows.append(
            {
                "setting": name,
                "flags": f"`{SETTINGS[name]}`",
                "lwlrap, test": f"{mean(test):.4f} ± {spread(test):.4f}",
                "balanced": f"{mean(balanced):.4f} ± {spread(balanced):.4f}",
                "whole clips": f"{mean(whole):.4f} ± {spread(whole):.4f}",
                "held out": f"{mean(held_out):.4f} ± {spread(held_out):.4f}",
                **({"test on the way": on_the_way(records)} if args.curve else {}),
                "error against the first": f"{error / (1 - mean(record['test'] for record in first)):.2f}",
                "time": relative_time(records, first),
            }
        )
    return rows


def relative_time(records: list[dict[str, Any]], first: list[dict[str, Any]]) -> str:
    """How many times as long as the first setting's; empty where a run was stopped or had other jobs beside it."""
    times = [median(record["seconds"] for record in each) for each in (records, first)]
    alike = len({record["jobs"] for record in records + first}) == 1
    whole = all(math.isfinite(record["seconds"]) for record in records + first)
    return f"{times[0] / times[1]:.2f}" if alike and whole else ""


def on_the_way(records: list[dict[str, Any]]) -> str:
    """The mean test score of each validation."""
    return ", ".join(f"{mean(scores):.4f}" for scores in zip(*(record["curve"] for record in records), strict=True))


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/ablation.py --folder /tmp/ablation --jobs 2")
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="freesound", help="a name in config.json, with answers to its test clips")
    data.add_argument("--num_folds", type=positive_int, default=5, help="of which the first is held out")
    training = parser.add_argument_group("training")
    training.add_argument("--regime", default="short", choices=REGIMES, help="sets several of the flags below")
    training.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS, help="which to train")
    training.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network; a ResNet has CBAM")
    training.add_argument("--n_iter", type=positive_int, default=600, help="steps of a run")
    training.add_argument("--batch_size", type=positive_int, default=16, help="clips of a step")
    training.add_argument("--curve", type=natural_int, default=0, help="how often a run scores; 0: at its end")
    training.add_argument("--img_rows", type=positive_int, default=64, help="mel bands")
    training.add_argument("--img_cols", type=positive_int, default=128, help="frames of a crop")
    training.add_argument("--sampling_rate", type=hertz, default=44100, help="Hz")
    training.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of all runs")
    runs = parser.add_argument_group("runs")
    runs.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what trains")
    runs.add_argument("--seeds", nargs="+", type=natural_int, default=[1, 2, 3], help="three or more say something")
    runs.add_argument("--jobs", type=positive_int, default=1, help="runs at a time, which share the cores")
    runs.add_argument("--folder", type=Path, required=True, help="where results are kept")
    add_output_flag(parser)
    parser.set_defaults(**REGIMES[parser.parse_args().regime])
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
