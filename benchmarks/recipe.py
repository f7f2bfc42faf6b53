"""Recipe: rows x data sets x seeds through train.py and test.py, as a user calls them, into the tables of a page.

Test clips are scored where their answers are known, else the clips that each fold held out; both also as if they were
20 and 40 dB quieter.  What is finished stands in --folder, keyed by its code, data and flags: what is stale is made
again, a run that was stopped goes on.  Each table stands between two marker lines of --output, and is replaced there.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import os
import re
from itertools import chain
from statistics import mean, stdev
from typing import NamedTuple

from benchmarks.changes import CHANGES
from benchmarks.common import Row, markdown
from benchmarks.rows import TABLES, Table
from benchmarks.runs import Record, Run, corpus_of, finish, make_features, score
from utils.atomic import atomic_write, try_outputs
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import MisuseError
from utils.errors import run as run_main

STALE = "†"


class Line(NamedTuple):
    """A row of a table."""

    name: str
    flags: str
    seeds: list[list[Run]]  # for each seed the runs of its folds

    @property
    def runs(self) -> list[Run]:
        return list(chain(*self.seeds))


def main() -> None:
    args = parse_args()
    if args.output:
        try_outputs("--output", args.output)
    os.environ["OMP_NUM_THREADS"] = str(max(os.cpu_count() // args.jobs, 1))
    tables = {(name, data): lines_of(TABLES[name], data, args) for data in args.datasets for name in args.tables}
    lines = list(chain(*tables.values()))
    runs = list(dict.fromkeys(run for line in lines for run in line.runs))
    if not args.no_runs:
        make_features(runs, args.folder)
    records = finish(runs, args.folder, args.jobs, work=not args.no_runs)
    texts = {f"{name}, {data}": section(lines, records, args) for (name, data), lines in tables.items() if lines}
    for name, text in ({"best": best(lines, records, args)} if args.best else texts).items():
        print(f"\n{text}", flush=True)
        if args.output:
            put(args.output, name, text)


def lines_of(table: Table, dataset: str, args: argparse.Namespace) -> list[Line]:
    """The rows of a table for a data set, none where the table is not for such."""
    test = corpus_of(dataset).subsets.get("test")
    regime = table.folded if test is None or test.truth is None else table.tested
    if regime is None:
        return []
    lines = {}
    for name, flags in table.rows.items():
        folds = args.folds or ((0,) if name in table.first_fold else regime.folds)
        words, change = f"{regime.flags} {flags} {args.flags}".strip(), name if name in CHANGES else ""
        seeds = [[Run(dataset, words, fold, seed, change) for fold in folds] for seed in args.seeds or regime.seeds]
        lines[name] = Line(name, flags, seeds)
    for name, members in table.joined:
        together = zip(*(lines[each].seeds for each in members), strict=True)
        lines[name] = Line(name, "", [list(chain(*runs)) for runs in together])
    return [line for name, line in lines.items() if not args.rows or name in args.rows]


def measured(line: Line, records: dict[Run, Record], args: argparse.Namespace) -> dict[str, list[float]]:
    """A row's figures by column, one for each seed whose runs are all finished."""
    values: dict[str, list[float]] = {}
    for runs in line.seeds:
        if not records.keys() >= set(runs):
            continue
        done, held_out = [records[run] for run in runs], runs[0].split == "val"
        parts = [done] if held_out else [[record] for record in done]
        for level in runs[0].levels:
            lwlrap = mean(score(part, level, "lwlrap", args.folder) for part in parts)
            values.setdefault(f"lwlrap, {level} dB", []).append(lwlrap)
        if held_out and corpus_of(runs[0].dataset).single_label:
            values.setdefault("accuracy, 0 dB", []).append(score(done, 0, "accuracy", args.folder))
        elif not held_out and len(runs) > 1:
            values.setdefault("merged, 0 dB", []).append(score(done, 0, "lwlrap", args.folder))
    return values


