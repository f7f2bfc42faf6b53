"""Pack what predicting on Kaggle needs: a data set of code, best checkpoints and wheels, and a notebook to run it."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import glob
import json
import shutil
import subprocess
from typing import Any

from utils.atomic import atomic_write
from utils.checkpoint import checkpoint_args, load_checkpoint
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import MisuseError, UserError, one_line, run

ROOT = Path(__file__).resolve().parents[1]
DATASET, NOTEBOOK = Path("kaggle_dataset"), Path("kaggle_notebook")
SLUG, COMPETITION = "kaggle-fat", "freesound-audio-tagging-2019"  # as they stand in notebook.py
CODE = ("loaders", "models", "utils", "test.py", "merge.py", "LICENSE")
WHEELS = ("soundfile", "soxr")  # what decodes and resamples; of the rest, Kaggle's own versions will do
PLATFORM = "manylinux_2_28_x86_64"
ALIKE = ("img_rows", "img_cols", "seed")  # what merge.py takes one value of

Trained = dict[Path, argparse.Namespace]  # checkpoints and what they were trained with


def main() -> int:
    args = parse_args()
    runs = choose_runs(find_runs(args), args)
    checkpoints = {path: trained for folds in runs.values() for path, trained in folds.items()}
    first, *_ = checkpoints.values()
    requirements = pins() if args.wheels else []
    begin(DATASET, "pack.json")
    begin(NOTEBOOK, "kernel-metadata.json")
    for source in [path for name in CODE for path in ([ROOT / name] if "." in name else (ROOT / name).rglob("*.py"))]:
        copy(source, DATASET / "code" / source.relative_to(ROOT))
    for path in checkpoints:
        copy(path, DATASET / "checkpoints" / path.name)
    if requirements:
        download(requirements, args.python)
    pack = {
        "dataset": args.dataset,
        "runs": list(runs),
        "checkpoints": [path.name for path in checkpoints],
        "sampling_rates": sorted({trained.sampling_rate for trained in checkpoints.values()}),
        **{name: getattr(first, name) for name in ALIKE},
        "tta": args.tta,
        "requirements": requirements,
    }
    write_json(DATASET / "pack.json", pack)
    write_metadata(args)
    print(f"{DATASET}: {len(checkpoints)} checkpoints of {', '.join(runs)}, {len(requirements)} wheels")
    print(f"kaggle datasets create -p {DATASET} --dir-mode zip && kaggle kernels push -p {NOTEBOOK}")
    return 0


def find_runs(args: argparse.Namespace) -> dict[str, Trained]:
    """The best checkpoints of the data set with that many folds, by run, by what is inside the files."""
    runs: dict[str, Trained] = {}
    for path in sorted(Path(args.checkpoint_dir).glob(f"*_{glob.escape(args.dataset)}_best_*.pth")):
        trained = checkpoint_args(load_checkpoint(path))
        if (trained.dataset, trained.num_folds) == (args.dataset, args.num_folds):
            runs.setdefault(f"{trained.arch}_{trained.sampling_rate}_{trained.num_folds}", {})[path] = trained
    if not runs:
        raise UserError(
            f"{args.checkpoint_dir} holds no best checkpoint of --dataset {args.dataset} --num_folds {args.num_folds}; "
            "train.py writes them"
        )
    return runs


def choose_runs(runs: dict[str, Trained], args: argparse.Namespace) -> dict[str, Trained]:
    """The runs to pack, each whole, and such as merge.py averages."""
    if args.run is None and len(runs) > 1:
        raise MisuseError(f"there are {len(runs)} runs: say which to pack with --run {' '.join(runs)}")
    unknown = [name for name in args.run or [] if name not in runs]
    if unknown:
        raise MisuseError(f"--run {unknown[0]}: there are only {', '.join(runs)}")
    chosen = {name: runs[name] for name in args.run or runs}
    first_path, first = next(iter(next(iter(chosen.values())).items()))
    for name, folds in chosen.items():
        numbers = [trained.fold_num for trained in folds.values()]
        for fold in range(args.num_folds):
            if numbers.count(fold) != 1:
                there = "has more than one" if fold in numbers else "has no"
                raise UserError(f"{name} {there} best checkpoint of fold {fold} in {args.checkpoint_dir}")
        for path, trained in folds.items():
            for key in ALIKE:
                if getattr(trained, key) != getattr(first, key):
                    raise UserError(
                        f"{path} was trained with {key} {getattr(trained, key)}, {first_path} with "
                        f"{getattr(first, key)}; merge.py averages only what is alike"
                    )
    return chosen


def pins() -> list[str]:
    """The lines of requirements.txt on the packages that are packed as wheels."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.split("==")[0] in WHEELS]


