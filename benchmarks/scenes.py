"""Scenes: recordings mixed from the test clips of a data set, tagged second by second, and scored.

A scene has pauses, single sounds and two sounds at once, at levels of their own, over noise at -60 dB.  What sounds
when is known.  The same seed gives the same scenes.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile as sf
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import average_precision_score

from benchmarks.common import Row, publish
from loaders import get_data_path
from loaders.audio import UnusableClipError, read_mono, trim_silence
from loaders.clip_features import locate
from loaders.layouts import read_corpus
from tagging.ensemble import build_ensemble, read_checkpoints
from tagging.events import find_events
from tagging.tagger import Tagged, tag_files
from utils.cli import make_parser, natural_int, positive_int
from utils.devices import DEVICES, pick_device
from utils.errors import UserError, run

RATE = 44100  # Hz
NOISE_DB = -60.0  # RMS of the noise under a whole scene
LEVELS_DB = (-32.0, -14.0)  # RMS of a sound
FAINTER_DB = (-12.0, 0.0)  # of the second of two sounds, against the first
LENGTHS = (1.0, 8.0)  # seconds of a sound; longer clips are cut
PAUSES = (1.5, 5.0)  # seconds
SHARES = {"pause": 0.25, "single": 0.4, "pair": 0.35}  # of what follows one another
FADE = 0.01  # seconds
COLLAR = 0.2  # seconds that an onset may be off
Times = list[tuple[float, float, int]]  # onset and offset in seconds, and the label, of each event of a file


class Event(NamedTuple):
    """A clip within a scene."""

    onset: float  # seconds
    offset: float
    labels: np.ndarray  # (C,) bool
    kind: str  # "single", or which of a pair: "louder", "fainter"


class Scene(NamedTuple):
    samples: np.ndarray  # (n,) float32
    events: list[Event]


def mix_scene(clips: Iterator[tuple[np.ndarray, np.ndarray]], seconds: float, rng: np.random.Generator) -> Scene:
    """A scene of that length.  clips: samples (n,) at RATE and labels (C,) of one clip after the other."""
    samples = 10 ** (NOISE_DB / 20) * rng.standard_normal(round(seconds * RATE))
    events: list[Event] = []
    at = rng.uniform(*PAUSES)
    while True:
        kind = rng.choice(list(SHARES), p=list(SHARES.values()))
        if kind == "pause":
            at += rng.uniform(*PAUSES)
            continue
        level = rng.uniform(*LEVELS_DB)
        sound, labels = next(clips)
        end = at + len(sound) / RATE
        placed = [(at, sound, labels, level, "single" if kind == "single" else "louder")]
        if kind == "pair":
            other, its_labels = next(clips)
            start = at + rng.uniform(0, 0.5) * len(sound) / RATE
            placed.append((start, other, its_labels, level + rng.uniform(*FAINTER_DB), "fainter"))
            end = max(end, start + len(other) / RATE)
        if end > seconds - PAUSES[0]:
            return Scene(samples.clip(-1, 1).astype(np.float32), events)
        for onset, one, which, db, part in placed:
            first = round(onset * RATE)
            samples[first : first + len(one)] += one * 10 ** (db / 20) / max(np.sqrt(np.mean(one**2)), 1e-9)
            events.append(Event(onset, onset + len(one) / RATE, which, part))
        at = end + rng.uniform(0.0, 1.0)


def test_clips(dataset: str, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples and labels of the test clips in random order, without end: trimmed, cut, faded."""
    subset = read_corpus(get_data_path(dataset)).subset("test")
    if subset.truth is None:
        raise UserError(f"the answers to the test clips of {dataset} are not there, so no scene can be scored")
    while True:
        for i in rng.permutation(len(subset.fnames)):
            try:
                samples = trim_silence(read_mono(locate(subset.folder, subset.fnames[i]), RATE))
            except UnusableClipError:
                continue
            if subset.truth[i].any() and len(samples) >= LENGTHS[0] * RATE:
                samples = samples[: round(LENGTHS[1] * RATE)].copy()
                fade = np.linspace(0, 1, round(FADE * RATE), dtype=np.float32)
                samples[: len(fade)] *= fade
                samples[-len(fade) :] *= fade[::-1]
                yield samples, subset.truth[i]


def activity(events: list[Event], n_classes: int, n_seconds: int, least: float = 0.5) -> np.ndarray:
    """Which classes sound in which second: (S, C) bool, where an event fills at least that share of it."""
    truth = np.zeros((n_seconds, n_classes), bool)
    for event in events:
        second = np.arange(n_seconds)
        filled = np.minimum(event.offset, second + 1) - np.maximum(event.onset, second)
        truth |= (filled >= least)[:, None] & event.labels
    return truth


def seconds_of(scene: Scene, kind: str, n_seconds: int) -> np.ndarray:
    """The seconds and labels of one kind of events: (S, C) bool; of a fainter sound while the louder one sounds too."""
    n_classes = len(scene.events[0].labels) if scene.events else 0
    chosen = activity([event for event in scene.events if event.kind == kind], n_classes, n_seconds)
    if kind != "fainter":
        return chosen
    louder = activity([event for event in scene.events if event.kind == "louder"], n_classes, n_seconds)
    return chosen & ~louder & louder.any(axis=1, keepdims=True)


