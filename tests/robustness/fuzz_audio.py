"""Thousands of broken sound files: the feature script must use every good one and name every bad one, with its reason.

All of them lie in one data set, with good files among them; the script runs over it once, and once more.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the repository's root

import argparse
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.common import Row
from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from tests.robustness.audio_mutants import EITHER, REFUSED, USED, Mutant, encode, mutants, sound, writes
from tests.robustness.csv_mutants import encode as encode_table
from tests.robustness.processes import Finished, run_group
from tests.robustness.report import attack_parser, exit_when_terminated, report
from tests.robustness.sandbox import ROOT, SCRIPTS
from utils.cli import positive_int
from utils.errors import UserError, run

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
GOOD = 50  # files among the mutants that nothing was done to
LABELS = ("Bark", "Hum")
SPLIT = "train_curated"
LIMIT = 0.5  # seconds a clip that a run may take, plus a minute
SMALL = 1 << 30  # bytes; more memory than this at any moment counts as a failure: an hour at 16 kHz takes 0.7 GB


@dataclass(frozen=True)
class Outcome:
    """What became of all clips in a run of the script."""

    run: Finished
    used: frozenset[str]
    refused: dict[str, str]  # fname -> reason


def main() -> int:
    args = parse_args()
    exit_when_terminated()
    with TemporaryDirectory(prefix="fuzz-") as name:
        clips, first, again, problems = attack(Path(name), args.mutants, args.seed, args.jobs)
    peaks = f"{first.run.peak_memory / 1e6:.0f} MB at most in all processes together"
    times = f"{first.run.seconds:.0f} s, the second run {again.run.seconds:.0f} s"
    facts = f"16 kHz; n = {len(clips)} files in one run: {times}, {peaks}"
    return report("Broken sound files", facts, rows(clips, first), [], problems, args)


def attack(
    folder: Path, count: int, seed: int, jobs: int = 1, python: str = sys.executable
) -> tuple[list[Mutant], Outcome, Outcome, list[str]]:
    """Run the script twice over so many mutants and some good files: all clips, both outcomes, what was wrong."""
    rng, outside = np.random.default_rng(seed), folder.resolve()
    whole = [encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000) for _ in range(GOOD)]
    clips = [Mutant("good files among them", f"good{i:03}.wav", writes(each), USED) for i, each in enumerate(whole)]
    clips = write_dataset(outside / "data", [*clips, *mutants(rng, count)], outside, rng)
    before = snapshot(outside)
    first, again = (make_features(outside, python, jobs, len(clips)) for _ in range(2))
    problems = check(clips, first)
    problems += [f"the run wrote to {path}" for path, *_ in sorted(before ^ snapshot(outside))]
    if (first.used, first.refused) != (again.used, again.refused):
        problems.append("the second run decided otherwise")
    if f"{SPLIT}: 0 clips computed" not in again.run.out:
        problems.append("the second run computed clips again")
    return clips, first, again, problems


def write_dataset(data: Path, clips: list[Mutant], outside: Path, rng: np.random.Generator) -> list[Mutant]:
    """Kaggle's layout, and beside it a good sound that no clip may be; the clips in an order of their own."""
    (data / SPLIT).mkdir(parents=True)
    secret = outside / "outside.wav"
    secret.write_bytes(encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000))
    clips = [replace(clip, fname=clip.fname.replace("{outside}", str(secret))) for clip in clips]
    clips = [clips[i] for i in rng.permutation(len(clips))]
    for clip in clips:
        if clip.make:
            path = data / SPLIT / clip.fname
            path.parent.mkdir(parents=True, exist_ok=True)
            clip.make(path)
    labelled = [[clip.fname, LABELS[i % 2]] for i, clip in enumerate(clips)]
    style = {"lineterminator": "\r\n"}  # so that names with either are quoted
    (data / f"{SPLIT}.csv").write_bytes(encode_table([["fname", "labels"], *labelled], **style))
    (data / "sample_submission.csv").write_bytes(encode_table([["fname", *LABELS], ["test.wav", "0", "0"]]))
    (data / "test").mkdir()
    (data / "test" / "test.wav").write_bytes(secret.read_bytes())
    (outside / "config.json").write_text(json.dumps({"fuzz": {"data_path": "data"}}))
    return clips


