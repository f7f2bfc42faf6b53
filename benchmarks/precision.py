"""Precision: whether trainings in bf16 end where those in fp32 do, on the same data and seeds.

Each run is train.py on the demo corpus.  On a machine without the audio packages, bring a --folder that was filled
where they are.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import json
import math
import os
import subprocess
import time
from statistics import mean, stdev
from tempfile import TemporaryDirectory

from benchmarks.common import PYTHON, add_output_flag, publish
from models import ARCHS
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import UserError, run

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    args = parse_args()
    with TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        prepare(folder, args)
        scores: dict[str, list[float]] = {name: [] for name in PRECISIONS}
        seconds = dict.fromkeys(PRECISIONS, 0.0)
        for seed in args.seeds:
            for precision in PRECISIONS:
                began = time.monotonic()
                scores[precision].append(train(folder, Path(temporary), args, precision, seed))
                seconds[precision] += time.monotonic() - began
                print(f"seed {seed}, {precision}: lwlrap {scores[precision][-1]:.4f}", flush=True)
    rows = [
        {
            "precision": name,
            "lwlrap at the end, mean": f"{mean(scores[name]):.4f}",
            "standard deviation": f"{spread(scores[name]):.4f}",
            "each seed": ", ".join(f"{score:.4f}" for score in scores[name]),
            "seconds a run": f"{seconds[name] / len(args.seeds):.0f}",
        }
        for name in PRECISIONS
    ]
    facts = f"{args.arch}, {args.curated} curated and {args.noisy} noisy clips, half of the curated ones held out, "
    facts += f"{args.n_iter} steps of {args.batch_size} crops {args.img_rows} x {args.img_cols}; "
    facts += f"n = {len(args.seeds)} seeds of each"
    publish("bf16 against fp32", facts, rows, [verdict(scores)], args)


def verdict(scores: dict[str, list[float]]) -> str:
    """Whether the means differ by more than their own uncertainty explains (two standard errors, Welch)."""
    if min(map(len, scores.values())) < 2:
        return "One seed each says nothing about the noise."
    difference = mean(scores["bf16"]) - mean(scores["fp32"])
    noise = 2 * sum(spread(values) ** 2 / len(values) for values in scores.values()) ** 0.5
    within = "within" if abs(difference) <= noise else "NOT within"
    return (
        f"bf16 - fp32 = {difference:+.4f}, {within} the noise of {noise:.4f} (two standard errors of the difference)."
    )


def spread(scores: list[float]) -> float:
    """Standard deviation over the seeds; NaN of a single one."""
    return stdev(scores) if len(scores) > 1 else math.nan


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Make the corpus and its features, unless they are there."""
    tables = [folder / "corpus" / f"{name}.csv" for name in ("train_curated", "train_noisy")]
    if (folder / "features").is_dir():
        held = [len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in tables]
        if held != [args.curated, args.noisy]:
            raise UserError(f"--folder {folder} holds {held[0]} curated and {held[1]} noisy clips; say so")
        return
    folder.mkdir(parents=True, exist_ok=True)
    config = {"demo": {"data_path": "corpus", "features_path": "features"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sizes = ["--curated", args.curated, "--noisy", args.noisy, "--test", 1]
    script(folder, "demo/corpus.py", "--out", "corpus", "--seed", 0, *sizes)
    script(folder, "loaders/freesound_loader.py", "--dataset", "demo", "--split", "train", "--img_rows", args.img_rows)


def train(folder: Path, outputs: Path, args: argparse.Namespace, precision: str, seed: int) -> float:
    """One run of train.py; returns its last lwlrap."""
    checkpoints = outputs / f"{precision}_{seed}"
    flags = ["--dataset", "demo", "--num_folds", 2, "--eval_freq", 0, "--use_mix_up", "--use_spec_aug"]
    flags += ["--use_cbam"] if args.arch.startswith("resnet") else []
    for name in ("device", "arch", "n_iter", "batch_size", "img_rows", "img_cols", "l_rate", "dropout_rate"):
        flags += [f"--{name}", getattr(args, name)]
    script(
        folder,
        "train.py",
        *flags,
        "--precision",
        precision,
        "--seed",
        seed,
        "--checkpoint_dir",
        checkpoints,
        "--overwrite",
    )
    [log] = checkpoints.glob("*_log.jsonl")
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["lwlrap"]


def script(folder: Path, name: str, *flags: object, **environ: str) -> None:
    """Run one of the repository's scripts in a folder.  Raises UserError with what it said if it fails."""
    command = [PYTHON, str(ROOT / name), *map(str, flags)]
    done = subprocess.run(command, cwd=folder, env=os.environ | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/precision.py --device cuda --arch resnet18")
    data = parser.add_argument_group("data")
    data.add_argument("--folder", type=Path, help="where to keep the corpus and its features; otherwise they go again")
    data.add_argument("--curated", type=positive_int, default=160, help="clips of the demo corpus")
    data.add_argument("--noisy", type=positive_int, default=80, help="likewise")
    training = parser.add_argument_group("training")
    training.add_argument("--arch", default="mobilenet_v3_small", choices=list(ARCHS), help="a ResNet has CBAM")
    training.add_argument("--n_iter", type=positive_int, default=150, help="steps of a run")
    training.add_argument("--batch_size", type=positive_int, default=16, help="clips of a step")
    training.add_argument("--img_rows", type=positive_int, default=64, help="mel bands")
    training.add_argument("--img_cols", type=positive_int, default=96, help="frames of a crop")
    training.add_argument("--l_rate", type=float, default=0.1, help="base learning rate")
    training.add_argument("--dropout_rate", type=float, default=0.2, help="dropout before the last layer")
    runs = parser.add_argument_group("runs")
    runs.add_argument("--seeds", nargs="+", type=natural_int, default=[1, 2, 3], help="three or more say something")
    runs.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="what is measured")
    add_output_flag(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
