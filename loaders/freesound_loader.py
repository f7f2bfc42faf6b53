"""Turn the sound files of a data set into PCEN mel features:

PYTHONPATH=. python loaders/freesound_loader.py
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # a script's folder comes first on sys.path, where loaders/ would hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse

from joblib import cpu_count

from loaders import get_data_path, get_features_path
from loaders.audio import DENIED
from loaders.copies import describe_copies
from loaders.features import make_features
from loaders.index import features_dir
from loaders.layouts import SUBSETS, read_corpus
from loaders.pcen import AudioSettings, audio_settings
from utils.cli import hertz, make_parser, positive_int
from utils.errors import MisuseError, one_line, run
from utils.recipes import read_recipe


def main() -> int:
    args = parse_args()
    corpus = read_corpus(get_data_path(args.dataset))
    settings = audio_settings(args)
    folder = features_dir(get_features_path(args.dataset), settings)
    reasons: set[str] = set()  # why clips cannot be used
    wanted = [name for name in corpus.subsets if args.split == "all" or name in SUBSETS[args.split]]
    for split in wanted or [args.split]:
        report = make_features(corpus.subset(split), split, folder, settings, args.jobs, args.scheduler)
        done = f"{report.computed} clips computed, {report.up_to_date} up to date"
        print_clips(f"{split}: {done}, {len(report.unusable)} cannot be used", report.unusable)
        if report.remarks:
            odd = "clips are used, but there is something odd about them"
            print_clips(f"{split}: {len(report.remarks)} {odd}", report.remarks)
        reasons.update(report.unusable.values())
        if remarks := corpus.subset(split).remarks:
            print(f"{split}: {'; '.join(remarks)}")
    if copies := describe_copies(corpus, folder, wanted):
        print(copies)
    print(f"features are in {folder}")
    return int((args.strict and len(reasons) > 0) or DENIED in reasons)


def print_clips(line: str, said: dict[str, str]) -> None:
    """A line, and below it one for each clip."""
    print(line, *(f"  {one_line(fname, 100)}: {one_line(text)}" for fname, text in said.items()), sep="\n", flush=True)


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Turn the sound files of a data set into PCEN mel features (.npy), on all cores.",
        "PYTHONPATH=. python loaders/freesound_loader.py --dataset freesound",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="freesound", help="a name in config.json")
    data.add_argument("--split", default="all", choices=["all", *SUBSETS], help="which clips")
    signal = parser.add_argument_group("signal")
    signal.add_argument("--sampling_rate", type=hertz, default=AudioSettings.sampling_rate, help="Hz")
    signal.add_argument("--img_rows", type=positive_int, default=AudioSettings.n_mels, help="mel bands")
    work = parser.add_argument_group("work")
    work.add_argument("--jobs", type=positive_int, default=cpu_count(), help="processes; by default one a usable core")
    work.add_argument("--backend", default="loky", choices=["loky", "dask"], help="processes here, or a Dask cluster")
    work.add_argument("--scheduler", metavar="ADDRESS", help="address of the Dask cluster, such as tcp://HOST:8786")
    work.add_argument("--strict", action="store_true", help="fail if a clip cannot be used")
    flags = "last: flags of train.py; the features are those that it needs with them"
    work.add_argument("--for_training", nargs=argparse.REMAINDER, default=[], metavar="FLAG", help=flags)
    args = parser.parse_args()
    if (args.backend == "dask") != bool(args.scheduler):
        raise MisuseError("--backend dask and --scheduler ADDRESS go together; give both or neither")
    return with_training_flags(args) if args.for_training else args


def with_training_flags(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with the values that train.py's flags and their recipe give to the same names."""
    trained = make_parser(None, "")
    trained.add_argument("--recipe", default="original")
    for name, kind in (("sampling_rate", hertz), ("img_rows", positive_int)):
        trained.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS)
    given = vars(trained.parse_known_args(args.for_training)[0])
    recipe = read_recipe(given.pop("recipe"))
    fitting = {name: recipe[name] for name in ("sampling_rate", "img_rows") if name in recipe} | given
    return argparse.Namespace(**vars(args) | fitting)


if __name__ == "__main__":
    run(main)
