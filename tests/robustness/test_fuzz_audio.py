"""Thousands of broken sound files: the feature script must use every good one and name every bad one, with its reason.

All of them lie in one data set, with good files among them; the script runs over it once.
"""

import csv
import json
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from tests.conftest import ROOT
from tests.robustness.audio_mutants import DAMAGES, EITHER, REFUSED, USED, Mutant, encode, mutants, sound, writes
from tests.robustness.csv_mutants import encode as encode_table
from tests.robustness.victim import FEATURES

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
GOOD = 20  # files among the mutants that nothing was done to
SPLIT, LABELS = "train_curated", ("Bark", "Hum")
LIMIT = 0.5  # seconds a clip that a run may take, plus a minute
SMALL = 1 << 20  # KiB; more memory than this at any moment is a failure: an hour at 16 kHz takes 0.7 GB


@dataclass(frozen=True)
class Verdict:
    """What became of all clips in a run of the script."""

    out: str
    peak_memory: int  # KiB
    used: frozenset[str]
    refused: dict[str, str]  # fname -> reason


def write_dataset(outside: Path, clips: list[Mutant], rng: np.random.Generator) -> list[Mutant]:
    """Kaggle's layout, and beside it a good sound that no clip may be; the clips in an order of their own."""
    data, secret = outside / "data", outside / "outside.wav"
    (data / SPLIT).mkdir(parents=True)
    secret.write_bytes(encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000))
    clips = [replace(clip, fname=clip.fname.replace("{outside}", str(secret))) for clip in clips]
    clips = [clips[i] for i in rng.permutation(len(clips))]
    for clip in clips:
        if clip.make:
            path = data / SPLIT / clip.fname
            path.parent.mkdir(parents=True, exist_ok=True)
            clip.make(path)
    labelled = [[clip.fname, LABELS[i % 2]] for i, clip in enumerate(clips)]
    style = {"lineterminator": "\r\n", "quoting": csv.QUOTE_ALL}  # for names with blanks and line ends
    (data / f"{SPLIT}.csv").write_bytes(encode_table([["fname", "labels"], *labelled], **style))
    (data / "sample_submission.csv").write_bytes(encode_table([["fname", *LABELS], ["test.wav", "0", "0"]]))
    (data / "test").mkdir()
    (data / "test" / "test.wav").write_bytes(secret.read_bytes())
    (outside / "config.json").write_text(json.dumps({"fuzz": {"data_path": "data"}}))
    return clips


def make_features(folder: Path, seconds: float) -> Verdict:
    """Run the script in a process of its own, and look ten times a second how much memory it takes."""
    command, pipe = [sys.executable, *f"{ROOT}/{FEATURES}".replace("tiny", "fuzz").split()], subprocess.PIPE
    process = subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)
    until, peak, out = time.monotonic() + seconds, 0, None
    while out is None:
        try:
            out, err = process.communicate(timeout=0.1)
        except subprocess.TimeoutExpired:
            with suppress(OSError, TypeError):  # it has just ended
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                peak = max(peak, int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]))
            if time.monotonic() > until:
                process.kill()
    assert process.returncode == 0, out[-3000:] + err[-3000:]
    held, unusable = open_clips(folder / "data" / "features", SPLIT, SETTINGS, "")
    frames, spans = held.packs[0].numpy(), zip(held.fnames, held.starts, held.lengths, strict=True)
    finite = {fname for fname, start, length in spans if np.isfinite(frames[start : start + length]).all()}
    return Verdict(out, peak, frozenset(finite), unusable)


def check(clips: list[Mutant], verdict: Verdict) -> list[str]:
    """What the run did otherwise than it should."""
    problems = []
    for clip in clips:
        reason = verdict.refused.get(clip.fname)
        became = USED if clip.fname in verdict.used else REFUSED if reason else "lost"
        if became != clip.expected and (clip.expected != EITHER or became == "lost"):
            problems.append(f"{clip.kind}, {clip.fname!r:.80}: {became} ({reason}), not {clip.expected}")
        if reason and (len(reason.splitlines()) != 1 or not reason.isprintable() or len(reason) > 200):
            problems.append(f"{clip.kind}, {clip.fname!r:.80}: its reason is no plain line: {reason!r:.200}")
    lines = verdict.out.partition(" clips are used, but")[0].splitlines()
    if sum(line.startswith("  ") for line in lines) != len(verdict.refused):
        problems.append(f"{len(verdict.refused)} clips were refused, and other lines name one")
    if not verdict.out.replace("\n", "").isprintable():
        problems.append("the output holds characters that a terminal may act on")
    if verdict.peak_memory > SMALL:
        problems.append(f"{verdict.peak_memory} KiB of memory")
    return problems


def snapshot(folder: Path) -> set[tuple]:
    """All files of a folder but the features, with their sizes, times and contents' places on the disk."""
    paths = [path for path in folder.rglob("*") if "features" not in path.relative_to(folder).parts[:2]]
    stats = [(str(path), path.lstat(), path.is_dir()) for path in paths]
    return {(name, s.st_mode, s.st_size, s.st_ino, 0 if is_dir else s.st_mtime_ns) for name, s, is_dir in stats}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc")
def test_good_sounds_are_used_and_bad_ones_named(tmp_path, size, tell):
    rng, count = np.random.default_rng(0), size(160, 2000)
    whole = [encode(sound(rng, 16000, 1), "WAV", "PCM_16", 16000) for _ in range(GOOD)]
    clips = [Mutant("good files among them", f"good{i:03}.wav", writes(each), USED) for i, each in enumerate(whole)]
    clips = write_dataset(tmp_path, [*clips, *mutants(rng, count)], rng)
    before = snapshot(tmp_path)
    first = make_features(tmp_path, 60 + LIMIT * len(clips))
    assert check(clips, first) == []
    assert before == snapshot(tmp_path), "the run wrote beside the features"
    assert len(clips) == GOOD + count == len(first.used) + len(first.refused)
    kinds = {kind: Counter(clip.fname in first.used for clip in clips if clip.kind == kind) for kind in sorted(DAMAGES)}
    others = [clip for clip in clips if clip.kind not in DAMAGES]
    kinds["whole, or odd by name or content"] = Counter(clip.fname in first.used for clip in others)
    facts = f"{len(clips)} files in one run, {first.peak_memory / 1024:.0f} MiB of memory at most"
    rows = [(kind, counts[True], counts[False]) for kind, counts in kinds.items()]
    assert all(counts.total() for counts in kinds.values())
    tell("Broken sound files", facts, ["kind", "used", "refused, named"], rows)
