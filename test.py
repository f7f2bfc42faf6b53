"""Predict splits with one checkpoint: overlapping crops of each clip -> the probability of each class."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loaders import get_data_path
from loaders.clips import Clips, usable_clips
from loaders.layouts import Corpus, read_corpus
from loaders.pcen import AudioSettings
from predicting.checkpoint import build_network, checkpoint_args, find_checkpoint, load_checkpoint
from predicting.metrics import lwlrap
from predicting.paths import prediction_path
from predicting.prediction_file import Predictions, load_predictions, save_predictions
from predicting.scores import describe_further, describe_test
from predicting.tta import SHARED, Prepared, predict, prepare, shift_of
from utils.atomic import try_outputs
from utils.cli import hertz, make_parser, natural_int, positive_int, seed, share
from utils.devices import (
    PRECISION_HELP,
    PRECISIONS,
    choose_device,
    gpu_errors_in_one_line,
    pick_precision,
    set_up_device,
)
from utils.digests import ALL_LABELS, digest, tensors_digest
from utils.errors import MisuseError, UserError, run

TRAINED = ("dataset", "img_rows", "img_cols", "sampling_rate", "seed", "use_cbam")  # what the checkpoint knows better


@gpu_errors_in_one_line()
def main() -> int:
    args = parse_args()
    args.model_path = find_checkpoint(args.model_path)
    state = load_checkpoint(args.model_path)
    trained = checkpoint_args(state)
    refuse_contradictions(args, trained)
    for split in args.split:
        path = prediction_path(trained, args.prediction_dir, split)
        try_outputs("--prediction_dir", path, path.with_suffix(".csv"))
    corpus = read_corpus(get_data_path(trained.dataset))
    if set(corpus.class_names) != set(state["class_names"]):
        odd = sorted(set(corpus.class_names) ^ set(state["class_names"]))
        raise UserError(
            f"{args.model_path} was trained on another class list than {trained.dataset} has: {odd[0]} is in one only"
        )
    device = choose_device(args.use_cuda)
    precision, why_precision = pick_precision(args.precision, device, trained.arch)
    network: Prepared | None = None
    for split in args.split:
        path = prediction_path(trained, args.prediction_dir, split)
        fnames, clips = clips_of(split, state, trained, corpus)
        about = describe(split, args, state, precision, fnames, clips)
        if args.if_needed and is_up_to_date(path, vars(trained) | about):
            print(f"{path} is up to date")
            continue
        if network is None:
            print(f"{device}, {why_precision}", flush=True)
            set_up_device(device, same_shapes=args.tta not in (0, SHARED))
            built = build_network(args.model_path, state).to(device, memory_format=torch.channels_last)
            network = prepare(built, args.tta, trained.img_rows, trained.img_cols)
        scored = predict(
            network, clips.to(device), trained.img_cols, args.batch_size, device,
            tta=args.tta, precision=precision,
            label=f"fold {trained.fold_num}, {split}", shift=about["tta_shift"], loss=trained.loss,
        )  # fmt: skip
        if not np.isfinite(scored).all():
            raise UserError(f"{args.model_path}: its outputs are not finite; train that fold with a smaller --l_rate")
        probabilities = fill_in(fnames, clips.fnames, scored, state["prior"].numpy())
        predictions = Predictions(probabilities, fnames, state["class_names"], vars(trained) | about)
        save_predictions(path, predictions)
        print_score(split, corpus, predictions)
        print(f"{len(fnames)} clips: {path} and .csv", flush=True)
    return 0


def audio_settings(trained: argparse.Namespace) -> AudioSettings:
    """Of the features that the checkpoint was trained on."""
    return AudioSettings(trained.sampling_rate, trained.img_rows)


def clips_of(split: str, state: dict[str, Any], trained: argparse.Namespace, corpus: Corpus) -> tuple[list[str], Clips]:
    """The names of a split's clips, and those clips of them that can be used."""
    subset = "train_curated" if split == "val" else split
    known = corpus.subset(subset).fnames
    fnames = state["held_out"] if split == "val" else known
    if gone := sorted(set(fnames) - set(known)):
        raise UserError(
            f"fold {trained.fold_num} held out {gone[0]}, which is no curated clip any more; put it back, or train "
            "that fold again with --overwrite"
        )
    return fnames, usable_clips(trained.dataset, subset, fnames, audio_settings(trained))


def describe(
    split: str, args: argparse.Namespace, state: dict[str, Any], precision: torch.dtype, fnames: list[str], clips: Clips
) -> dict[str, Any]:
    """What predictions of a split are made from and how, beside the arguments of the training."""
    return {
        "train_split": state["args"].get("split"),
        "checkpoint_step": state["step"],
        "tta": args.tta,
        "tta_shift": tta_shift(args, state),
        "split": split,
        "precision": str(precision),
        "model_path": args.model_path,
        "labels": state["made_from"].get(ALL_LABELS, ""),
        "made_from": {
            "the checkpoint": tensors_digest(args.model_path),
            "the clips": digest(fnames),
            "the features of the clips": digest(clips.digests),
        },
    }


