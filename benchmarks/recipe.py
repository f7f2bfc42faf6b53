"""Recipe: what each part of a recipe is worth, by the scripts as a user calls them, with several seeds each.

Every row is trained on fold 0, and its last weights score the test clips; the features must be there.  Finished runs
stand in --folder, one line each, keyed by digests of the code, the data and the flags: stale ones are made again, a run
that was stopped goes on.  Errors are compared with the first row's.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import json
import os
import re
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import mean, stdev

from benchmarks.common import ROOT, Row, publish, script
from loaders import get_data_path, get_features_path
from loaders.index import features_dir, read_index
from loaders.layouts import read_corpus
from loaders.pcen import AudioSettings, audio_settings
from predicting.metrics import lwlrap
from predicting.prediction_file import Predictions, load_predictions
from training.flags import build_parser
from utils.cli import make_parser, natural_int, positive_int
from utils.devices import pick_device
from utils.digests import digest, versions
from utils.errors import UserError, run

SIZES = "--arch resnet18 --use_cbam --img_rows 64 --img_cols 128 --n_iter 600 --batch_size 16 --precision fp32"
ORIGINAL = "--use_mix_up --use_spec_aug"
ADAMW = "--optimizer adamw --l_rate 2e-3 --weight_decay 0.05"
ROWS = {  # name -> flags of train.py, and --select_noisy of run.sh
    "original": ORIGINAL,
    "original, random folds": f"{ORIGINAL} --fold_split random",
    "original, AdamW": f"{ORIGINAL} {ADAMW}",
    "original, AdamW, one cosine": f"{ORIGINAL} {ADAMW} --num_cycles 1",
    "improved": "--recipe improved",
    "improved, bf16": "--recipe improved --precision bf16",
    "improved, original loss": "--recipe improved --loss bce+lovasz",
    "improved, no shift": "--recipe improved --shift_share 0",
    "improved, no masks": "--recipe improved --no-use_spec_aug",
    "improved, masks twice as wide": "--recipe improved --mask_share 0.4",
    "improved, one stage": "--recipe improved --fine_tune 0",
    "improved, curated clips alone at the end": "--recipe improved --final_share 1",
    "improved, curated clips alone": "--recipe improved --split train_curated",
    "improved, believable noisy clips": "--recipe improved --select_noisy",
}
CODE = ["train.py", "test.py", "loaders", "losses", "models", "predicting", "recipes", "training", "utils"]
CODE += ["benchmarks/recipe.py", "benchmarks/differences.py"]
Scores = dict[str, float]
Prefix = Callable[[str, Path], tuple[object, ...]]  # (row, folder): what stands before a script's name


def main(rows: dict[str, str] = ROWS, flags: str = SIZES, prefix: Prefix = lambda row, folder: ()) -> None:
    """rows: name -> flags, beside those for all rows.  prefix: differences.py runs each script through itself."""
    args = parse_args(rows, flags)
    os.environ["OMP_NUM_THREADS"] = str(max(os.cpu_count() // args.jobs, 1))
    if read_corpus(get_data_path(args.dataset)).subset("test").truth is None:
        raise UserError(f"the answers to the test clips of {args.dataset} are not there, so nothing can be compared")
    for_all = build_parser().parse_args(shlex.split(args.flags))
    args.device = pick_device(for_all.device).type
    sources = [*made_from(args.dataset, audio_settings(for_all)), args.dataset, args.flags]
    keys = {name: digest([*sources, name, rows[name]]) for name in args.rows}

    def scored(name: str, seed: int, folder: Path) -> Scores:
        flags = ["--dataset", args.dataset, "--seed", str(seed), *shlex.split(f"{args.flags} {rows[name]}")]
        return train_and_score(flags, folder, partial(script, *prefix(name, folder)))

    scores = finish(keys, args, scored)
    facts = f"`{args.flags}`; n = {len(args.seeds)} seeds, {args.jobs} runs at a time"
    publish(f"{args.dataset}, each row with further flags", facts, table(scores, rows), args)


def made_from(dataset: str, settings: AudioSettings) -> list[str]:
    """Digests of the code, the packages and the data.  A finished run has no checkpoint left that would tell."""
    sources = [path for name in CODE for path in (ROOT / name, *(ROOT / name).rglob("*.*")) if path.is_file()]
    code = digest(path.read_text(encoding="utf-8") for path in sorted(sources) if path.suffix in (".py", ".json"))
    clips = []
    for name, subset in read_corpus(get_data_path(dataset)).subsets.items():
        index = read_index(features_dir(get_features_path(dataset), settings) / f"{name}.json") or {"clips": []}
        clips.append(json.dumps([subset.truth_of(subset.fnames).tolist(), [[c[0], c[3]] for c in index["clips"]]]))
    return [code, json.dumps(versions()), digest(clips)]


def finish(keys: dict[str, str], args: argparse.Namespace, scored: Callable[..., Scores]) -> dict[str, list[Scores]]:
    """The scores of every row, one for each seed; what is not in the results is made, args.jobs runs at a time.

    keys: digests of all that a row's results depend on but the seed.  If a run fails, the others still finish.
    """
    args.folder.mkdir(parents=True, exist_ok=True)
    results = args.folder / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    done = {(row["key"], row["seed"]): row for row in map(json.loads, lines)}
    todo = [(name, seed) for seed in args.seeds for name in keys if (keys[name], seed) not in done]
    if stale := {(row["row"], row["seed"]) for row in done.values()}.intersection(todo):
        print(f"{len(stale)} runs in {results} are of other code, data or flags, and are made again", flush=True)

    def make(job: tuple[str, int]) -> None:
        name, seed = job
        folder = args.folder / "_".join([*re.findall(r"\w+", name), str(seed), keys[name][:8]])
        row = {"row": name, "seed": seed, "key": keys[name], "scores": scored(name, seed, folder)}
        done[keys[name], seed] = row
        with open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{name}, seed {seed}: {json.dumps(row['scores'])}", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(make, todo))
    return {name: [done[key, seed]["scores"] for seed in args.seeds] for name, key in keys.items()}


def train_and_score(flags: list[str], folder: Path, run_script: Callable[..., None]) -> Scores:
    """One training; lwlrap of its last weights on the test clips and on the held-out ones."""
    trained = build_parser().parse_args([flag for flag in flags if flag != "--select_noisy"])

    def train(into: Path, *more: object) -> Path:
        how = ("--num_folds", 5, "--eval_freq", 0, "--save_freq", 200, "--resume", "auto", "--checkpoint_dir", into)
        run_script("train.py", *how, *(flag for flag in flags if flag != "--select_noisy"), *more)
        return next(into.glob("*_last_*.pth"))

    def predict(checkpoint: Path, split: str, into: Path) -> Predictions:
        how = ("--model_path", checkpoint, "--precision", trained.precision, "--prediction_dir", into)
        run_script("test.py", *how, "--split", split)
        return load_predictions(next(into.glob(f"*_{split}_*.npz")))

    more: tuple[object, ...] = ()
    if "--select_noisy" in flags:
        predict(train(folder / "first", "--split", "train_curated"), "train_noisy", folder / "first")
        more = ("--noisy_scores", folder / "first")
    predictions = predict(train(folder, *more), "test", folder)
    corpus = read_corpus(get_data_path(trained.dataset))
    truth = corpus.subset("test").truth_of(predictions.fnames)
    test = lwlrap(truth, predictions.aligned(predictions.fnames, corpus.class_names))
    log = next(folder.glob("*_log.jsonl")).read_text(encoding="utf-8").splitlines()
    for checkpoint in folder.rglob("*.pth"):
        checkpoint.unlink()
    return {"lwlrap, test": test, "held out": json.loads(log[-1])["lwlrap"]}


def table(scores: dict[str, list[Scores]], flags: dict[str, str]) -> list[Row]:
    """A line for each row: its mean scores and their standard deviation over the seeds."""
    rows: list[Row] = []
    errors = {name: 1 - mean(next(iter(each.values())) for each in seeds) for name, seeds in scores.items()}
    for name, seeds in scores.items():
        values = {score: [each[score] for each in seeds] for score in seeds[0]}
        spread = {score: f" ± {stdev(each):.4f}" if len(each) > 1 else "" for score, each in values.items()}
        means = {score: f"{mean(each):.4f}{spread[score]}" for score, each in values.items()}
        error = f"{errors[name] / next(iter(errors.values())):.2f}"
        rows.append({"row": name, "flags": f"`{flags[name]}`", **means, "error": error})
    return rows


def parse_args(rows: dict[str, str], flags: str) -> argparse.Namespace:
    parser = make_parser(__doc__, f"python benchmarks/{Path(sys.argv[0]).name} --dataset esc10 --folder results")
    parser.add_argument("--dataset", default="freesound", help="a name in config.json, with answers to its test clips")
    parser.add_argument("--flags", default=flags, help="of train.py, for all rows")
    parser.add_argument("--rows", nargs="+", default=list(rows), choices=rows, help="which; the first is compared with")
    parser.add_argument("--seeds", nargs="+", type=natural_int, default=[1, 2, 3], help="three or more say something")
    parser.add_argument("--jobs", type=positive_int, default=2, help="runs at a time, which share the cores")
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--output", type=Path, help="file to append the table to")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    return args


if __name__ == "__main__":
    run(main)