def table(lines: list[Line], records: dict[Run, Record], args: argparse.Namespace) -> list[Row]:
    """Means over the seeds, with their standard deviations; the best of each column is bold."""
    figures = [(line, values) for line in lines if (values := measured(line, records, args))]
    columns = dict.fromkeys(column for _, values in figures for column in values)
    means = [{column: mean(each) for column, each in values.items()} for _, values in figures]
    rows = []
    for (line, values), own in zip(figures, means, strict=True):
        flags = f"`{line.flags}`" if line.flags else "merged"
        row: Row = {"row": line.name, "flags": flags} | dict.fromkeys(columns, "")
        stale = STALE * any(run in records and not records[run]["present"] for run in line.runs)
        for column, value in own.items():
            best = "**" * (len(means) > 1 and value == max(each.get(column, 0) for each in means))
            spread = f" ± {stdev(values[column]):.4f}" if len(values[column]) > 1 else ""
            row[column] = f"{best}{value:.4f}{best}{spread}{stale}"
        first = next(iter(columns))
        rows.append(row | {"error": f"{(1 - own[first]) / max(1 - means[0][first], 1e-9):.2f}"})
    return rows


def section(lines: list[Line], records: dict[Run, Record], args: argparse.Namespace) -> str:
    """A table and what it was made from."""
    rows, runs = table(lines, records, args), list(chain(*(line.runs for line in lines)))
    done = [records[run] for run in runs if run in records]
    missing = [line.name for line in lines if not records.keys() >= set(line.runs)]
    facts = [
        f"{runs[0].dataset}, {'test clips' if runs[0].split == 'test' else 'clips that the folds held out'}",
        f"folds {listed(run.fold for run in runs)}, seeds {listed(run.seed for run in runs)}",
        *(listed(record[name] for record in done) for name in ("machine", "date")),
        f"commit {listed(record['commit'] for record in done)}",
        "error: 1 - lwlrap, against the first row's",
        *([f"{STALE} by other code or flags than the present"] if not all(each["present"] for each in done) else []),
        *([f"not finished: {', '.join(missing)}"] if missing else []),
    ]
    command = f"All rows: `{lines[0].runs[0].flags.replace(lines[0].flags, 'FLAGS')}`"
    return f"{'; '.join(facts)}. {command}\n\n{markdown(rows) if rows else ''}"


def listed(values) -> str:
    return ", ".join(map(str, sorted(set(values))))


def best(lines: list[Line], records: dict[Run, Record], args: argparse.Namespace) -> str:
    """The best row of each data set among those of all folds, and the commands that give it."""
    rows, commands = [], []
    for dataset in args.datasets:
        whole = [line for line in lines if len(line.seeds[0]) > 1 and line.runs[0].dataset == dataset]
        found = [(line, values) for line in whole if (values := measured(line, records, args))]
        if found:
            line, _ = max(found, key=lambda each: mean(each[1].get("merged, 0 dB") or each[1]["lwlrap, 0 dB"]))
            row = table([line], records, args)[0]
            rows.append({"data": dataset} | {key: text for key, text in row.items() if key not in ("flags", "error")})
            calls = dict.fromkeys(f"./run.sh {dataset} {run.flags} --seed {run.seed}" for run in line.seeds[0])
            commands += [f"# {dataset}: {line.name}", *calls]
    columns = dict.fromkeys(column for row in rows for column in row)
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    return "\n".join([markdown(rows), "```bash", *commands, "```", ""]) if rows else ""


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
    parser.add_argument("--folds", nargs="+", type=natural_int, help="without the flag, those of the table")
    parser.add_argument("--flags", default="", help="further ones of train.py, for all rows")
    parser.add_argument("--jobs", type=positive_int, default=2, help="runs at a time, which share the cores")
    parser.add_argument("--folder", type=Path, required=True, help="where results are kept")
    parser.add_argument("--no_runs", action="store_true", help="make nothing, write what is there")
    parser.add_argument("--best", action="store_true", help="instead: the best rows of all folds, and their commands")
    parser.add_argument("--output", type=Path, help="page for the tables, each between marker lines of its own")
    args = parser.parse_args()
    args.folder, known = args.folder.resolve(), [name for table in args.tables for name in TABLES[table].all_rows]
    if odd := sorted({*(args.rows or ())}.difference(known)):
        raise MisuseError(f"--rows {odd[0]}: not in these tables, which have {', '.join(known)}")
    return args


if __name__ == "__main__":
    run_main(main)
