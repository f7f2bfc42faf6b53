"""The flags of train.py and the recipes, which are presets of them."""

import argparse
from typing import Any

from loaders.folds import SPLITS
from models import ARCHS
from training.augment import MASK_SHARE
from training.schedule import OPTIMIZERS
from utils.cli import hertz, make_parser, natural_float, natural_int, positive_int, seed, share
from utils.devices import COMPILE_PAYS, PRECISION_HELP, PRECISIONS

RECIPES: dict[str, dict[str, Any]] = {
    "original": {},  # the defaults, which are those of the solution that this repository reproduces
    "improved": {
        "optimizer": "adamw",
        "l_rate": 2e-3,
        "weight_decay": 0.05,
        "num_cycles": 1,
        "curated_share": 0.57,
        "fine_tune": 0.25,
        "fine_tune_share": 0.57,
        "shift_share": 0.06,
        "dropout_rate": 0.2,
        "loss": "ce",
        "fold_seeds": True,
        "use_mix_up": True,
        "use_spec_aug": True,
    },
}
ON_OFF = {"action": argparse.BooleanOptionalAction, "default": False}


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "Train one fold of an audio tagger from scratch.",
        "python train.py --arch resnet18 --use_cbam --use_mix_up --use_spec_aug --dataset freesound --fold_num 0",
    )
    parser.add_argument("--recipe", default="original", choices=list(RECIPES), help="sets several of the flags below")
    _add_data_and_network(parser)
    _add_learning(parser)
    _add_run(parser)
    return parser


def _add_data_and_network(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="freesound", help="a name in config.json")
    data.add_argument(
        "--split",
        default="train",
        choices=["train", "train_curated", "train_noisy"],
        help="clips to train on; train: the curated clips that this fold does not hold out, and all noisy clips",
    )
    data.add_argument("--img_rows", type=positive_int, default=128, help="mel bands")
    data.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop, 10 ms each")
    data.add_argument("--sampling_rate", type=hertz, default=44100, help="Hz")
    data.add_argument("--fold_num", type=natural_int, default=0, help="which fold to hold out")
    data.add_argument(
        "--num_folds",
        type=positive_int,
        help="number of folds; without the flag: as many as the data set gives, else 5",
    )
    data.add_argument(
        "--fold_split",
        choices=SPLITS,
        help="how to make folds; without the flag: given if the data set gives folds, else stratified",
    )
    data.add_argument("--noisy_weight", type=share, default=0.8, help="confidence in the labels of noisy clips")
    data.add_argument("--curated_share", type=share, default=0.0, help="least share of curated clips, on average")
    data.add_argument(
        "--noisy_scores",
        default="",
        metavar="FOLDER",
        help="train only on noisy clips whose labels rank high in the predictions there (test.py --split train_noisy)",
    )
    data.add_argument(
        "--noisy_precision", type=share, default=0.5, help="least precision of a clip's labels in that ranking"
    )
    net = parser.add_argument_group("network")
    net.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network")
    net.add_argument("--use_cbam", **ON_OFF, help="attention at the end of each residual branch")
    net.add_argument("--dropout_rate", type=share, default=0.5, help="dropout before the last layer")


def _add_learning(parser: argparse.ArgumentParser) -> None:
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", default="bce+lovasz", help="terms to add up, joined by +: bce, lovasz, ce")
    loss.add_argument("--gamma_fl", type=natural_float, default=0.0, help="focal exponent of the BCE; 0: plain BCE")
    augment = parser.add_argument_group("augmentation")
    augment.add_argument("--use_mix_up", **ON_OFF, help="mix pairs of clips")
    augment.add_argument("--use_spec_aug", **ON_OFF, help="blank out bands of frequencies and spans of time")
    augment.add_argument(
        "--mask_share",
        type=share,
        default=MASK_SHARE,
        help="limit of a mask's width, as a share of the axis; masks are a quarter of it wide on average",
    )
    augment.add_argument(
        "--shift_share", type=share, default=0.0, help="limit of a shift along frequency, as a share of the bands"
    )
    steps = parser.add_argument_group("optimization")
    steps.add_argument("--n_iter", type=positive_int, default=40000, help="optimizer steps")
    steps.add_argument("--batch_size", type=positive_int, default=128, help="clips per forward pass")
    steps.add_argument("--iter_size", type=positive_int, default=1, help="forward passes per optimizer step")
    steps.add_argument("--optimizer", default="sgd", choices=OPTIMIZERS, help="adamw needs an --l_rate of about 1e-3")
    steps.add_argument("--l_rate", type=natural_float, default=0.1, help="base learning rate")
    steps.add_argument("--momentum", type=share, default=0.9, help="of SGD; beta 1 of AdamW")
    steps.add_argument(
        "--weight_decay", type=natural_float, default=1e-4, help="weight decay, but not of biases and norms"
    )
    steps.add_argument(
        "--num_cycles",
        type=natural_int,
        default=0,
        help="0: drop to a tenth at 30, 60, 90 %% of the steps; n: n cosine cycles",
    )
    steps.add_argument(
        "--fine_tune",
        type=share,
        default=0.0,
        help="last share of the steps, which do without mixup and shifts",
    )
    steps.add_argument(
        "--fine_tune_share", type=share, default=1.0, help="least share of curated clips in those steps, on average"
    )
    steps.add_argument("--seed", type=seed, default=1234, help="seed of everything random")
    steps.add_argument("--fold_seeds", **ON_OFF, help="each fold but 0 draws by a seed of its own, made from --seed")


def _add_run(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("run")
    work.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="auto: a GPU if there is one")
    work.add_argument("--precision", default="auto", choices=PRECISIONS, help=PRECISION_HELP)
    work.add_argument("--deterministic", **ON_OFF, help="the same bits on a GPU too, without TF32 or CUDA graphs")
    work.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="torch.compile the network: a minute of waiting, then faster steps; without the flag, on a GPU if there "
        f"are {COMPILE_PAYS} steps or more; shorter runs there are recorded as CUDA graphs",
    )
    work.add_argument(
        "--print_train_freq",
        type=positive_int,
        help="steps between lines; without the flag, a line after ten steps, then one a minute",
    )
    work.add_argument("--eval_freq", type=natural_int, default=2000, help="steps between validations; 0: at the end")
    work.add_argument("--save_freq", type=natural_int, default=0, help="steps between saves; 0: at each validation")
    work.add_argument("--tensorboard", **ON_OFF, help="log to checkpoint_dir/tensorboard too")
    work.add_argument(
        "--resume",
        metavar="PATH",
        help="continue from this checkpoint exactly where it stopped; auto: from this run's last one, if it is there",
    )
    work.add_argument("--overwrite", **ON_OFF, help="replace another run's checkpoints of the same names")
    work.add_argument(
        "--plan",
        action="store_true",
        help="print the number of folds, the splits to predict, the checkpoints' names, the run's and all splits; stop",
    )
    work.add_argument(
        "--checkpoint_dir", default="checkpoints", help="checkpoints, logs; with --resume PATH: its folder"
    )


def describe_recipe(name: str, args: argparse.Namespace) -> str:
    """The recipe's flags with the values that they have in this run."""
    flags = [f"--{flag} {getattr(args, flag)}" for flag in RECIPES[name]]
    return f"recipe {name}: {' '.join(flags) or 'the defaults'}"
