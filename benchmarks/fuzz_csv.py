"""Hundreds of broken CSVs: each is read, or refused with one line that names it, and no name in it leads outside.

Reading goes as far as the feature script goes: the tables, then every clip that they name.  Some of the mutants go
through the script itself, which must decide the same.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

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

import numpy as np
import soundfile as sf

from benchmarks.common import Row, add_output_flag, publish
from benchmarks.csv_mutants import CLIPS, EITHER, READ, REFUSED, Mutant, encode, mutants, tables
from benchmarks.processes import exit_when_terminated, run_group
from loaders.audio import UnusableClipError
from loaders.clip_features import locate
from loaders.features import make_features
from loaders.layouts import read_corpus
from loaders.pcen import AudioSettings
from utils.cli import make_parser, natural_int, positive_int
from utils.errors import run

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
SCRIPT = Path(__file__).resolve().parents[1] / "loaders" / "freesound_loader.py"
ZENODO = "FSDKaggle2019."


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: read, refused (with that line), or failed."""

    became: str
    line: str = ""


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    rng = np.random.default_rng(args.seed)
    began = time.monotonic()
    all_mutants = list(mutants(rng, args.mutants))
    through_script = set(rng.permutation(len(all_mutants))[: args.scripts].tolist())
    tally, failures = Counter(), []
    with TemporaryDirectory(prefix="fuzz-") as name:
        kaggle, zenodo = (make_dataset(Path(name, layout), rng, layout) for layout in ("kaggle", "zenodo"))
        for number, mutant in enumerate(all_mutants):
            root = zenodo if mutant.table == "vocabulary" else kaggle
            path = table_path(root, mutant.table)
            whole = path.read_bytes()
            path.write_bytes(mutant.content)
            verdict = read_all(root)
            if number in through_script:
                failures += compare(mutant, verdict, run_script(root))
            path.write_bytes(whole)
            tally[mutant.kind, verdict.became] += 1
            failures += check(mutant, verdict, root)
    notes = [f"Failures: {len(failures)}.", *failures[:50]]
    facts = f"seed {args.seed}; n = {args.mutants} mutants, {len(through_script)} of them through the script as well; "
    publish("Broken CSVs", f"{facts}{time.monotonic() - began:.0f} s", rows(tally), notes, args)
    return int(bool(failures))


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


def read_all(root: Path) -> Verdict:
    """What the feature script does, in this process: a verdict and what it says."""

    def script() -> int:
        corpus = read_corpus(Path("data"))
        for split, subset in corpus.subsets.items():
            make_features(subset, split, Path("data/features"), SETTINGS, jobs=1)
            for fname in subset.fnames:
                with contextlib.suppress(UnusableClipError):
                    path = os.path.normpath(locate(subset.folder, fname))
                    assert Path(path).is_relative_to(subset.folder), f"{fname!r} leads outside"
        return 0

    said = io.StringIO()
    try:
        with contextlib.chdir(root), contextlib.redirect_stderr(said):
            run(script)
    except SystemExit as end:
        return Verdict(REFUSED if end.code else READ, said.getvalue())
    except Exception as error:  # which is what we look for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Verdict("failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")


def run_script(root: Path) -> Verdict:
    """The script itself."""
    flags = f"--dataset fuzz --sampling_rate {SETTINGS.sampling_rate} --img_rows {SETTINGS.n_mels} --jobs 1"
    done = run_group([sys.executable, str(SCRIPT), *flags.split()], root, dict(os.environ), 120)
    became = {0: READ, 1: REFUSED}.get(done.code, "failed")
    return Verdict("failed" if "Traceback" in done.err else became, done.err)


def compare(mutant: Mutant, verdict: Verdict, script: Verdict) -> list[str]:
    if verdict.became == script.became:
        return []
    return [f"{describe(mutant)}: {verdict.became}, but {script.became} by the script: {script.line[-300:]}"]


def check(mutant: Mutant, verdict: Verdict, root: Path) -> list[str]:
    """What is wrong with a verdict."""
    name, line = describe(mutant), verdict.line.removesuffix("\n")
    if verdict.became == "failed" or mutant.expected not in (EITHER, verdict.became):
        return [f"{name}: {verdict.became}, not {mutant.expected}: {line[:300]!r}"]
    if verdict.became == REFUSED and (not line.isprintable() or "data" not in line or len(line) > 500):
        return [f"{name}: refused, but not with one short, plain line that names a file: {line[:300]!r}"]
    return []


def describe(mutant: Mutant) -> str:
    return f"{mutant.kind} in {mutant.table}.csv {mutant.content[:60]!r}"


def rows(tally: Counter[tuple[str, str]]) -> list[Row]:
    """A line per kind of mutant, and their sum."""
    kinds = list(dict.fromkeys(kind for kind, _ in tally))
    table = [(kind, *(tally[kind, became] for became in (READ, REFUSED, "failed"))) for kind in kinds]
    table.append(("all", *(sum(row[i] for row in table) for i in (1, 2, 3))))
    return [dict(zip(("kind", "read", "refused, one line", "failed"), map(str, row), strict=True)) for row in table]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/fuzz_csv.py --mutants 500 --output results.md")
    parser.add_argument("--mutants", type=positive_int, default=500, help="tables that something is wrong with")
    parser.add_argument("--scripts", type=natural_int, default=20, help="of them go through the script as well")
    parser.add_argument("--seed", type=natural_int, default=0, help="of the damage")
    add_output_flag(parser)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
