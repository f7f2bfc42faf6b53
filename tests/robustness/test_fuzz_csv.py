"""Hundreds of broken CSVs: each is read, or refused with one line that names it, and no name in it leads outside.

The feature script runs over a small data set with one broken table at a time.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from loaders.audio import UnusableClipError
from loaders.clip_features import locate
from loaders.layouts import read_corpus
from tests.robustness import csv_mutants
from tests.robustness.csv_mutants import EITHER, KINDS, READ, REFUSED, Mutant
from tests.robustness.victim import FEATURES


def make_dataset(root: Path, rng: np.random.Generator) -> Path:
    """A data set with whole tables and a short sound for every clip, in a folder with its config.json."""
    for split, count in csv_mutants.CLIPS.items():
        (root / "data" / split).mkdir(parents=True)
        for i in range(count):
            sf.write(root / f"data/{split}/{split[6:7] or split[0]}{i}.wav", rng.uniform(-0.5, 0.5, 800), 16000)
    sf.write(root / "x.wav", rng.uniform(-0.5, 0.5, 800), 16000)  # outside, and good, so that reading it would show
    for name, table in csv_mutants.tables().items():
        (root / "data" / f"{name}.csv").write_bytes(csv_mutants.encode(table))
    (root / "config.json").write_text(json.dumps({"fuzz": {"data_path": "data"}}))
    return root


def leads_outside(data: Path) -> Iterator[str]:
    """Clips that the tables name and that lie outside of their split's folder."""
    for subset in read_corpus(data).subsets.values():
        for fname in subset.fnames:
            with contextlib.suppress(UnusableClipError):
                if not Path(os.path.normpath(locate(subset.folder, fname))).is_relative_to(subset.folder):
                    yield f"{fname!r} leads outside"


def judge(mutant: Mutant, root: Path, done) -> tuple[str, list[str]]:
    """What became of a mutant, and what is wrong with that."""
    became, line = {0: READ, 1: REFUSED}.get(done.code, "failed"), done.err.removesuffix("\n")
    problems = [*leads_outside(root / "data")] if became == READ else []
    if became == "failed" or mutant.expected not in (EITHER, became):
        problems.append(f"{became}, not {mutant.expected}: {line[:300]!r}")
    if became == REFUSED and (not line.isprintable() or "data" not in line or len(line) > 500):
        problems.append(f"not one short, plain line that names a file: {line[:300]!r}")
    return became, [f"{mutant.kind} in {mutant.table}.csv {mutant.content[:60]!r}: {text}" for text in problems]


def test_broken_tables_are_read_or_refused_in_one_line(script, tmp_path, size, tell):
    rng, tally, problems = np.random.default_rng(0), Counter(), []
    root = make_dataset(tmp_path, rng)
    count = size(len(KINDS), 500)  # each kind once
    for mutant in csv_mutants.mutants(rng, count):
        path = root / "data" / f"{mutant.table}.csv"
        whole = path.read_bytes()
        path.write_bytes(mutant.content)
        became, found = judge(mutant, root, script(root, *FEATURES.replace("tiny", "fuzz").split()))
        path.write_bytes(whole)
        tally[mutant.kind, became] += 1
        problems += found
    assert problems == []
    assert {kind for kind, _ in tally} == set(KINDS)
    assert {became for _, became in tally} == {READ, REFUSED}
    rows = [
        (what, *(sum(tally[kind, became] for kind in of) for became in (READ, REFUSED)))
        for what, of in csv_mutants.WHAT.items()
    ]
    tell("Broken CSVs", f"{count} tables, each read, or refused in one line", ["what is odd", READ, REFUSED], rows)