def f_measure(hits: int, claims: int, there: int) -> float:
    """F1, micro-averaged (Mesaros et al. 2016, "Metrics for polyphonic SED"); NaN where nothing is there or claimed."""
    return 2 * hits / (claims + there) if claims + there else np.nan


def segment_f1(true: list[Times], found: list[Times]) -> float:
    """Of segments of a second.  A label is active in each segment that one of its events touches."""
    truth, claimed = _segments(true), _segments(found)
    return f_measure(len(truth & claimed), len(claimed), len(truth))


def _segments(files: list[Times]) -> set[tuple[int, int, int]]:
    events = [(number, *event) for number, times in enumerate(files) for event in times]
    return {(file, second, label) for file, on, off, label in events for second in range(int(on), int(np.ceil(off)))}


def event_f1(true: list[Times], found: list[Times]) -> float:
    """Of events: one of the same label whose onset is within the collar is right, each for one true event."""
    hits = 0
    for truth, claimed in zip(true, found, strict=True):
        if truth and claimed:
            one, other = np.array(truth), np.array(claimed)
            near = np.abs(one[:, None, 0] - other[None, :, 0]) <= COLLAR
            match = maximum_bipartite_matching(csr_array(near & (one[:, None, 2] == other[None, :, 2])), "column")
            hits += int((match >= 0).sum())
    return f_measure(hits, sum(map(len, found)), sum(map(len, true)))


def score(scenes: list[Scene], files: list[Tagged], thresholds: np.ndarray) -> Row:
    """The columns of the table.  files: what tag.py's functions make of the scenes.  thresholds: (C,)."""
    n_seconds = [len(file.timeline.scores) for file in files]
    sounding, touched = (
        np.concatenate([activity(s.events, len(thresholds), n, least) for s, n in zip(scenes, n_seconds, strict=True)])
        for least in (0.5, 0.02)
    )
    single, fainter = (
        np.concatenate([seconds_of(s, kind, n) for s, n in zip(scenes, n_seconds, strict=True)])
        for kind in ("single", "fainter")
    )
    scores = np.nan_to_num(np.concatenate([file.timeline.scores for file in files]))
    above, pause, some = scores >= thresholds, ~touched.any(axis=1), sounding.any(axis=0)

    def f1(claimed: np.ndarray) -> float:
        return f_measure(int((claimed & sounding).sum()), int(claimed.sum()), int(sounding.sum()))

    by_threshold = {threshold: f1(scores >= threshold) for threshold in np.arange(1, 100) / 100}
    best = max(by_threshold, key=by_threshold.get)
    true = [[(e.onset, e.offset, c) for e in scene.events for c in np.flatnonzero(e.labels)] for scene in scenes]
    tables = [find_events(file.timeline, thresholds) for file in files]
    found = [list(table[["onset", "offset", "label"]].itertuples(index=False, name=None)) for table in tables]
    return {
        "macro AP": f"{average_precision_score(sounding[:, some], scores[:, some]):.3f}",
        "F1 at the best threshold": f"{by_threshold[best]:.3f} at {best:.2f}",
        "F1 at 0.5": f"{by_threshold[0.5]:.3f}",
        "F1 at the stored ones": f"{f1(above):.3f}",
        "a single sound's score": f"{scores[single].mean():.3f}",
        "the fainter of two": f"{scores[fainter].mean():.3f}",
        "over its threshold": f"{above[fainter].mean():.3f}",
        "best label of a pause": f"{scores[pause].max(axis=1).mean():.3f}",
        "pauses with a label": f"{above[pause].any(axis=1).mean():.3f}",
        "F1 of 1 s segments": f"{segment_f1(true, found):.3f}",
        "F1 of events": f"{event_f1(true, found):.3f}",
    }


def main() -> None:
    args = parse_args()
    ensemble = build_ensemble(read_checkpoints(args.model_path), pick_device(args.device))
    if ensemble.thresholds is None:
        raise UserError(f"{args.model_path[0]} has no thresholds; train it again")
    rng = np.random.default_rng(args.seed)
    clips = test_clips(args.dataset, rng)
    scenes = [mix_scene(clips, args.seconds, rng) for _ in range(args.scenes)]
    args.folder.mkdir(parents=True, exist_ok=True)
    paths = [args.folder / f"scene_{number}.wav" for number in range(args.scenes)]
    for path, scene in zip(paths, scenes, strict=True):
        sf.write(path, scene.samples, RATE, subtype="FLOAT")
    files = list(tag_files(paths, ensemble, timelines=True))
    row = score(scenes, files, ensemble.thresholds)
    facts = f"{args.scenes} scenes of {args.seconds} s, seed {args.seed}, {len(ensemble.members)} networks"
    publish(f"Scenes of {args.dataset}", facts, [row], args)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/scenes.py --dataset esc10 --folder scenes --model_path BEST.pth")
    parser.add_argument("--dataset", required=True, help="a name in config.json, with answers to its test clips")
    parser.add_argument("--model_path", nargs="+", required=True, help="checkpoints to average")
    parser.add_argument("--folder", type=Path, required=True, help="where the scenes are written")
    parser.add_argument("--scenes", type=positive_int, default=20, help="how many")
    parser.add_argument("--seconds", type=positive_int, default=90, help="length of each")
    parser.add_argument("--seed", type=natural_int, default=0, help="of the scenes")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="auto: a GPU if there is one")
    parser.add_argument("--output", type=Path, help="file to append the table to")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
