"""Thousands of broken sound files: the feature script must use every good one and name every bad one, with its reason.

All of them lie in one data set, with good files among them; the script runs over it once, and once more.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.audio_mutants import EITHER, REFUSED, USED, Mutant, encode, mutants, sound, writes
from benchmarks.common import Row, add_output_flag, publish
from benchmarks.processes import Finished, exit_when_terminated, run_group
from loaders.clip_features import try_clip
from loaders.pcen import AudioSettings
from loaders.store import open_clips
from utils.cli import make_parser, natural_int, positive_int
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
    rng = np.random.default_rng(args.seed)
    with TemporaryDirectory(prefix="fuzz-") as name:
        outside, data = Path(name).resolve(), Path(name).resolve() / "data"
        clips = write_dataset(data, [*good(rng), *mutants(rng, args.mutants)], outside, rng)
        before = snapshot(outside)
        first = make_features(outside, args.jobs, len(clips))
        again = make_features(outside, args.jobs, len(clips))
        touched = sorted(before ^ snapshot(outside))
    failures = check(clips, first) + check_again(first, again)
    failures += [f"the run wrote to {path}" for path, *_ in touched]
    notes = [f"Failures: {len(failures)}.", *failures[:50]]
    publish("Broken sound files", facts(args, len(clips), first, again), rows(clips, first), notes, args)
    return int(bool(failures))


def good(rng: np.random.Generator) -> list[Mutant]:
    data = [encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000) for _ in range(GOOD)]
    return [Mutant("good files among them", f"good{i:03}.wav", writes(each), USED) for i, each in enumerate(data)]


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
    write_csv(data / f"{SPLIT}.csv", [["fname", "labels"], *((c.fname, LABELS[i % 2]) for i, c in enumerate(clips))])
    write_csv(data / "sample_submission.csv", [["fname", *LABELS], ["test.wav", 0, 0]])
    (data / "test").mkdir()
    (data / "test" / "test.wav").write_bytes(secret.read_bytes())
    (outside / "config.json").write_text(json.dumps({"fuzz": {"data_path": "data"}}))
    return clips


def write_csv(path: Path, table: Iterable[Iterable[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table)


def make_features(folder: Path, jobs: int, clips: int) -> Outcome:
    """Run the script.  Raises UserError, with the clips that it cannot take, if it does not end well."""
    script = Path(__file__).resolve().parents[1] / "loaders" / "freesound_loader.py"
    flags = f"--dataset fuzz --sampling_rate {SETTINGS.sampling_rate} --img_rows {SETTINGS.n_mels} --jobs {jobs}"
    done = run_group([sys.executable, str(script), *flags.split()], folder, dict(os.environ), 60 + LIMIT * clips)
    if done.code != 0:
        ended = "did not end in time" if done.code is None else f"ended with exit code {done.code}"
        raise UserError(f"the feature script {ended}; it printed:\n{done.out[-3000:]}{done.err[-3000:]}\n"
                        + "\n".join(culprits(folder / "data")))  # fmt: skip
    held, unusable = open_clips(folder / "data" / "features", SPLIT, SETTINGS, "")
    frames = held.packs[0].numpy()
    spans = zip(held.fnames, held.starts, held.lengths, strict=True)
    finite = {fname for fname, start, length in spans if np.isfinite(frames[start : start + length]).all()}
    return Outcome(done, frozenset(finite), unusable)


def culprits(data: Path) -> list[str]:
    """Clips at which the code that reads them fails, instead of refusing them."""
    found = []
    with open(data / f"{SPLIT}.csv", encoding="utf-8", newline="") as file:
        fnames = [row[0] for row in csv.reader(file)][1:]
    for fname in fnames:
        try:
            try_clip(data / SPLIT, fname, SETTINGS)
        except Exception as error:  # which is what we look for
            found.append(f"{fname!r:.80}: {type(error).__name__}: {str(error)[:80]}")
    return found


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
    listed = [line for line in outcome.run.out.splitlines() if line.startswith("  ")]
    if len(listed) != len(outcome.refused):
        failures.append(f"{len(outcome.refused)} clips were refused, {len(listed)} lines name one")
    if not outcome.run.out.replace("\n", "").isprintable():
        failures.append("the output holds characters that a terminal may act on")
    if "Traceback" in outcome.run.out + outcome.run.err:
        failures.append(f"a traceback: {outcome.run.err[-500:]}")
    if outcome.run.peak_memory > SMALL:
        failures.append(f"{outcome.run.peak_memory / 1e6:.0f} MB of memory")
    return failures


def check_again(first: Outcome, again: Outcome) -> list[str]:
    """The second run computes nothing and says the same."""
    found = [] if (first.used, first.refused) == (again.used, again.refused) else ["the second run decided otherwise"]
    return found if f"{SPLIT}: 0 clips computed" in again.run.out else [*found, "the second run computed clips again"]


def snapshot(folder: Path) -> set[tuple]:
    """All files of a folder but the features, with their sizes, times and contents' places on the disk."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if "features" not in path.relative_to(folder).parts[:2]:
            stat = path.lstat()
            seen.add((str(path), stat.st_mode, stat.st_size, stat.st_mtime_ns if not path.is_dir() else 0, stat.st_ino))
    return seen


def facts(args: argparse.Namespace, clips: int, first: Outcome, again: Outcome) -> str:
    peaks = f"{first.run.peak_memory / 1e6:.0f} MB at most in all processes together"
    times = f"{first.run.seconds:.0f} s, the second run {again.run.seconds:.0f} s"
    return f"16 kHz, seed {args.seed}, {args.jobs} jobs; n = {clips} files in one run: {times}, {peaks}"


def rows(clips: list[Mutant], outcome: Outcome) -> list[Row]:
    """A line per kind of mutant, and their sum."""
    tried = Counter(clip.kind for clip in clips)
    used = Counter(clip.kind for clip in clips if clip.fname in outcome.used)
    refused = Counter(clip.kind for clip in clips if clip.fname in outcome.refused)
    kinds = [(kind, tried[kind], used[kind], refused[kind]) for kind in sorted(tried)]
    kinds.append(("all", tried.total(), used.total(), refused.total()))
    return [dict(zip(("kind", "tried", "used", "refused, named"), map(str, kind), strict=True)) for kind in kinds]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/fuzz_audio.py --mutants 2000 --output results.md")
    parser.add_argument("--mutants", type=positive_int, default=2000, help="files that something is wrong with")
    parser.add_argument("--seed", type=natural_int, default=0, help="of the damage")
    parser.add_argument("--jobs", type=positive_int, default=2, help="processes of the feature script")
    add_output_flag(parser)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
