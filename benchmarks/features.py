"""Feature step: on all cores, against one process that calls librosa in the obvious way.

The clips are synthesised: lengths like those of the curated clips, silence around the sound, 16-bit mono wavs.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

import argparse
import shutil
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import soundfile as sf
from joblib import cpu_count

from benchmarks.common import publish
from benchmarks.rounds import Contender, add_round_flags, comparison, serve, timed_rounds
from benchmarks.synthetic import curated_seconds
from loaders.pcen import AudioSettings
from utils.cli import make_parser, positive_int
from utils.errors import run

RATE = 44_100  # Hz
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main() -> None:
    args = parse_args()
    if args.worker:
        serve({"ours": our_features, "librosa": librosa_features}[args.worker])
        return
    goal = f"at least {0.95 * 1.2 * cpu_count():.2f}"
    with TemporaryDirectory() as name:
        folder = Path(name)
        hours = write_wavs(folder / "wavs", args.clips) / 3600
        contender = partial(Contender, amount=args.clips, folder=folder)
        entrants = [
            contender("ours", f"loaders/features.py, {cpu_count()} processes"),
            contender("librosa", "librosa, one process", goal),
            contender("librosa", "the same, one BLAS thread", goal, environment=ONE_THREAD),
        ]
        timings = timed_rounds(entrants, args.repeats, warm_up=args.clips)
    rows = comparison(entrants, timings)
    facts = f"{args.clips} wavs, {hours:.2f} hours, 44.1 kHz; n = {args.repeats} rounds over all of them in turn"
    note = "The goal is 0.95 x cores x 1.2.  A cold round has imports and the starts of processes in it."
    publish("Features", facts, rows, [note], args)


def our_features() -> Callable[[int], None]:
    """make_features() over the first n wavs, each time into an empty folder."""
    from loaders.features import make_features
    from loaders.layouts import Subset

    fnames = sorted(path.name for path in Path("wavs").iterdir())

    def work(n: int) -> None:
        shutil.rmtree("ours", ignore_errors=True)
        report = make_features(Subset(Path("wavs"), fnames[:n]), "test", Path("ours"), AudioSettings(), cpu_count())
        assert report.computed == n, report.unusable

    return work


def librosa_features() -> Callable[[int], None]:
    """One wav after the other: load, trim, repeat up to two seconds, mel spectrogram, PCEN, save."""
    import librosa

    Path("librosa").mkdir(exist_ok=True)
    paths = sorted(Path("wavs").iterdir())

    def work(n: int) -> None:
        for path in paths[:n]:
            samples, _ = librosa.load(path, sr=RATE, mono=True)
            samples, _ = librosa.effects.trim(samples, top_db=60)
            if len(samples) < 2 * RATE:
                samples = np.resize(samples, 2 * RATE)
            mel = librosa.feature.melspectrogram(
                y=samples, sr=RATE, n_fft=2048, hop_length=441, n_mels=128, fmin=20, fmax=22050, power=1
            )
            pcen = librosa.pcen(
                mel, sr=RATE, hop_length=441, gain=0.5, bias=0.001, power=0.2, time_constant=0.4, eps=1e-9
            )
            np.save(Path("librosa", f"{path.stem}.npy"), pcen.astype(np.float16))

    return work


def write_wavs(folder: Path, n: int, seed: int = 0) -> float:
    """Write clips of decaying noise between silences; returns their seconds in all."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    seconds = np.maximum(curated_seconds(rng, n), 0.3)
    for number, length in enumerate(seconds):
        samples = int(length * RATE)
        sound = rng.standard_normal(samples, np.float32) * np.exp(-4 * np.linspace(0, 1, samples, dtype=np.float32))
        sound[: samples // 20] = 0
        sound[-samples // 20 :] = 0
        sf.write(folder / f"{number:05d}.wav", 0.2 * sound, RATE, subtype="PCM_16")
    return float(seconds.sum())


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python benchmarks/features.py --clips 100 --output results.md")
    parser.add_argument("--clips", type=positive_int, default=400, help="wavs to make and to turn into features")
    add_round_flags(parser, repeats=3)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
