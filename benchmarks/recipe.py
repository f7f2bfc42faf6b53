"""Recipe: rows x data sets x seeds through train.py and test.py, as a user calls them, into the tables of a page.

Test clips are scored where their answers are known, else the clips that each fold held out; both also as if they were
20 dB quieter.  What is finished stands in --folder, known by its code, data and flags: what other code made does not
count, a benchmark that was stopped goes on.  Each table stands between two marker lines of --output.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import json
import os
import re
from itertools import product
from typing import NamedTuple

import pandas as pd

from benchmarks import common, runs
from utils.atomic import atomic_write
from utils.cli import make_parser, natural_int
from utils.errors import MisuseError, run


class Row(NamedTuple):
    """Networks whose probabilities are averaged: each of these flags of train.py with each of these folds."""

    flags: tuple[str, ...]
    folds: tuple[int, ...]


class Table(NamedTuple):
    """Rows by name; all are trained with the same further flags, once for each seed."""

    flags: str
    seeds: tuple[int, ...]
    rows: dict[str, Row]


def rows_of(flags: dict[str, str], *folds: int) -> dict[str, Row]:
    return {name: Row((each,), folds) for name, each in flags.items()}


NETWORKS = {"ResNet18 + CBAM": "--use_cbam", "MobileNetV3-Large": "--arch mobilenet_v3_large"}
ORIGINAL = {f"{net}, original": f"--use_mix_up --use_spec_aug {flags}" for net, flags in NETWORKS.items()}
IMPROVED = {f"{net}, improved": f"--recipe improved {flags}" for net, flags in NETWORKS.items()}
LONG = "--img_rows 64 --img_cols 128 --batch_size 64 --n_iter 1500"
LONG_FOLDED = "--img_rows 64 --img_cols 128 --batch_size 32 --n_iter 1000"
SHORT = "--recipe improved --use_cbam --img_rows 32 --img_cols 96 --batch_size 32 --n_iter 800"
PARTS = {  # the improved recipe, and without each of its parts
    "improved": "",
    "without AdamW and its rate": "--optimizer sgd --l_rate 0.1 --weight_decay 1e-4",
    "without one cosine": "--num_cycles 0",
    "without curated share": "--curated_share 0 --final_share 0",
    "without the last quarter": "--fine_tune 0",
    "without shifts": "--shift_share 0",
    "without dropout of 0.2": "--dropout_rate 0.5",
    "without its loss": "--loss bce+lovasz",
    "without mixup": "--no-use_mix_up",
    "without masks": "--no-use_spec_aug",
    "without random level": "--level_range 0",
}
FOLD_SEEDS = {"improved": "", "without fold seeds": "--no-fold_seeds"}
FIVE = (0, 1, 2, 3, 4)
MERGED = {
    **rows_of(ORIGINAL, 0),
    "both, original": Row(tuple(ORIGINAL.values()), (0,)),
    **rows_of(IMPROVED, *FIVE),
    "both, improved": Row(tuple(IMPROVED.values()), FIVE),
}
TABLES = {  # for data sets with answers to their test clips, and for those without
    "protocol": (
        Table(LONG, (1, 2), rows_of(ORIGINAL | IMPROVED, 0)),
        Table(LONG_FOLDED, (1,), rows_of(ORIGINAL | IMPROVED, *FIVE)),
    ),
    "merged": (Table(LONG, (1,), MERGED), None),
    "parts": (Table(SHORT, (1, 2), rows_of(PARTS, 0)),) * 2,
    "fold_seeds": (Table(SHORT, (1, 2), rows_of(FOLD_SEEDS, 0, 1)), None),
}
Lines = list[tuple[str, list[str]]]  # of a table: for each row and seed the row's name and the flags of its runs


def main() -> None:
    args = parse_args()
    os.environ["OMP_NUM_THREADS"] = str(max(os.cpu_count() // max(args.jobs, 1), 1))
    tables = {}
    for name, dataset in product(args.tables, args.datasets):
        if table := TABLES[name][runs.corpus_of(dataset)[1] == "val"]:
            tables[name, dataset] = table, lines_of(table, dataset, args)
    wanted = dict.fromkeys(flags for _, lines in tables.values() for _, each in lines for flags in each)
    folders = runs.finish(list(wanted), args.folder, args.jobs)
    for (name, dataset), (table, lines) in tables.items():
        text = section(table, dataset, lines, folders)
        print(f"\n{text}", flush=True)
        if args.output:
            put(args.output, f"{name}, {dataset}", text)


def lines_of(table: Table, dataset: str, args: argparse.Namespace) -> Lines:
    if odd := set(args.rows or ()).difference(table.rows):
        raise MisuseError(f"--rows {min(odd)}: the table has no such row, but {', '.join(table.rows)}")
    lines = []
    for name, seed in product(args.rows or table.rows, args.seeds or table.seeds):
        networks = product(table.rows[name].flags, table.rows[name].folds)
        words = [f"{table.flags} {flags} {args.flags} --fold_num {fold} --seed {seed}" for flags, fold in networks]
        lines.append((name, [f"--dataset {dataset} {flags}" for flags in words]))
    return lines


def section(table: Table, dataset: str, lines: Lines, folders: dict[str, Path]) -> str:
    """A table and what it was made from.  folders: of the finished runs."""
    done = [(name, [folders[each] for each in flags]) for name, flags in lines if folders.keys() >= set(flags)]
    missing = dict.fromkeys(name for name, flags in lines if not folders.keys() >= set(flags))
    clips = "test clips" if runs.corpus_of(dataset)[1] == "test" else "clips that the folds held out"
    records = [json.loads((folder / runs.RECORD).read_text(encoding="utf-8")) for _, each in done for folder in each]
    facts = [f"{dataset}, {clips}"]
    facts += [", ".join(sorted({record[what] for record in records})) for what in ("machine", "date", "commit") if done]
    facts += [f"not finished: {', '.join(missing)}"] if missing else []
    text = f"{'; '.join(facts)}. All rows: `{table.flags}`; error: 1 - lwlrap, against the first row's.\n\n"
    return text + (common.markdown(figures(table, dataset, done)) if done else "")


def figures(table: Table, dataset: str, done: list[tuple[str, list[Path]]]) -> list[common.Row]:
    """Means over the finished seeds, and their standard deviations.  done: for each row and seed its runs' folders."""
    columns = {f"lwlrap, {level} dB": (level, "lwlrap") for level in runs.LEVELS}
    if runs.corpus_of(dataset)[0].single_label:
        columns["accuracy, 0 dB"] = 0, "accuracy"
    scores = [[runs.score(dataset, folders, *how) for how in columns.values()] for _, folders in done]
    seeds = pd.DataFrame(scores, [name for name, _ in done], list(columns)).groupby(level=0, sort=False)
    means, spread = seeds.mean(), seeds.std()
    texts = means.map("{:.4f}".format) + spread.map(" ± {:.4f}".format).where(spread.notna(), "")
    error = (1 - means.iloc[:, 0]) / (1 - means.iloc[0, 0])
    rows = []
    for name, cells in texts.iterrows():
        row = table.rows[name]
        what = {
            "row": name,
            "flags": "; ".join(f"`{each}`" for each in row.flags if each),
            "networks": str(len(row.flags) * len(row.folds)),
        }
        rows.append(what | cells.to_dict() | {"error": f"{error[name]:.2f}"})
    return rows


