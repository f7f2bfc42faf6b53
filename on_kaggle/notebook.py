# %%
# Predict the test clips and write submission.csv.  Made by `make kaggle`.  Needs no network, and writes to the working
# folder only.
import json
import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

INPUT = Path(os.environ.get("FAT_INPUT", "/kaggle/input"))  # read-only
WORK = Path(os.environ.get("FAT_WORK", "/kaggle/working"))


def mounted(name: str) -> Path:
    """Folder of an input of this notebook; Kaggle mounts some beneath `competitions` or `datasets/OWNER`."""
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for folder in INPUT.glob(pattern):
            return folder
    raise FileNotFoundError(f"{name} is not in {INPUT}: add it to the notebook's inputs")


PACK = mounted("kaggle-fat")  # code, checkpoints, wheels
DATA = mounted("freesound-audio-tagging-2019")  # the competition's
pack = json.loads((PACK / "pack.json").read_text())


def run(*words: object) -> None:
    """Call Python in the working folder, and fail if it fails."""
    command = [sys.executable, *map(str, words)]
    environ = os.environ | {"PYTHONPATH": f"{WORK / 'packages'}:{os.environ.get('PYTHONPATH', '')}"}
    with Popen(command, cwd=WORK, env=environ, stdout=PIPE, stderr=STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="")
    if process.returncode:
        raise RuntimeError(f"{words[0]} failed")


# %%
# Packages of the versions that made the features to train on; the rest is Kaggle's own.
if pack["requirements"]:
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index", "--no-deps", "--upgrade"]
    run(*pip, "--target", WORK / "packages", "--find-links", PACK / "wheels", *pack["requirements"])

# %%
# Features of the test clips.
config = {pack["dataset"]: {"data_path": str(DATA), "features_path": str(WORK / "features")}}
(WORK / "config.json").write_text(json.dumps(config))
for rate, rows in pack["features"]:
    signal = ("--sampling_rate", rate, "--img_rows", rows)
    run(PACK / "code/loaders/freesound_loader.py", "--dataset", pack["dataset"], "--split", "test", *signal)

# %%
# Probabilities of each fold.
checkpoints = [PACK / "checkpoints" / name for name in pack["checkpoints"]]
for checkpoint in checkpoints:
    run(PACK / "code/test.py", "--model_path", checkpoint, "--split", "test", "--tta", pack["tta"])

# %%
# Their mean, submission.csv.
run(PACK / "code/merge.py", "--dataset", pack["dataset"], "--split", "test", "--model_path", *checkpoints)
