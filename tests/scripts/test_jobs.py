"""run.sh one stage at a time, as a queue calls it; and the SLURM commands of the docs, with a stand-in for SLURM."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.pages import ROOT, blocks

FLAGS = "--arch mobilenet_v3_small --img_rows=32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
SBATCH = """#!/usr/bin/env bash
# Runs a job at once, an array's tasks one after the other.  What it depends on must have been handed in before.
set -euo pipefail
tasks=- wrap= id=$(($(wc -l < jobs.txt) + 1))
while (($#)); do
  case $1 in
    --array) tasks=$2 ;;
    --dependency) for job in ${2#afterok:}; do grep -qx "$job" jobs.txt; done ;;
    --wrap) wrap=$2 ;;
    --parsable | --requeue) shift; continue ;;
    -*) ;;
    *) exit 2 ;;
  esac
  shift 2
done
bash -n -c "$wrap"
for task in $(seq ${tasks/-/ }); do SLURM_ARRAY_TASK_ID=$task sh -c "$wrap" >&2; done
[[ $tasks == - ]] && sh -c "$wrap" >&2
echo $id >> jobs.txt
echo $id
"""


@pytest.fixture(scope="module")
def by_hand(make_repository, script) -> Path:
    """Where the scripts have been called one by one."""
    root = make_repository()
    audio = ["--dataset", "tiny", "--sampling_rate", "16000", "--img_rows", "32"]
    calls = [["loaders/freesound_loader.py", *audio, "--jobs", 1]]
    for fold in 0, 1:
        best = f"checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_{fold}-2_model.pth"
        calls += [["train.py", "--dataset", "tiny", "--fold_num", fold, "--num_folds", 2, *FLAGS.split()]]
        calls += [["test.py", "--model_path", best, "--split", "test"]]
    calls += [["merge.py", "--dataset", "tiny", "--img_rows", 32, "--img_cols", 64, "--split", "test"]]
    for call in calls:
        done = script(root, *call)
        assert done.code == 0, done.err
    return root


@pytest.fixture(scope="module")
def empty(make_repository) -> Path:
    return make_repository()


@pytest.fixture
def stage(empty, process, warm_python):
    """Run stages in the repository where nothing has run yet."""
    return lambda *words: process(empty, "./run.sh", "tiny", 2, *words, *FLAGS.split(), PYTHON=warm_python / "python")


def slurm_commands() -> str:
    """The commands of docs/many-machines.md, on the tiny corpus."""
    (block,) = [block for block in blocks(ROOT / "docs/many-machines.md", "bash") if "sbatch" in block]
    block = re.sub(r'^flags=".*"$', f'flags="{FLAGS}"', block, flags=re.MULTILINE)
    return block.replace("freesound 5", "tiny 2").replace("--array 0-4", "--array 0-1")


def test_the_slurm_jobs_of_the_docs_end_where_the_scripts_do_one_by_one(make_repository, by_hand, process, warm_python):
    root = make_repository()
    (root / "bin").mkdir()
    (root / "bin/sbatch").write_text(SBATCH)
    (root / "bin/sbatch").chmod(0o755)
    (root / "jobs.txt").write_text("")
    commands = slurm_commands()
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    done = process(root, "bash", "-euc", commands, PATH=path, SPLITS="test", PYTHON=warm_python / "python")
    assert done.code == 0, done.err
    assert (root / "jobs.txt").read_text() == "1\n2\n3\n"
    assert (root / "submission.csv").read_bytes() == (by_hand / "submission.csv").read_bytes()
    for made in (by_hand / "predictions").glob("*.npz"):
        with np.load(made) as expected, np.load(root / "predictions" / made.name) as got:
            np.testing.assert_array_equal(got["probabilities"], expected["probabilities"])


@pytest.mark.parametrize(
    ("only", "code", "line"),
    [
        ("train:1", 1, "run: python loaders/freesound_loader.py --dataset tiny --sampling_rate 16000 --img_rows 32"),
        ("test:1", 1, "there is no checkpoint checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_1-2_model.pth"),
        ("merge", 1, "predictions: no predictions of --dataset tiny"),
        *((only, 2, "--only") for only in ("train", "train:", "train:2", "train:01", "test:-1", "fold:1", "all:1", "")),
    ],
)
def test_a_stage_without_its_inputs_says_what_is_missing_and_one_that_cannot_be_is_misuse(stage, only, code, line):
    done = stage("--only", only)
    assert done.code == code
    assert line in done.error
    assert code == 1 or f"--only {only}" in done.error.replace("'", "")


def test_a_stage_does_nothing_but_itself(stage, empty):
    assert stage("--only=features").code == 0
    assert sorted(path.name for path in empty.iterdir() if path.name in ("checkpoints", "predictions")) == []
    shutil.rmtree(empty / "data/features")


def test_noisy_clips_are_selected_in_two_stages_and_a_kill_between_them_costs_neither(
    make_repository, process, warm_python
):
    root = make_repository()

    def call(*words: str) -> object:
        flags = ["--select_noisy", *FLAGS.split()]
        return process(root, "./run.sh", "tiny", 2, *words, *flags, PYTHON=warm_python / "python", SPLITS="test")

    def made(pattern: str) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in root.glob(pattern)}

    done = call()
    assert done.code == 0, done.err
    assert done.out.count("of 8 noisy clips have believable labels") == 2
    first = made("checkpoints/first/*.pth") | made("predictions/first/*")
    assert len(first) == 2 * 2 + 2 * 2
    name = "mobilenet_v3_small_tiny_{}_32x64_16000_1-2{}".format
    last = root / "checkpoints" / name("last", "_model.pth")
    whole, submission = last.read_bytes(), (root / "submission.csv").read_bytes()
    for path in [last, root / "checkpoints" / name("best", "_model.pth"), root / "submission.csv"]:
        path.unlink()  # as if killed after the first stage of fold 1
    assert call("--only", "train:1").code == 0
    assert call("--only", "test:1").code == call("--only", "merge").code == 0
    assert made("checkpoints/first/*.pth") | made("predictions/first/*") == first
    assert (last.read_bytes(), (root / "submission.csv").read_bytes()) == (whole, submission)
