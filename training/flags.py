"""The flags of train.py and the recipes, which are files of them."""

import argparse
from typing import Any

from loaders.folds import SPLITS
from loaders.pcen import AudioSettings
from losses import get_loss
from models import ARCHS
from training.graphs import COMPILE_PAYS
from training.schedule import OPTIMIZERS
from utils.cli import hertz, make_parser, natural_float, natural_int, positive_int, seed, share
from utils.devices import DEVICES, PRECISION_HELP, PRECISIONS
from utils.errors import MisuseError
from utils.recipes import read_recipe

TRAINED_ON = ("train", "train_curated", "train_noisy")
ON_OFF = {"action": argparse.BooleanOptionalAction, "default": False}


def parse_flags() -> argparse.Namespace:
    """The command line; flags that it leaves out have the recipe's values, or the defaults."""
    parser = build_parser()
    name = parser.parse_args().recipe
    recipe, known = read_recipe(name), {action.dest: action for action in parser._actions}
    for flag, value in recipe.items():
        if flag not in known or not can_be(known[flag], value):
            raise MisuseError(
                f"--recipe {name}: train.py has no flag --{flag} that can be {value!r}; -h lists all flags"
            )
    parser.set_defaults(**recipe)
    return parser.parse_args()


def can_be(action: argparse.Action, value: Any) -> bool:
    """Whether a flag could have given that value, or does if it is left out."""
    if value is None:
        return action.default is None
    if action.nargs == 0:
        return isinstance(value, bool)
    try:
        return (action.type or str)(str(value)) == value and (action.choices is None or value in action.choices)
    except argparse.ArgumentTypeError:
        return False


def build_parser() -> argparse.ArgumentParser:
    """All flags; their defaults are the original recipe's."""
    parser = make_parser(
        "Train one fold of an audio tagger from scratch.",
        "python train.py --arch resnet18 --use_cbam --use_mix_up --use_spec_aug --dataset freesound --fold_num 0",
    )
    names = "original, improved, quick, demo, or the path of a .json file: sets several of the flags below"
    parser.add_argument("--recipe", default="original", help=names)
    _add_data_and_network(parser)
    _add_learning(parser)
    _add_run(parser)
    _add_recipe(parser)
    parser.set_defaults(**read_recipe("original"))
    return parser


def _add_data_and_network(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="freesound", help="a name in config.json")
    split = "clips to train on; train: the curated clips that this fold does not hold out, and all noisy clips"
    data.add_argument("--split", default="train", choices=TRAINED_ON, help=split)
    data.add_argument("--img_rows", type=positive_int, default=AudioSettings.n_mels, help="mel bands")
    data.add_argument("--img_cols", type=positive_int, default=197, help="frames of a crop, 10 ms each")
    data.add_argument("--sampling_rate", type=hertz, default=AudioSettings.sampling_rate, help="Hz")
    data.add_argument("--fold_num", type=natural_int, default=0, help="which fold to hold out")
    data.add_argument("--num_folds", type=positive_int, help="without the flag: those that the data set gives, else 5")
    data.add_argument("--fold_split", choices=SPLITS, help="without the flag: given by the data set, else stratified")
    scores = "train only on noisy clips whose labels rank high in the predictions there (test.py --split train_noisy)"
    data.add_argument("--noisy_scores", default="", metavar="FOLDER", help=scores)
    data.add_argument("--noisy_precision", type=share, default=0.5, help="least precision of labels in that ranking")
    net = parser.add_argument_group("network")
    net.add_argument("--arch", default="resnet18", choices=list(ARCHS), help="which network")
    net.add_argument("--use_cbam", **ON_OFF, help="attention at the end of each residual branch")


