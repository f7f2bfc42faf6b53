"""Tables whose column `manually_verified` tells curated from noisy labels, one label a clip."""

from pathlib import Path

from loaders.layouts.corpus import Subset
from loaders.layouts.tables import one_label, read_csv, unique
from utils.errors import UserError

VERIFIED = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "False": False}


def split_verified(csv: Path, folder: Path) -> tuple[list[str], dict[str, Subset]]:
    """The classes, by name, and the subsets train_curated and train_noisy, which share a folder.

    Where the table has Freesound's ids, clips of one id are a group.
    """
    table = read_csv(csv, ["fname", "label", "manually_verified"])
    class_names = sorted(set(table.label.str.strip()) - {""})
    verified = table.manually_verified.str.strip().map(VERIFIED)
    if verified.isna().any():
        row = int(verified.isna().to_numpy().argmax())
        raise UserError(
            f"{csv}: line {row + 2} has manually_verified {table.manually_verified.iloc[row]!r}; it must be 1 or 0"
        )
    truth = one_label(table, "label", class_names, csv)
    groups = table.freesound_id.str.strip().to_numpy(dtype=str) if "freesound_id" in table else None
    whole, curated = Subset(folder, unique(table.fname, csv), truth, groups=groups), verified.to_numpy(dtype=bool)
    return class_names, {"train_curated": whole.select(curated), "train_noisy": whole.select(~curated)}