def tta_shift(args: argparse.Namespace, state: dict[str, Any]) -> float:
    """By which share of the bands crops are shifted; MisuseError where the flag asks for it and there are no crops."""
    if args.tta not in (0, SHARED):
        return shift_of(state["args"]) if args.tta_shift is None else args.tta_shift
    if args.tta_shift:
        raise MisuseError(
            f"--tta_shift {args.tta_shift}: --tta {args.tta} hears a clip in one pass; leave one flag out"
        )
    return 0.0


def is_up_to_date(path: Path, args: dict[str, Any]) -> bool:
    """Whether there are predictions with these arguments, made from the present files."""
    if not path.exists() or not path.with_suffix(".csv").exists():
        return False
    try:
        return load_predictions(path).args == json.loads(json.dumps(args))
    except UserError:
        return False


def refuse_contradictions(args: argparse.Namespace, trained: argparse.Namespace) -> None:
    """Refuse flags that contradict the checkpoint."""
    for name in TRAINED:
        given, true = getattr(args, name), getattr(trained, name)
        if given is not None and given != true:
            flag = f"--{'' if given is not False else 'no-'}{name}" + ("" if isinstance(given, bool) else f" {given}")
            raise MisuseError(f"{flag}: {args.model_path} was trained with {name} {true}; leave the flag out")


def fill_in(fnames: list[str], scored: list[str], probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """A row for every clip (N, C): those that cannot be heard get the classes' share of the training targets."""
    rows = dict(zip(scored, probabilities, strict=True))
    for fname in fnames:
        if fname not in rows:
            print(f"{fname} cannot be used; its row is the mean of the training labels", file=sys.stderr)
    return np.stack([rows.get(fname, prior) for fname in fnames]).astype(np.float32)


def print_score(split: str, corpus: Corpus, predictions: Predictions) -> None:
    scores = predictions.aligned(predictions.fnames, corpus.class_names)
    if split == "val":
        truth = corpus.subset("train_curated").truth_of(predictions.fnames)
        told = describe_further(truth, scores, corpus.metrics)
        print(f"lwlrap of the held-out clips: {lwlrap(truth, scores):.4f}{told}")
    elif split == "test" and (told := describe_test(corpus.subset("test"), scores, corpus.metrics)):
        print(told)


def tta(text: str) -> int | str:
    """Argument type: how many crops, or SHARED."""
    return SHARED if text == SHARED else natural_int(text)


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Predict one or more splits with one checkpoint; the network is rebuilt from what the checkpoint holds.",
        "python test.py --model_path checkpoints/resnet18_freesound_best_128x197_44100_0-5_model.pth --tta 8",
    )
    on_off: dict[str, Any] = {"action": argparse.BooleanOptionalAction, "default": None}
    what = parser.add_argument_group("what")
    what.add_argument("--model_path", required=True, help="checkpoint of one fold")
    what.add_argument(
        "--split",
        nargs="+",
        default=["test"],
        choices=["test", "val", "train_noisy"],
        help="one or more; val: the clips that the fold held out",
    )
    what.add_argument(
        "--if_needed",
        action="store_true",
        help="do nothing if the predictions of this checkpoint, these clips and settings are already there",
    )
    what.add_argument("--prediction_dir", default="predictions", help="where the probabilities go")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--tta",
        type=tta,
        default=8,
        help="crops per clip; shared: all crops that a clip has, in one pass; 0: the whole clip as one crop",
    )
    how.add_argument(
        "--tta_shift",
        type=share,
        help="leave a clip's first crop as it is, shift the second up and the third down along frequency by this share "
        "of the bands, and so on; without the flag: half of the training's --shift_share",
    )
    how.add_argument("--batch_size", type=positive_int, default=32, help="crops per forward pass")
    how.add_argument("--use_cuda", **on_off, help="use a GPU; without the flag: if there is one")
    how.add_argument("--precision", default="auto", choices=PRECISIONS, help=PRECISION_HELP)
    known = parser.add_argument_group("known from the checkpoint (a flag that contradicts it is an error)")
    known.add_argument("--dataset", help="a name in config.json")
    known.add_argument("--img_rows", type=positive_int, help="mel bands")
    known.add_argument("--img_cols", type=positive_int, help="frames of a crop")
    known.add_argument("--sampling_rate", type=hertz, help="Hz")
    known.add_argument("--seed", type=seed, help="seed of the training")
    known.add_argument("--use_cbam", **on_off, help="attention at the end of each residual branch")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
