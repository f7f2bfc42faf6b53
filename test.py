"""Predict splits with one checkpoint: overlapping crops of each clip -> the probability of each class."""

import argparse
from typing import Any

import numpy as np
import torch

from loaders import get_data_path
from loaders.clips import usable_clips
from loaders.layouts import read_corpus
from loaders.pcen import audio_settings
from predicting.checkpoint import build_network, find_checkpoint, load_trained
from predicting.prediction_file import Predictions, save_predictions
from predicting.runs import prediction_path
from predicting.splits import SPLITS, check_classes, clips_of, describe, fill_in, is_up_to_date, print_score
from predicting.tta import ONE_PASS, SHARED, predict, prepare, shift_of
from utils.atomic import try_outputs
from utils.cli import hertz, make_parser, natural_int, positive_int, seed, share
from utils.devices import (
    add_device_flags,
    pick_device,
    pick_precision,
    precision_name,
    set_up_device,
    torch_errors_in_one_line,
)
from utils.digests import changes
from utils.errors import MisuseError, UserError, run

TRAINED = ("dataset", "img_rows", "img_cols", "sampling_rate", "seed", "use_cbam")  # flags that the checkpoint knows


@torch_errors_in_one_line()
def main() -> int:
    args = parse_args()
    args.model_path = find_checkpoint(args.model_path)
    state = load_trained(args.model_path)
    trained = argparse.Namespace(**state["args"])
    given = {name: value for name in TRAINED if (value := getattr(args, name)) is not None}
    if odd := changes(given, state["args"]):
        known = f"{args.model_path} was trained with {state['args'][odd[0]]}"
        raise MisuseError(f"--{odd[0]} {given[odd[0]]}: {known}; leave the flag out")
    paths = {split: prediction_path(trained, args.prediction_dir, split) for split in args.split}
    for path in paths.values():
        try_outputs("--prediction_dir", path, path.with_suffix(".csv"))
    corpus = read_corpus(get_data_path(trained.dataset))
    check_classes(args.model_path, state["class_names"], corpus)
    device = pick_device(args.device)
    precision = pick_precision(args.precision, device, trained.arch, resumed=state)
    shift = shift_of(state["args"]) if args.tta_shift is None else args.tta_shift
    shift = 0.0 if args.tta in ONE_PASS else shift
    settings = audio_settings(trained)
    network: torch.nn.Module | None = None
    for split, path in paths.items():
        fnames = clips_of(split, corpus, state)
        how = {"tta": args.tta, "tta_shift": shift, "precision": str(precision)}
        about = describe(args.model_path, state, split, fnames, **how)  # first, so that what changes meanwhile is seen
        if args.if_needed and is_up_to_date(path, about):
            print(f"{path} is up to date")
            continue
        clips = usable_clips(trained.dataset, SPLITS[split], fnames, settings)
        if network is None:
            print(f"{device}, {precision_name(precision)}", flush=True)
            set_up_device(device, same_shapes=args.tta not in ONE_PASS)
            built = build_network(args.model_path, state).to(device, memory_format=torch.channels_last)
            network = prepare(built, args.tta, trained.img_rows, trained.img_cols)
        scored = predict(
            network, clips.to(device), trained.img_cols, args.batch_size, device,
            tta=args.tta, precision=precision, shift=shift, loss=trained.loss,
            label=f"fold {trained.fold_num}, {split}",
        )  # fmt: skip
        probabilities = fill_in(fnames, clips.fnames, scored, state["prior"].numpy())
        if not np.isfinite(probabilities).all():
            raise UserError(f"{args.model_path}: its outputs are not finite; try a smaller --l_rate, with --overwrite")
        predictions = Predictions(probabilities, fnames, state["class_names"], about)
        save_predictions(path, predictions)
        print_score(split, corpus, predictions)
        print(f"{len(fnames)} clips: {path} and .csv", flush=True)
    return 0


def tta(text: str) -> int | str:
    """Argument type: how many crops, or SHARED."""
    return SHARED if text == SHARED else natural_int(text)


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Predict one or more splits with one checkpoint; the network is rebuilt from what the checkpoint holds.",
        "python test.py --model_path checkpoints/resnet18_freesound_best_128x197_44100_0-5_model.pth --tta 8",
    )
    what = parser.add_argument_group("what")
    what.add_argument("--model_path", required=True, help="checkpoint of one fold")
    splits = "one or more; val: the clips that the fold held out"
    what.add_argument("--split", nargs="+", default=["test"], choices=list(SPLITS), help=splits)
    needed = "do nothing if the predictions of this checkpoint, these clips and settings are already there"
    what.add_argument("--if_needed", action="store_true", help=needed)
    what.add_argument("--prediction_dir", default="predictions", help="where the probabilities go")
    how = parser.add_argument_group("how")
    crops = "crops per clip; shared: all crops that a clip has, in one pass; 0: the whole clip as one crop"
    how.add_argument("--tta", type=tta, default=8, help=crops)
    how.add_argument(
        "--tta_shift",
        type=share,
        help="leave a clip's first crop as it is, shift the second up and the third down along frequency by this share "
        "of the bands, and so on; without the flag: half of the training's --shift_share",
    )
    how.add_argument("--batch_size", type=positive_int, default=32, help="crops per forward pass")
    add_device_flags(how, precision="auto: as in the training where the device can")
    known = parser.add_argument_group("known from the checkpoint (a flag that contradicts it is an error)")
    known.add_argument("--dataset", help="a name in config.json")
    known.add_argument("--img_rows", type=positive_int, help="mel bands")
    known.add_argument("--img_cols", type=positive_int, help="frames of a crop")
    known.add_argument("--sampling_rate", type=hertz, help="Hz")
    known.add_argument("--seed", type=seed, help="seed of the training")
    on_off: dict[str, Any] = {"action": argparse.BooleanOptionalAction, "default": None}
    known.add_argument("--use_cbam", **on_off, help="attention at the end of each residual branch")
    args = parser.parse_args()
    if args.tta in ONE_PASS and args.tta_shift:
        raise MisuseError(
            f"--tta_shift {args.tta_shift}: --tta {args.tta} takes a clip in one pass; leave one flag out"
        )
    return args


if __name__ == "__main__":
    run(main)