def download(requirements: list[str], versions: list[str]) -> None:
    """Wheels for these versions of Python on Kaggle's platform, whatever this machine is."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    pip += ["--only-binary", ":all:", "--platform", PLATFORM, "--dest", str(DATASET / "wheels")]
    for version in versions:
        done = subprocess.run(
            [*pip, "--python-version", version, *requirements], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = one_line((done.stderr.strip().splitlines() or ["pip failed"])[-1], 200)
            raise UserError(f"the wheels for Python {version} cannot be had: {reason}; --no-wheels does without")


def begin(folder: Path, mark: str) -> None:
    """An empty folder in place of what this script made before; nothing else is deleted."""
    if folder.exists() and not (folder / mark).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something else than what this script writes; move it away")
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_write(folder / mark):  # first, so that a run that was stopped can be repeated
        pass


def copy(source: Path, to: Path) -> None:
    with open(source, "rb") as original, atomic_write(to) as file:
        shutil.copyfileobj(original, file)


def write_metadata(args: argparse.Namespace) -> None:
    """What the command `kaggle` reads, and the notebook."""
    about = {"id": f"{args.user}/{args.slug}", "title": args.slug, "licenses": [{"name": "other"}]}
    write_json(DATASET / "dataset-metadata.json", about)
    kernel = {
        "id": f"{args.user}/{args.slug}-submission",
        "title": f"{args.slug}-submission",
        "code_file": "notebook.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": False,
        "dataset_sources": [about["id"]],
        "competition_sources": [args.competition],
        "kernel_sources": [],
    }
    write_json(NOTEBOOK / "kernel-metadata.json", kernel)
    source = (ROOT / "on_kaggle/notebook.py").read_text(encoding="utf-8")
    source = source.replace(f'"{SLUG}"', f'"{args.slug}"').replace(f'"{COMPETITION}"', f'"{args.competition}"')
    write_json(NOTEBOOK / "notebook.ipynb", as_notebook(source))


def as_notebook(source: str) -> dict[str, Any]:
    """Python with a line `# %%` before each cell, or `# %% [markdown]` before comments -> a notebook's JSON."""
    cells = []
    for number, part in enumerate(source.split("# %%")[1:]):
        kind, text = part.split("\n", 1)
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if "markdown" in kind:
            cell |= {"cell_type": "markdown", "source": "\n".join(line[2:] for line in text.strip().splitlines())}
        else:
            cell |= {"cell_type": "code", "source": text.strip(), "outputs": [], "execution_count": None}
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=1)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__.split("\n")[0], "python on_kaggle/pack.py --dataset freesound --num_folds 5")
    what = parser.add_argument_group("what")
    what.add_argument("--dataset", default="freesound", help="a name in config.json, of the training")
    what.add_argument("--num_folds", type=positive_int, default=5, help="folds of the training")
    what.add_argument("--run", nargs="+", help="runs to average, ARCH_RATE_FOLDS, where there are several")
    what.add_argument("--checkpoint_dir", default="checkpoints", help="where train.py wrote them")
    what.add_argument("--tta", type=natural_int, default=8, help="crops per clip; 0: the whole clip in one pass")
    what.add_argument("--wheels", action=argparse.BooleanOptionalAction, default=True, help="ask pip for wheels")
    what.add_argument("--python", nargs="+", default=["3.11", "3.12"], help="versions that Kaggle may run")
    there = parser.add_argument_group("names on Kaggle")
    there.add_argument("--user", default="YOUR-NAME", help="who uploads it")
    there.add_argument("--slug", default=SLUG, help="of the data set that is uploaded")
    there.add_argument("--competition", default=COMPETITION, help="whose data the notebook reads")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
