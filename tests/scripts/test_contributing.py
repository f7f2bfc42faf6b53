"""The three diffs of CONTRIBUTING.md: applied to a copy of the repository, they train."""

import json
import shutil
import subprocess
import sys

import pytest

from loaders.layouts import read_corpus
from tests.pages import ROOT, blocks

DIFFS = blocks(ROOT / "CONTRIBUTING.md", "diff")
TRAIN = """
import runpy, sys
for command in sys.argv[1:]:
    sys.argv, sys.path[0] = command.split(), "."
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            raise
"""  # two scripts in one process, which imports torch once
FLAGS = "--dataset named --sampling_rate 16000 --img_rows 32"
COMMANDS = [
    f"loaders/freesound_loader.py {FLAGS} --jobs 1",
    f"train.py {FLAGS} --img_cols 64 --n_iter 1 --batch_size 4 --num_folds 2 --arch efficientnet_b0 --loss bce+squared",
]


@pytest.mark.parametrize("diff", DIFFS, ids=["loss", "network", "layout"])
def test_a_diff_is_short(diff):
    changed = [line for line in diff.splitlines() if line[0] in "+-" and not line.startswith(("+++", "---"))]
    assert len(changed) <= 15


def test_the_diffs_apply_and_train(make_repository, template):
    root = make_repository("named")
    for diff in DIFFS:
        subprocess.run(["git", "apply"], input=diff, text=True, cwd=root, check=True)
    curated = read_corpus(template).subset("train_curated")
    (root / "named/sounds").mkdir(parents=True)
    for fname, labels in zip(curated.fnames, curated.truth, strict=True):
        shutil.copy(curated.folder / fname, root / f"named/sounds/Class{labels.argmax()}_{fname}")
    (root / "config.json").write_text(json.dumps({"named": {"data_path": "named"}}))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *COMMANDS], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "lwlrap per class" in done.stdout
    assert all(f"Class{label}" in done.stdout for label in range(4))
    assert (root / "checkpoints/efficientnet_b0_named_best_32x64_16000_0-2_model.pth").exists()
