"""A small synthetic corpus in the layout of FSDKaggle2019, for whoever has no data yet.

    python demo/corpus.py --out datasets/demo --seed 0

Curated and test clips are clean and rightly labelled; noisy clips come from another acoustic domain (reverberant,
band-limited, loud background) and two in five have a wrong label.  Nothing is shared between the three but the
models of the sounds (sounds.py).  The same arguments give the same bytes, whatever --jobs.

The default 640 clips are 175 MB and take 15 to 30 s on two cores.  Tagging the test clips from the 240 curated ones:
lwlrap 0.22 by label frequency, 0.83 by logistic regression on log-mel statistics (n = 1, seed 0).
"""

import csv
import json
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of demo/

import numpy as np
from joblib import cpu_count
from numpy.random import Generator, SeedSequence, default_rng
from scipy.io import wavfile
from scipy.signal import fftconvolve
from tqdm import tqdm

from demo.sounds import MODELS, play
from demo.synthesis import RATE, band, decaying_noise, log_uniform, low_pass
from utils import cli
from utils.atomic import atomic_write
from utils.errors import MisuseError, run

CLASSES = sorted(MODELS)
FOLDERS = {"curated": "train_curated", "noisy": "train_noisy", "test": "test"}
TABLES = ["train_curated.csv", "train_noisy.csv", "sample_submission.csv", "test_post_competition.csv"]
WAVS = "[0-9a-f]" * 8 + ".wav"
RECORD = "demo.json"  # whose folder this is, of which arguments, and whether it is complete
VERSION = "b364e98a5e66"  # of the sounds; another one, of 12 hexadecimal digits, for every change that can be heard

STREAMS = [*FOLDERS, "usage"]
LENGTHS = (0.4, 8.0)  # seconds, of curated and test clips
MIXED = {"curated": 0.15, "noisy": 0.3, "test": 0.15}  # share of clips with two sounds
MISLABELLED = 0.4  # share of noisy clips


@dataclass(frozen=True)
class Clip:
    """What is heard in a clip, what its label claims, and the random stream that it is made from."""

    subset: str
    index: int
    fname: str
    sounds: tuple[str, ...]
    labels: tuple[str, ...]

    def path(self, out: Path) -> Path:
        """Where the clip lies in the corpus."""
        return out / FOLDERS[self.subset] / self.fname


def stream(seed: int, purpose: str, *index: int) -> Generator:
    """An independent random generator for the plan of a subset, for each of its clips, and for usage."""
    return default_rng(SeedSequence(seed, spawn_key=(STREAMS.index(purpose), *index)))


def plan(seed: int, counts: dict[str, int]) -> list[Clip]:
    """All clips of the corpus, before any is heard.  counts: clips per subset.

    Another seed, size or VERSION gives other names, so features of an older demo can never pass for this one's.
    """
    names_rng = default_rng([seed, *counts.values(), int(VERSION, 16)])
    names = names_rng.choice(1 << 32, sum(counts.values()), replace=False)
    clips = []
    for subset, share in zip(counts, np.split(names, np.cumsum([*counts.values()])[:-1]), strict=True):
        rng = stream(seed, subset)
        balanced = rng.permutation(np.resize(rng.permutation(CLASSES), len(share))).tolist()
        for index, (name, first) in enumerate(zip(sorted(share), balanced, strict=True)):
            sounds = (first, _another(rng, first)) if rng.random() < MIXED[subset] else (first,)
            wrong = subset == "noisy" and rng.random() < MISLABELLED
            labels = mislabel(rng, sounds) if wrong else sounds
            clips.append(Clip(subset, index, f"{name:08x}.wav", sounds, labels))
    return clips


def mislabel(rng: Generator, sounds: tuple[str, ...]) -> tuple[str, ...]:
    """Labels that do not fit: one of two is missing, one is too many, or one is replaced (the commonest)."""
    error = rng.choice(["missing", "extra", "replaced"], p=[0.2, 0.2, 0.6])
    if error == "missing" and len(sounds) > 1:
        return sounds[:1]
    return (*(sounds if error == "extra" else sounds[:-1]), _another(rng, *sounds))


def _another(rng: Generator, *taken: str) -> str:
    return str(rng.choice([name for name in CLASSES if name not in taken]))


def render(clip: Clip, seed: int) -> np.ndarray:
    """The clip as recorded: (n,) float64, peak below 1."""
    rng = stream(seed, clip.subset, clip.index)
    if clip.subset == "noisy":
        n = int(RATE * (4 if rng.random() < 0.8 else rng.uniform(1.5, 4)))
        recording = record_badly(rng, perform(rng, clip.sounds, n))
    else:
        n = int(RATE * np.clip(rng.lognormal(np.log(2.5), 0.6), *LENGTHS))
        head, tail = (0, 0) if rng.random() < 0.5 else (n * rng.uniform(0, 0.2, 2)).astype(int)  # digital silence
        recording = np.pad(record_well(rng, perform(rng, clip.sounds, n - head - tail)), (head, tail))
    return recording * log_uniform(rng, 0.15, 0.95) / np.abs(recording).max()


def perform(rng: Generator, sounds: tuple[str, ...], n: int) -> np.ndarray:
    """One sound, or two at once or in sequence, within 6 dB of one another: (n,)."""
    if len(sounds) == 1:
        return play(sounds[0], rng, n).astype(np.float64)
    levels = 10 ** (rng.uniform(-6, 0, 2) / 20)
    if rng.random() < 0.5:
        return sum(level * play(name, rng, n) for level, name in zip(levels, sounds, strict=True))
    cut = int(n * rng.uniform(0.35, 0.65))
    parts = zip(levels, sounds, [cut, n - cut], strict=True)
    return np.concatenate([level * play(name, rng, length) for level, name, length in parts])


