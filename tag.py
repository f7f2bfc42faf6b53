"""Tag sound files with trained checkpoints: the labels of each file, and of each second of a long one."""

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from loaders.listing import SUFFIXES
from reporting.recordings import RecordingsPage
from tagging.ensemble import build_ensemble, read_checkpoints
from tagging.events import RULE, event_table, write_events
from tagging.onnx_export import export_onnx
from tagging.outputs import check_outputs, describe, name_outputs, name_tracks, to_table, write_csv, write_json
from tagging.tagger import Tagged, find_audio, tag_files
from tagging.timeline import write_timeline
from utils.cli import make_parser, natural_int, positive_int, share
from utils.devices import add_device_flags, pick_device, set_up_device, torch_errors_in_one_line
from utils.errors import MisuseError, one_line, run


def tag(
    paths: str | Path | Sequence[str | Path],
    model_paths: str | Path | Sequence[str | Path] | None = None,
    tta: int = 8,
    batch_size: int = 32,
    precision: str = "auto",
    device: str = "auto",
) -> pd.DataFrame:
    """A table with a row per file (by path) and a column per class: probabilities, NaN where a file is silent.

    paths: files, or folders to search.  model_paths: checkpoints, whose probabilities are averaged; None: the best
    ones of the one run in `checkpoints/`.  device: auto, cpu or cuda.  A file that cannot be used has no row; it is
    warned of with the reason, and so is one that is used though something is odd.
    """
    ensemble = build_ensemble(read_checkpoints(_several(model_paths)), pick_device(device), precision)
    tagged = _warned(tag_files(find_audio(_several(paths)), ensemble, tta, batch_size))
    return to_table(tagged, ensemble.class_names)


def events(
    paths: str | Path | Sequence[str | Path],
    model_paths: str | Path | Sequence[str | Path] | None = None,
    threshold: float | None = None,
    batch_size: int = 32,
    precision: str = "auto",
    device: str = "auto",
) -> pd.DataFrame:
    """A table with a row per event: filename, onset and offset in seconds, event_label, score.

    threshold: the score that counts; None: for each label the one that its checkpoints hold.  Otherwise as `tag`.
    """
    ensemble = build_ensemble(read_checkpoints(_several(model_paths)), pick_device(device), precision)
    tagged = _warned(tag_files(find_audio(_several(paths)), ensemble, batch_size=batch_size, timelines=True))
    return event_table([file for file in tagged if file.timeline], ensemble.class_names, ensemble.least(threshold))


def _several(paths: str | Path | Sequence[str | Path] | None) -> Sequence[str | Path] | None:
    return [paths] if isinstance(paths, str | Path) else paths


def _warned(files: Iterable[Tagged]) -> list[Tagged]:
    tagged = list(files)
    for file in tagged:
        if file.remark:
            warnings.warn(f"{file.path}: {file.remark}", stacklevel=3)
    return tagged


@torch_errors_in_one_line()
def main() -> int:
    args = parse_args()
    if args.export is not None:
        return export(args)
    paths = find_audio(args.files)
    pictures = name_outputs(paths, "--timeline", args.timeline, args.files, ".png") if args.timeline is not None else {}
    outputs = {
        f"--{name}": [Path(value)] for name in ("csv", "json", "page") if (value := getattr(args, name)) is not None
    }
    tracks = name_tracks(paths, args.events, args.files)
    outputs["--events"] = list(dict.fromkeys(tracks.values()))
    outputs["--timeline"] = [path for picture in pictures.values() for path in (picture, picture.with_suffix(".csv"))]
    check_outputs(outputs, [*paths, *map(Path, args.model_path or [])])
    device = pick_device(args.device)
    set_up_device(device, same_shapes=False)
    ensemble = build_ensemble(read_checkpoints(args.model_path), device, args.precision)

    asked = tracks or args.page is not None or args.threshold is not None
    least = ensemble.least(args.threshold) if asked else ensemble.thresholds
    page = args.page and RecordingsPage(args.page, ensemble.settings, ensemble.class_names, least, RULE)
    tagged, found = [], []
    files = tag_files(paths, ensemble, args.tta, args.batch_size, timelines=bool(pictures or tracks or page))
    for file in tqdm(files, total=len(paths), unit="file", disable=None, leave=False):
        tagged.append(replace(file, timeline=None))  # which is kept no longer than it takes to draw it
        if file.remark:
            tqdm.write(f"tag.py: {one_line(str(file.path))}: {one_line(file.remark)}", file=sys.stderr)
        if file.scores is None:
            continue
        tqdm.write(describe(file, ensemble.class_names, args.top, least), file=sys.stdout)
        if pictures:
            write_timeline(pictures[file.path], file.timeline, ensemble.class_names, str(file.path), least)
        if page:
            page.add(file.path, file.timeline)
        if tracks:
            found.append(event_table([file], ensemble.class_names, least))
            if len(set(tracks.values())) == len(paths):
                write_events(tracks[file.path], found.pop())
    if tracks and len(set(tracks.values())) < len(paths):
        write_events(tracks[paths[0]], pd.concat(found or [event_table([], [], least)], ignore_index=True))
    table = to_table(tagged, ensemble.class_names)
    for output, write in (args.csv, write_csv), (args.json, write_json):
        if output is not None:
            write(output, table)
    if page:
        page.write()
    failed = len(paths) - len(table)
    if failed > 1:
        print(f"tag.py: {failed} of {len(paths)} files cannot be used", file=sys.stderr)
    return int(failed > 0)