def make_features(folder: Path, python: str, jobs: int, clips: int) -> Outcome:
    """Run the script.  Raises UserError with what it printed if it does not end well."""
    script = str(ROOT / SCRIPTS["features"])
    flags = f"--dataset fuzz --sampling_rate {SETTINGS.sampling_rate} --img_rows {SETTINGS.n_mels} --jobs {jobs}"
    done = run_group([python, script, *flags.split()], folder, dict(os.environ), 60 + LIMIT * clips)
    if done.code != 0:
        ended = "did not end in time" if done.code is None else f"ended with exit code {done.code}"
        raise UserError(f"the feature script {ended}; it printed:\n{done.out[-3000:]}{done.err[-3000:]}")
    held, unusable = open_clips(folder / "data" / "features", SPLIT, SETTINGS, "")
    frames = held.packs[0].numpy()
    spans = zip(held.fnames, held.starts, held.lengths, strict=True)
    finite = {fname for fname, start, length in spans if np.isfinite(frames[start : start + length]).all()}
    return Outcome(done, frozenset(finite), unusable)


def check(clips: list[Mutant], outcome: Outcome) -> list[str]:
    """What the run did otherwise than it should."""
    failures = []
    for clip in clips:
        reason = outcome.refused.get(clip.fname)
        became = USED if clip.fname in outcome.used else REFUSED if reason else "lost"
        if became != clip.expected and (clip.expected != EITHER or became == "lost"):
            failures.append(f"{clip.kind}, {clip.fname!r:.80}: {became} ({reason}), not {clip.expected}")
        if reason and (len(reason.splitlines()) != 1 or not reason.isprintable() or len(reason) > 200):
            failures.append(f"{clip.kind}, {clip.fname!r:.80}: its reason is no plain line: {reason!r:.200}")
    listed = [
        line for line in outcome.run.out.partition(" clips are used, but")[0].splitlines() if line.startswith("  ")
    ]
    if len(listed) != len(outcome.refused):
        failures.append(f"{len(outcome.refused)} clips were refused, {len(listed)} lines name one")
    if not outcome.run.out.replace("\n", "").isprintable():
        failures.append("the output holds characters that a terminal may act on")
    if "Traceback" in outcome.run.out + outcome.run.err:
        failures.append(f"a traceback: {outcome.run.err[-500:]}")
    if outcome.run.peak_memory > SMALL:
        failures.append(f"{outcome.run.peak_memory / 1e6:.0f} MB of memory")
    return failures


def snapshot(folder: Path) -> set[tuple]:
    """All files of a folder but the features, with their sizes, times and contents' places on the disk."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if "features" not in path.relative_to(folder).parts[:2]:
            stat = path.lstat()
            seen.add((str(path), stat.st_mode, stat.st_size, stat.st_mtime_ns if not path.is_dir() else 0, stat.st_ino))
    return seen


def rows(clips: list[Mutant], outcome: Outcome) -> list[Row]:
    """A line per kind of mutant, and their sum."""
    tried = Counter(clip.kind for clip in clips)
    used = Counter(clip.kind for clip in clips if clip.fname in outcome.used)
    refused = Counter(clip.kind for clip in clips if clip.fname in outcome.refused)
    kinds = [(kind, tried[kind], used[kind], refused[kind]) for kind in sorted(tried)]
    kinds.append(("all", tried.total(), used.total(), refused.total()))
    return [dict(zip(("kind", "tried", "used", "refused, named"), map(str, kind), strict=True)) for kind in kinds]


def parse_args() -> argparse.Namespace:
    parser = attack_parser(__doc__, "fuzz_audio.py --mutants 2000")
    parser.add_argument("--mutants", type=positive_int, default=2000, help="files that something is wrong with")
    parser.add_argument("--jobs", type=positive_int, default=1, help="processes of the feature script")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
