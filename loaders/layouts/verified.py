"""Tables whose column `manually_verified` tells curated from noisy labels, one label a clip."""

from pathlib import Path

from loaders.layouts.corpus import Subset
from loaders.layouts.tables import clips_of, read_csv, read_subset
from utils.errors import UserError

VERIFIED = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "False": False}


def read_verified(
    csv: Path, folder: Path, test_csv: Path | None = None, test_folder: Path | None = None
) -> tuple[list[str], dict[str, Subset]]:
    """The classes, by name, and the subsets: train_curated and train_noisy, which share a folder, and perhaps test.

    Where the table has Freesound's ids, clips of one id are a group.  test_csv: has the answers, if it is there.
    """
    table = read_csv(csv, ["fname", "label", "manually_verified"])
    class_names = sorted(set(table.label.str.strip()) - {""})
    verified = table.manually_verified.str.strip().map(VERIFIED)
    if verified.isna().any():
        row = int(verified.isna().to_numpy().argmax())
        value = table.manually_verified.iloc[row]
        raise UserError(f"{csv}: line {row + 2} has manually_verified {value!r}; it must be 1 or 0")
    clips, curated = clips_of(table, csv, folder, class_names, "label", group="freesound_id"), verified.to_numpy(bool)
    subsets = {"train_curated": clips.select(curated), "train_noisy": clips.select(~curated)}
    if test_csv and test_csv.exists():
        subsets["test"] = read_subset(test_csv, test_folder, class_names, "label")
    return class_names, subsets
