"""The tables of the recipe's benchmark: which rows each has, as flags of train.py, and how they are trained."""

from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.changes import CHANGES


class Regime(NamedTuple):
    """How all rows of a table are trained on a kind of data set."""

    flags: str
    folds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Table:
    """Rows: name -> flags of train.py, and run.sh's --select_noisy; a name in CHANGES changes the code as well."""

    rows: dict[str, str]
    tested: Regime  # for data sets with answers to their test clips
    folded: Regime | None = None  # for those without, whose held-out clips are scored
    first_fold: tuple[str, ...] = ()  # rows that have no other
    joined: dict[str, tuple[str, ...]] = field(default_factory=dict)  # further rows: several of those above, merged


NETWORKS = {"ResNet18 + CBAM": "--use_cbam", "MobileNetV3-Large": "--arch mobilenet_v3_large"}
RECIPES = {"original": "--use_mix_up --use_spec_aug", "improved": "--recipe improved"}
PAIRS = {f"{net}, {name}": f"{recipe} {flags}" for name, recipe in RECIPES.items() for net, flags in NETWORKS.items()}
ORIGINALS, IMPROVED = tuple(PAIRS)[:2], tuple(PAIRS)[2:]
LONG = "--img_rows 64 --img_cols 128 --batch_size 64 --n_iter 1500"
SHORT = Regime("--img_rows 32 --img_cols 96 --batch_size 32 --n_iter 800")
OURS, MOBILENET = (PAIRS[name] for name in IMPROVED)
OF_MOBILENET = ("squeeze widths 18, 30, 30", "torchvision's MobileNetV3")
PARTS = {  # of the improved recipe -> flags that leave it out
    "AdamW and its rate": "--optimizer sgd --l_rate 0.1 --weight_decay 1e-4",
    "one cosine": "--num_cycles 0",
    "curated share": "--curated_share 0 --final_share 0",
    "the last quarter": "--fine_tune 0",
    "shifts": "--shift_share 0",
    "dropout of 0.2": "--dropout_rate 0.5",
    "its loss": "--loss bce+lovasz",
    "mixup": "--no-use_mix_up",
    "masks": "--no-use_spec_aug",
    "random level": "--level_range 0",
}
FURTHER = {
    "bf16": "--precision bf16",
    "masks twice as wide": "--mask_share 0.4",
    "curated clips alone": "--split train_curated",
    "believable noisy clips": "--select_noisy",
}


def without(parts: dict[str, str]) -> dict[str, str]:
    return {f"without {part}": f"{OURS} {flags}" for part, flags in parts.items()}


TABLES = {
    "protocol": Table(
        PAIRS, Regime(LONG), Regime("--img_rows 64 --img_cols 128 --batch_size 32 --n_iter 1000", tuple(range(5)), (1,))
    ),
    "merged": Table(
        PAIRS,
        Regime(LONG, tuple(range(5)), (1,)),
        first_fold=ORIGINALS,
        joined={"both, original": ORIGINALS, "both, improved": IMPROVED},
    ),
    "parts": Table({"improved": OURS} | without(PARTS), SHORT, SHORT),
    "fold_seeds": Table(
        {"improved": OURS} | without({"fold seeds": "--no-fold_seeds"}), SHORT._replace(folds=(0, 1, 2), seeds=(1,))
    ),
    "further": Table(
        {"improved": f"{OURS} --precision fp32"} | {name: f"{OURS} {flags}" for name, flags in FURTHER.items()}, SHORT
    ),
    "differences": Table(
        {
            "ours": OURS,
            "random folds": f"{OURS} --fold_split random",
            "ours, MobileNetV3-Large": MOBILENET,
            **{change: MOBILENET if change in OF_MOBILENET else OURS for change in CHANGES},
        },
        SHORT._replace(seeds=(1,)),
    ),
}