def put(path: Path, name: str, text: str) -> None:
    """Put a text between the two marker lines of that name; at the end of the page if they are not there."""
    first, last = f"<!-- benchmarks/recipe.py: {name} -->", "<!-- end -->"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if first not in page:
        page = f"{page}\n{first}\n{last}\n".lstrip("\n")
    new = f"{first}\n{text}{last}"
    page = re.sub(f"{re.escape(first)}.*?{re.escape(last)}", lambda _: new, page, count=1, flags=re.DOTALL)
    with atomic_write(path, "w") as file:
        file.write(page)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/recipe.py --tables protocol merged --folder results")
    names = "names in config.json: of data with answers to its test clips, or with folds"
    parser.add_argument("--datasets", nargs="+", default=["A", "esc10"], metavar="NAME", help=names)
    parser.add_argument("--tables", nargs="+", default=["protocol"], choices=TABLES, help="what to measure")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="which; without the flag, all of the tables")
    parser.add_argument("--seeds", nargs="+", type=natural_int, help="without the flag, those of the table")
    parser.add_argument("--flags", default="", help="further ones of train.py, for all rows")
    parser.add_argument("--jobs", type=natural_int, default=2, help="runs at a time; 0: make none, write what is there")
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--output", type=Path, help="page for the tables, each between marker lines of its own")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    return args


if __name__ == "__main__":
    run(main)