def export(args: argparse.Namespace) -> int:
    """Write one network as ONNX."""
    if args.files or any(value is not None for value in (args.csv, args.json, args.timeline, args.events, args.page)):
        raise MisuseError("--export tags nothing; leave out the sound files and all other output")
    (path, state), *others = read_checkpoints(args.model_path).items()
    if others:
        raise MisuseError(f"--export takes one checkpoint, not {len(others) + 1}; say with --model_path which")
    output = Path(args.export)
    check_outputs({"--export": [output]}, [path])
    export_onnx(output, path, state)
    shape = f"(batch, 1, {state['args']['img_rows']}, frames)"
    print(f"{output}: crops {shape} -> probabilities of {len(state['class_names'])} classes")
    return 0


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        __doc__,
        "python tag.py recordings/ --model_path checkpoints/*_best_*_model.pth --csv tags.csv --timeline timelines/",
    )
    what = parser.add_argument_group("what")
    what.add_argument("files", nargs="*", help="sound files, and folders to search for them")
    what.add_argument(
        "--model_path", nargs="+", help="checkpoints to average; without the flag: the run in checkpoints/"
    )
    out = parser.add_argument_group("output")
    out.add_argument("--top", type=positive_int, default=5, help="labels to print per file")
    out.add_argument("--csv", metavar="PATH", help="table to write: a row per file, a column per class")
    out.add_argument("--json", metavar="PATH", help="the same as JSON")
    out.add_argument("--timeline", metavar="PATH", help="scores per second as .png and .csv: a folder, or NAME.png")
    out.add_argument(
        "--events",
        metavar="PATH",
        help="onset, offset and label of each event: a table (NAME.tsv), a label track for Audacity (NAME.txt), or a "
        "folder, for a track of each file",
    )
    out.add_argument("--page", metavar="PATH", help="HTML page to see, hear and save the events, and move thresholds")
    out.add_argument(
        "--threshold", type=share, help="score from which on a label is present; without the flag: what was trained"
    )
    out.add_argument("--export", metavar="PATH", help="write the network of one checkpoint as ONNX, and tag nothing")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--tta",
        type=natural_int,
        default=8,
        help="crops per clip; 0: the whole clip in one pass; recordings over a minute: about a crop per second",
    )
    how.add_argument("--batch_size", type=positive_int, default=32, help="crops per forward pass")
    add_device_flags(how)
    args = parser.parse_args()
    sounds = [path for path in args.model_path or [] if Path(path).suffix.lower() in SUFFIXES or Path(path).is_dir()]
    if 0 < len(sounds) < len(args.model_path or []):  # sounds that follow checkpoints
        args.model_path = [path for path in args.model_path if path not in sounds]
        args.files += sounds
    if not args.files and args.export is None:
        taken = f"; {args.model_path[-1]} was taken for a checkpoint" if args.model_path else ""
        parser.error(f"name sound files or folders to tag, before --model_path or after --{taken}")
    return args


if __name__ == "__main__":
    run(main)
