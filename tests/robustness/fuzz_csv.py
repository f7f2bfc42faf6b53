"""Hundreds of broken CSVs: each is read, or refused with one line that names it, and no name in it leads outside.

The feature script runs, in this process, over a small data set with one broken table at a time.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository's root

import argparse
import contextlib
import io
import json
import os
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import soundfile as sf

from benchmarks.common import Row
from loaders.audio import UnusableClipError
from loaders.clip_features import locate
from loaders.freesound_loader import main as make_features
from loaders.layouts import read_corpus
from tests.robustness.csv_mutants import CLIPS, EITHER, READ, REFUSED, Mutant, encode, mutants, tables
from tests.robustness.report import attack_parser, exit_when_terminated, report
from utils.cli import positive_int
from utils.errors import run

SCRIPT = "freesound_loader.py --dataset fuzz --sampling_rate 16000 --img_rows 32 --jobs 1"
ZENODO = "FSDKaggle2019."


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: read, refused (with that line), or failed."""

    became: str
    line: str = ""


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    began = time.monotonic()
    with TemporaryDirectory(prefix="fuzz-") as name:
        tally, problems = attack(Path(name), args.mutants, args.seed)
    facts = f"n = {args.mutants} mutants; {time.monotonic() - began:.0f} s"
    return report("Broken CSVs", facts, rows(tally), [], problems, args)


def attack(folder: Path, count: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Try so many mutants: how many of each kind became what, and what was wrong."""
    rng, tally, problems = np.random.default_rng(seed), Counter(), []
    kaggle, zenodo = (make_dataset(folder / layout, rng, layout) for layout in ("kaggle", "zenodo"))
    for mutant in mutants(rng, count):
        root = zenodo if mutant.table == "vocabulary" else kaggle
        path = table_path(root, mutant.table)
        whole = path.read_bytes()
        path.write_bytes(mutant.content)
        verdict = try_script(root)
        path.write_bytes(whole)
        tally[mutant.kind, verdict.became] += 1
        problems += check(mutant, verdict)
    return tally, problems


def make_dataset(root: Path, rng: np.random.Generator, layout: str) -> Path:
    """A data set with whole tables and a short sound for every clip, in a folder with its config.json."""
    data = root / "data"
    for split, count in CLIPS.items():
        folder = data / (split if layout == "kaggle" else f"{ZENODO}audio_{split}")
        folder.mkdir(parents=True)
        for i in range(count):
            sf.write(folder / f"{split[6:7] or split[0]}{i}.wav", rng.uniform(-0.5, 0.5, 800), 16000)
    sf.write(root / "x.wav", rng.uniform(-0.5, 0.5, 800), 16000)  # outside, and good, so that reading it would show
    for name, table in tables().items():
        path = table_path(root, name)
        path.parent.mkdir(exist_ok=True)
        if layout == "zenodo" or name != "vocabulary":
            path.write_bytes(encode(table))
    (root / "config.json").write_text(json.dumps({"fuzz": {"data_path": "data"}}))
    return root


def table_path(root: Path, name: str) -> Path:
    """Where a table of that name lies in the data set's layout."""
    if root.name == "kaggle":
        return root / "data" / f"{name}.csv"
    return root / "data" / f"{ZENODO}meta" / f"{name if name == 'vocabulary' else f'{name}_post_competition'}.csv"


def try_script(root: Path) -> Verdict:
    """Run the feature script in a folder."""
    said, streams = io.StringIO(), contextlib.ExitStack()
    try:
        with streams:
            streams.enter_context(contextlib.chdir(root))
            streams.enter_context(contextlib.redirect_stdout(io.StringIO()))
            streams.enter_context(contextlib.redirect_stderr(said))
            streams.enter_context(mock.patch.object(sys, "argv", SCRIPT.split()))
            run(lambda: make_features() or stay_inside(Path("data")))
    except SystemExit as end:
        return Verdict({0: READ, None: READ, 1: REFUSED}.get(end.code, "failed"), said.getvalue())
    except Exception as error:  # which is what we look for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Verdict("failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")


def stay_inside(data: Path) -> None:
    """Raises AssertionError if a clip that the tables name lies outside of its split's folder."""
    for subset in read_corpus(data).subsets.values():
        for fname in subset.fnames:
            with contextlib.suppress(UnusableClipError):
                path = Path(os.path.normpath(locate(subset.folder, fname)))
                assert path.is_relative_to(subset.folder), f"{fname!r} leads outside"


def check(mutant: Mutant, verdict: Verdict) -> list[str]:
    """What is wrong with a verdict."""
    name, line = f"{mutant.kind} in {mutant.table}.csv {mutant.content[:60]!r}", verdict.line.removesuffix("\n")
    if verdict.became == "failed" or mutant.expected not in (EITHER, verdict.became):
        return [f"{name}: {verdict.became}, not {mutant.expected}: {line[:300]!r}"]
    if verdict.became == REFUSED and (not line.isprintable() or "data" not in line or len(line) > 500):
        return [f"{name}: refused, but not with one short, plain line that names a file: {line[:300]!r}"]
    return []


def rows(tally: Counter[tuple[str, str]]) -> list[Row]:
    """A line per kind of mutant, and their sum."""
    kinds = list(dict.fromkeys(kind for kind, _ in tally))
    table = [(kind, *(tally[kind, became] for became in (READ, REFUSED, "failed"))) for kind in kinds]
    table.append(("all", *(sum(row[i] for row in table) for i in (1, 2, 3))))
    return [dict(zip(("kind", "read", "refused, one line", "failed"), map(str, row), strict=True)) for row in table]


def parse_args() -> argparse.Namespace:
    parser = attack_parser(__doc__, "fuzz_csv.py --mutants 500")
    parser.add_argument("--mutants", type=positive_int, default=500, help="tables that something is wrong with")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
