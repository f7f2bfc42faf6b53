"""Write one HTML page about a run: scores, curves, weak classes, confusions, calibration, and clips to listen to."""

import argparse

from loaders import get_data_path
from loaders.layouts import read_corpus
from loaders.pcen import audio_settings
from predicting.merging import add_run_flags
from reporting.calibration import calibration_section
from reporting.classes import classes_section, confusion_section
from reporting.clips import doubtful_section, hardest_section
from reporting.markup import Section, document
from reporting.results import Results, read_results
from reporting.scores import scores_section
from reporting.settings import settings_section
from reporting.training import training_section
from utils.atomic import atomic_write, try_outputs
from utils.cli import make_parser, natural_int, positive_float
from utils.errors import run


def main() -> int:
    args = parse_args()
    try_outputs("--output", args.output)
    results = read_results(args, read_corpus(get_data_path(args.dataset)))
    html = document(args.dataset, describe(results), sections(results, args))
    with atomic_write(args.output, "w") as file:
        file.write(html)
    print(f"{args.output}: {len(html.encode()) / 1e6:.1f} MB, opens in any browser")
    return 0


def sections(results: Results, args: argparse.Namespace) -> list[Section]:
    """The parts of the page for which there are data."""
    audio = audio_settings(results.settings)
    parts = [scores_section(results), training_section(results)]
    if "val" in results.tables:
        parts += [classes_section(results), confusion_section(results), calibration_section(results)]
        if args.clips:
            parts.append(hardest_section(results, audio, args.clips, args.seconds))
    if args.noisy_clips:
        parts.append(doubtful_section(results, audio, args.noisy_clips, args.seconds))
    return [part for part in [*parts, settings_section(results)] if part]


def describe(results: Results) -> str:
    """One sentence about the run and the data."""
    first = [next(iter(folds.values())).args for folds in results.any_runs.values()]
    runs = [f"{args['arch']}, {args['num_folds']} folds of {args.get('n_iter', '?')} steps" for args in first]
    subsets = results.corpus.subsets.items()
    clips = [f"{len(subset.fnames):,} {name.removeprefix('train_')}" for name, subset in subsets]
    return f"{' + '.join(runs)}. {', '.join(clips)} clips of {len(results.corpus.class_names)} classes."


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__, "python report.py --dataset freesound --output report.html")
    what = add_run_flags(parser)
    what.add_argument("--checkpoint_dir", help="folder of train.py's logs; without the flag: that of the checkpoints")
    page = parser.add_argument_group("page")
    page.add_argument("--clips", type=natural_int, default=12, help="curated clips to show; 0: none")
    page.add_argument("--noisy_clips", type=natural_int, default=12, help="noisy clips to show; 0: none")
    page.add_argument("--seconds", type=positive_float, default=5.0, help="seconds of each clip, from its start")
    page.add_argument("--output", default="report.html", help="the page to write")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
