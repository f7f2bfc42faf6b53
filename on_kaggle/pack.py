"""Pack what predicting on Kaggle needs: a data set of code, best checkpoints and wheels, and a notebook to run it."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
import shutil
import subprocess
from typing import Any

from predicting.checkpoint import args_of, find_runs
from predicting.runs import check_folds, choose_runs
from utils.atomic import atomic_write
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import UserError, one_line, run

ROOT = Path(__file__).resolve().parents[1]
DATASET, NOTEBOOK = Path("kaggle_dataset"), Path("kaggle_notebook")
SLUG, COMPETITION = "kaggle-fat", "freesound-audio-tagging-2019"  # as they stand in notebook.py
CODE = ("loaders", "losses", "models", "predicting", "utils", "test.py", "merge.py", "LICENSE")
WHEELS = ("av", "soundfile", "soxr")  # what decodes and resamples; of the rest, Kaggle's own versions will do
PLATFORM = "manylinux_2_28_x86_64"


def main() -> int:
    args = parse_args()
    runs = chosen_runs(args)
    checkpoints = {path: trained for folds in runs.values() for path, trained in folds.items()}
    begin(DATASET, "pack.json")
    begin(NOTEBOOK, "kernel-metadata.json")
    for source in [path for name in CODE for path in [ROOT / name, *(ROOT / name).rglob("*.py")] if path.is_file()]:
        copy(source, DATASET / "code" / source.relative_to(ROOT))
    for path in checkpoints:
        copy(path, DATASET / "checkpoints" / path.name)
    requirements = download(args.python) if args.wheels else []
    pack = {
        "dataset": args.dataset,
        "checkpoints": [path.name for path in checkpoints],
        "features": sorted({(trained["sampling_rate"], trained["img_rows"]) for trained in checkpoints.values()}),
        "tta": args.tta,
        "requirements": requirements,
    }
    write_json(DATASET / "pack.json", pack)
    write_metadata(args)
    print(f"{DATASET}: {len(checkpoints)} checkpoints of {', '.join(runs)}, {len(requirements)} wheels")
    print(f"kaggle datasets create -p {DATASET} --dir-mode zip && kaggle kernels push -p {NOTEBOOK}")
    return 0


def chosen_runs(args: argparse.Namespace) -> dict[str, dict[Path, dict[str, Any]]]:
    """Arguments of the best checkpoints to pack, by run; each run is whole."""
    found = find_runs(args.checkpoint_dir, dataset=args.dataset, num_folds=args.num_folds)
    if not found:
        raise UserError(
            f"{args.checkpoint_dir} holds no best checkpoint of --dataset {args.dataset} --num_folds {args.num_folds}; "
            "train.py writes them"
        )
    runs = {}
    for name in choose_runs(found, args.run, "pack"):
        runs[name] = args_of(found[name])
        check_folds(name, runs[name], "train them first")
    return runs


def download(versions: list[str]) -> list[str]:
    """Wheels for these versions of Python on Kaggle's platform, whatever this machine is; what pip is to install."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line.split("==")[0] in WHEELS]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
    pip += ["--only-binary", ":all:", "--platform", PLATFORM, "--dest", str(DATASET / "wheels")]
    for version in versions:
        command = [*pip, "--python-version", version, *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = one_line((done.stderr.strip().splitlines() or ["pip failed"])[-1], 200)
            raise UserError(f"wheels for Python {version} cannot be downloaded: {reason}; --no-wheels leaves them out")
    return requirements


def begin(folder: Path, mark: str) -> None:
    """An empty folder in place of what this script made before; nothing else is deleted."""
    if folder.exists() and not (folder / mark).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds files that this script did not write; move them away")
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
    }
    write_json(NOTEBOOK / "kernel-metadata.json", kernel)
    source = (ROOT / "on_kaggle/notebook.py").read_text(encoding="utf-8")
    source = source.replace(f'"{SLUG}"', f'"{args.slug}"').replace(f'"{COMPETITION}"', f'"{args.competition}"')
    write_json(NOTEBOOK / "notebook.ipynb", as_notebook(source))


def as_notebook(source: str) -> dict[str, Any]:
    """Python with a line `# %%` before each cell -> a notebook's JSON."""
    cells = [
        {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": text.strip(), "outputs": [],
         "execution_count": None}
        for number, text in enumerate(source.split("# %%\n")[1:])
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=1)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python on_kaggle/pack.py --dataset freesound --num_folds 5")
    what = parser.add_argument_group("what")
    what.add_argument("--dataset", default="freesound", help="a name in config.json, as in training")
    what.add_argument("--num_folds", type=positive_int, default=5, help="number of folds of the training")
    what.add_argument("--run", nargs="+", help="runs to average, as ARCH_RATE_FOLDS; needed if there are several")
    what.add_argument("--checkpoint_dir", default="checkpoints", help="where train.py wrote them")
    what.add_argument("--tta", type=natural_int, default=8, help="crops per clip; 0: the whole clip in one pass")
    what.add_argument("--wheels", action=argparse.BooleanOptionalAction, default=True, help="add wheels, by pip")
    what.add_argument("--python", nargs="+", default=["3.11", "3.12"], help="versions that Kaggle may run")
    there = parser.add_argument_group("names on Kaggle")
    there.add_argument("--user", default="YOUR-NAME", help="who uploads it")
    there.add_argument("--slug", default=SLUG, help="name of the data set to upload")
    there.add_argument("--competition", default=COMPETITION, help="the competition whose data the notebook reads")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
