"""The tables of the recipe's benchmark: which rows each has, as flags of train.py, and how they are trained."""

from typing import NamedTuple

from benchmarks.changes import CHANGES


class Regime(NamedTuple):
    """How all rows of a table are trained on a kind of data set."""

    flags: str
    folds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1, 2)


class Table(NamedTuple):
    """Rows: name -> flags of train.py, and run.sh's --select_noisy; a name in CHANGES changes the code as well."""

    rows: dict[str, str]
    tested: Regime  # for data sets with answers to their test clips
    folded: Regime | None = None  # for those without, whose held-out clips are scored
    first_fold: tuple[str, ...] = ()  # rows that have no other
    joined: tuple[tuple[str, tuple[str, ...]], ...] = ()  # further rows: several of those above, merged

    @property
    def all_rows(self) -> list[str]:
        return [*self.rows, *(name for name, _ in self.joined)]


NETWORKS = {"ResNet18 + CBAM": "--use_cbam", "MobileNetV3-Large": "--arch mobilenet_v3_large"}
RECIPES = {"original": "--use_mix_up --use_spec_aug", "improved": "--recipe improved"}
PAIRS = {f"{net}, {name}": f"{recipe} {flags}" for name, recipe in RECIPES.items() for net, flags in NETWORKS.items()}
ORIGINALS, IMPROVED = tuple(PAIRS)[:2], tuple(PAIRS)[2:]
JOINED = (("both, original", ORIGINALS), ("both, improved", IMPROVED))
RESNET, MOBILENET = (PAIRS[name] for name in IMPROVED)
LONG, FIVE = "--img_rows 64 --img_cols 128 --batch_size 64 --n_iter 1500", (0, 1, 2, 3, 4)
LONG_FOLDED = "--img_rows 64 --img_cols 128 --batch_size 32 --n_iter 1000"
SHORT = Regime("--img_rows 32 --img_cols 96 --batch_size 32 --n_iter 800")
PARTS = {  # the improved recipe, and without each of its parts
    "improved": "",
    "without AdamW and its rate": "--optimizer sgd --l_rate 0.1 --weight_decay 1e-4",
    "without one cosine": "--num_cycles 0",
    "without curated share": "--curated_share 0 --final_share 0",
    "without the last quarter": "--fine_tune 0",
    "without shifts": "--shift_share 0",
    "without dropout of 0.2": "--dropout_rate 0.5",
    "without its loss": "--loss bce+lovasz",
    "without mixup": "--no-use_mix_up",
    "without masks": "--no-use_spec_aug",
    "without random level": "--level_range 0",
}
FURTHER = {
    "fp32": "--precision fp32",
    "bf16": "--precision bf16",
    "masks twice as wide": "--mask_share 0.4",
    "curated clips alone": "--split train_curated",
    "believable noisy clips": "--select_noisy",
}
OF_MOBILENET = ("squeeze widths 18, 30, 30", "torchvision's MobileNetV3")
DIFFERENCES = {"ours": RESNET, "random folds": f"{RESNET} --fold_split random", "ours, MobileNetV3-Large": MOBILENET}
DIFFERENCES |= {change: MOBILENET if change in OF_MOBILENET else RESNET for change in CHANGES}


def resnet(rows: dict[str, str]) -> dict[str, str]:
    return {name: f"{RESNET} {flags}".strip() for name, flags in rows.items()}


TABLES = {
    "protocol": Table(PAIRS, Regime(LONG), Regime(LONG_FOLDED, FIVE, (1,))),
    "merged": Table(PAIRS, Regime(LONG, FIVE, (1,)), first_fold=ORIGINALS, joined=JOINED),
    "parts": Table(resnet(PARTS), SHORT, SHORT),
    "fold_seeds": Table(
        resnet({"improved": "", "without fold seeds": "--no-fold_seeds"}), SHORT._replace(folds=(0, 1, 2), seeds=(1,))
    ),
    "further": Table(resnet(FURTHER), SHORT),
    "differences": Table(DIFFERENCES, SHORT._replace(seeds=(1,))),
}