def _add_learning(parser: argparse.ArgumentParser) -> None:
    augment = parser.add_argument_group("augmentation")
    augment.add_argument("--use_mix_up", **ON_OFF, help="mix pairs of clips")
    augment.add_argument("--use_spec_aug", **ON_OFF, help="blank out bands of frequencies and spans of time")
    steps = parser.add_argument_group("optimization")
    steps.add_argument("--n_iter", type=positive_int, default=40000, help="optimizer steps")
    steps.add_argument("--batch_size", type=positive_int, default=128, help="clips per forward pass")
    steps.add_argument("--iter_size", type=positive_int, default=1, help="forward passes per optimizer step")
    steps.add_argument("--l_rate", type=natural_float, help="learning rate after the warm-up")
    steps.add_argument("--momentum", type=share, default=0.9, help="of sgd; the first beta of adamw")
    steps.add_argument("--weight_decay", type=natural_float, help="not applied to biases and norms")
    steps.add_argument(
        "--num_cycles", type=natural_int, help="0: a tenth at 30, 60, 90 %% of steps; n: n cosine cycles"
    )
    steps.add_argument("--seed", type=seed, default=1234, help="seed of everything random")


def _add_run(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("run")
    work.add_argument("--device", default="auto", choices=DEVICES, help="auto: a GPU if there is one")
    work.add_argument("--precision", default="auto", choices=PRECISIONS, help=PRECISION_HELP)
    work.add_argument("--deterministic", **ON_OFF, help="the same bits on a GPU too, without TF32 or CUDA graphs")
    compiled = "torch.compile the network: a minute of waiting, then faster steps; without the flag, on a GPU if there "
    compiled += f"are {COMPILE_PAYS} steps or more; shorter runs there are recorded as CUDA graphs"
    work.add_argument("--compile", action=argparse.BooleanOptionalAction, help=compiled)
    lines = "steps between lines; without the flag, a line after ten steps, then one a minute"
    work.add_argument("--print_train_freq", type=positive_int, help=lines)
    work.add_argument("--eval_freq", type=natural_int, default=2000, help="steps between validations; 0: at the end")
    work.add_argument("--save_freq", type=natural_int, default=0, help="steps between saves; 0: at each validation")
    work.add_argument("--tensorboard", **ON_OFF, help="log to checkpoint_dir/tensorboard too")
    resume = "continue from this checkpoint exactly where it stopped; auto: from this run's last one, if it is there"
    work.add_argument("--resume", metavar="PATH", help=resume)
    work.add_argument("--overwrite", **ON_OFF, help="replace another run's checkpoints of the same names")
    plan = "print the splits to predict, then the path of each fold's best checkpoint, and stop"
    work.add_argument("--plan", nargs="*", choices=("val", "test", "train_noisy"), help=plan)
    work.add_argument("--checkpoint_dir", default="checkpoints", help="for all files; with --resume PATH: its folder")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    recipe = parser.add_argument_group("recipe (usually set by --recipe)")
    recipe.add_argument("--optimizer", choices=OPTIMIZERS, help="what takes the steps")
    recipe.add_argument("--noisy_weight", type=share, help="confidence in the labels of noisy clips")
    recipe.add_argument("--curated_share", type=share, help="least share of curated clips in batches, on average")
    recipe.add_argument("--fine_tune", type=share, help="last share of the steps, which do without mixup and shifts")
    recipe.add_argument("--final_share", type=share, help="--curated_share in those last steps")
    recipe.add_argument("--dropout_rate", type=share, help="dropout before the last layer")
    recipe.add_argument("--loss", type=_loss, help="terms to add up, joined by +: bce, lovasz, ce")
    recipe.add_argument("--gamma_fl", type=natural_float, help="focal exponent of the BCE; 0: plain BCE")
    recipe.add_argument("--mask_share", type=share, help="limit of a mask's width, as a share of the axis")
    recipe.add_argument(
        "--level_range", type=natural_float, help="dB by which crops are made quieter, at random; 0: their own level"
    )
    recipe.add_argument("--shift_share", type=share, help="limit of a shift in frequency, as a share of the bands")
    recipe.add_argument("--fold_seeds", **ON_OFF, help="each fold but 0 draws by a seed of its own, made from --seed")


def _loss(text: str) -> str:
    """Argument type: names of terms."""
    try:
        get_loss(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def describe_recipe(args: argparse.Namespace) -> str:
    """The recipe's flags with the values that they have in this run."""
    flags: dict[str, Any] = read_recipe(args.recipe)
    return f"recipe {args.recipe}: {' '.join(f'--{flag} {getattr(args, flag)}' for flag in flags)}"