def record_well(rng: Generator, sound: np.ndarray) -> np.ndarray:
    """A near microphone with a slightly tilted spectrum and 20 to 50 dB between sound and background."""
    tilt = rng.uniform(-0.5, 0.5)
    tilted = sound - tilt * low_pass(sound, 1000)
    return with_background(rng, tilted, snr=rng.uniform(20, 50))


def record_badly(rng: Generator, sound: np.ndarray) -> np.ndarray:
    """A distant, cheap microphone: a reverberant room, a narrow band, 3 to 20 dB above the background."""
    room = decaying_noise(rng, log_uniform(rng, 0.04, 0.25), 1.0)
    wet = fftconvolve(sound, room)[: len(sound)]
    heard = sound / sound.std() + rng.uniform(0.3, 1.5) * wet / wet.std()
    heard = with_background(rng, heard, snr=rng.uniform(3, 20))
    return band(heard, log_uniform(rng, 60, 350), log_uniform(rng, 3500, 12000))


def with_background(rng: Generator, sound: np.ndarray, snr: float) -> np.ndarray:
    """The sound and noise between white and brown, `snr` dB below the sound's mean power."""
    noise = rng.standard_normal(len(sound))
    noise = low_pass(noise, log_uniform(rng, 100, 15000)) + rng.uniform(0, 0.1) * noise
    return sound + noise * np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-snr / 20)


def write_wav(clip: Clip, out: Path, seed: int) -> None:
    """Render a clip to 16-bit PCM."""
    with atomic_write(clip.path(out)) as file:
        wavfile.write(file, RATE, np.round(render(clip, seed) * 32767).astype(np.int16))


def write_tables(clips: list[Clip], out: Path, seed: int) -> None:
    """The four CSVs: labels of the two training sets, the empty submission, and the answers."""
    labels = {subset: [(c.fname, ",".join(c.labels)) for c in clips if c.subset == subset] for subset in FOLDERS}
    order = stream(seed, "usage").permutation(len(labels["test"]))
    usages = np.where(order < round(len(order) / 4), "Public", "Private")
    tables = [
        [("fname", "labels"), *labels["curated"]],
        [("fname", "labels"), *labels["noisy"]],
        [("fname", *CLASSES), *((fname, *[0] * len(CLASSES)) for fname, _ in labels["test"])],
        [("fname", "labels", "usage"), *((*row, usage) for row, usage in zip(labels["test"], usages, strict=True))],
    ]
    for name, rows in zip(TABLES, tables, strict=True):
        with atomic_write(out / name, "w") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def generate(out: Path, seed: int, counts: dict[str, int], jobs: int = 1) -> bool:
    """Make the corpus in `out` unless it is there already; returns whether there was anything to do.

    Raises MisuseError if the folder holds data that this script did not write.
    """
    clips = plan(seed, counts)
    record = {"seed": seed, **counts, "code": VERSION, "complete": True}
    files = [*(clip.path(out) for clip in clips), *(out / name for name in TABLES)]
    if _read_record(out) == record and all(path.exists() for path in files):
        return False
    _write_record(out, {**record, "complete": False})
    remains = [(out / folder).glob(kind) for folder in FOLDERS.values() for kind in (WAVS, f".{WAVS}.*.tmp")]
    for old in [*(out / name for name in TABLES), *chain(*remains)]:
        old.unlink(missing_ok=True)
    # Ctrl-C is for the parent to handle: a worker ends the clip it is at.
    with ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        written = pool.map(partial(write_wav, out=out, seed=seed), clips, chunksize=4)
        list(tqdm(written, total=len(clips), unit="clip", disable=None))
    write_tables(clips, out, seed)
    _write_record(out, record)
    return True


def _read_record(out: Path) -> dict | None:
    """Of the demo that is there, complete or not.  Raises MisuseError where there is something else."""
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        record = None
    if isinstance(record, dict) and "complete" in record:
        return record
    if taken := [name for name in (RECORD, *TABLES, *FOLDERS.values()) if (out / name).exists()]:
        raise MisuseError(f"{out} holds a {taken[0]} that is not of a demo; choose another --out")
    return None


def _write_record(out: Path, record: dict) -> None:
    with atomic_write(out / RECORD, "w") as file:
        file.write(json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Make the corpus of the command line and say where it is."""
    parser = cli.make_parser(__doc__, "python demo/corpus.py --out datasets/demo --seed 0")
    parser.add_argument("--out", type=Path, default=Path("datasets/demo"), help="folder to fill")
    parser.add_argument("--seed", type=cli.seed, default=0, help="another seed, other clips")
    for subset, count in {"curated": 240, "noisy": 240, "test": 160}.items():
        parser.add_argument(f"--{subset}", type=cli.positive_int, default=count, help=f"{subset} clips")
    parser.add_argument("--jobs", type=cli.positive_int, default=min(2, cpu_count()), help="processes")
    args = parser.parse_args()
    counts = {subset: getattr(args, subset) for subset in FOLDERS}
    made = generate(args.out, args.seed, counts, args.jobs)
    print(f"{args.out}: {sum(counts.values())} clips of {len(CLASSES)} classes" + ("" if made else ", already there"))


if __name__ == "__main__":
    run(main)
