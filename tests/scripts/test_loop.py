"""The whole loop: the seed's commands one by one; run.sh in processes of its own, whole and one stage at a time, as a
queue calls it; and the SLURM commands of the docs, with a stand-in for SLURM.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loaders.layouts import read_corpus
from predicting.metrics import lwlrap
from tests.pages import ROOT, blocks

FLAGS = "--arch mobilenet_v3_small --img_rows=32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
# The seed document's commands, letter for letter: its test loop leaves out the braces around k.
SEED = """
PYTHONPATH=. python loaders/freesound_loader.py
k=5
for((i=0;i<$k;i=i+1))
do 
python train.py --arch resnet18 --dataset freesound --split train \\
                --img_rows 128 --img_cols 197 \\
                --n_iter 40000 --batch_size 128 --seed 1234 \\
                --l_rate 1e-1 --weight_decay 1e-4 --iter_size 1 \\
                --num_cycles 0 --print_train_freq 100 --eval_freq 2000 \\
                --fold_num $i --num_folds $k --sampling_rate 44100 \\
                --dropout_rate 0.5 --gamma_fl 0.0 \\
                --use_mix_up --use_spec_aug --use_cbam
done
k=5
for((i=0;i<$k;i=i+1))
do
python test.py --model_path checkpoints/resnet18_freesound_best_128x197_44100_$i-$k_model.pth --dataset freesound \\
               --img_rows 128 --img_cols 197 --seed 1234 \\
               --batch_size 32 --split test --sampling_rate 44100 \\
               --tta 8 --use_cuda --use_cbam
done
python merge.py --dataset freesound --img_rows 128 --img_cols 197 --seed 1234 --split test
"""
SMALLER = {"k=5": "k=2", "40000": "2", "--batch_size 128": "--batch_size 4"}


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


def check_submission(path: Path, template: Path) -> None:
    sample, made = pd.read_csv(template / "sample_submission.csv"), pd.read_csv(path)
    assert list(made.columns) == list(sample.columns)
    assert made.fname.tolist() == sample.fname.tolist()
    values = made.drop(columns="fname").to_numpy()
    assert np.isfinite(values).all()
    assert ((values > 0) & (values < 1)).all()


def check_out_of_fold(path: Path, template: Path, out: str) -> None:
    made = pd.read_csv(path, index_col="fname")
    curated = read_corpus(template).subset("train_curated")
    assert made.index.tolist() == curated.fnames
    assert f"CV lwlrap {lwlrap(curated.truth, made.to_numpy()):.4f} over 20 clips" in out


def test_the_seeds_commands_run_as_they_are_under_bash(make_repository, process, template, warm_python):
    root = make_repository("freesound")
    commands = SEED
    for written, small in SMALLER.items():
        commands = commands.replace(written, small)
    path = f"{warm_python}:{os.environ['PATH']}"
    done = process(root, "bash", "-ec", commands, PATH=path)
    assert done.code == 0, done.err
    check_submission(root / "submission.csv", template)
    for fold in (0, 1):
        [line] = [line for line in done.err.splitlines() if f"_{fold}-.pth is not there" in line]
        assert f"taking checkpoints/resnet18_freesound_best_128x197_44100_{fold}-2_model.pth" in line
        assert "${i}-${k}_model.pth" in line


@pytest.fixture(scope="module")
def loop(make_repository, process, warm_python):
    """run.sh in a copy of the repository, on a copy of the corpus without features."""
    root = make_repository()
    command = ["bash", root / "run.sh", "tiny", 2, *FLAGS.split()]

    def run():
        return process(root.parent, *command, PYTHON=warm_python / "python")

    return root, run(), run


def results(root: Path) -> dict[str, int]:
    paths = [*root.glob("checkpoints/*.pth"), *root.glob("predictions/*"), *root.glob("data/features/*/*.npy")]
    return {path.name: path.stat().st_mtime_ns for path in paths}


def test_the_loop_ends_in_a_submission_and_an_out_of_fold_table(loop, template):
    root, done, _ = loop
    assert done.code == 0, done.err
    check_submission(root / "submission.csv", template)
    check_out_of_fold(root / "oof.csv", template, done.out)
    assert len(results(root)) == 2 * 2 + 2 * 2 * 2 + 3


def test_the_loop_on_all_cores_makes_the_features_that_one_process_makes(loop, template):
    for made in (loop[0] / "data/features/16000_32").glob("*.npy"):
        (alone,) = (template / "features/16000_32").glob(made.name.split(".")[0] + ".*.npy")
        np.testing.assert_array_equal(np.load(made), np.load(alone))


def test_the_loop_called_again_neither_computes_nor_trains_nor_predicts(loop, template):
    root, _, run = loop
    before = results(root)
    (root / "submission.csv").unlink()
    again = run()
    assert again.code == 0, again.err
    assert results(root) == before
    assert "0 clips computed, 20 up to date" in again.out
    check_submission(root / "submission.csv", template)


def test_the_loop_stops_at_the_first_command_that_fails(loop, process, warm_python):
    root, _, _ = loop
    done = process(root, "bash", root / "run.sh", "nope", 2, PYTHON=warm_python / "python")
    assert done.code == 2
    assert "nope" in done.error


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


def test_the_slurm_jobs_of_the_docs_end_where_the_loop_does(make_repository, loop, process, warm_python):
    root, at = make_repository(), loop[0]
    (root / "bin").mkdir()
    (root / "bin/sbatch").write_text(SBATCH)
    (root / "bin/sbatch").chmod(0o755)
    (root / "jobs.txt").write_text("")
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    done = process(root, "bash", "-euc", slurm_commands(), PATH=path, SPLITS="test", PYTHON=warm_python / "python")
    assert done.code == 0, done.err
    assert (root / "jobs.txt").read_text() == "1\n2\n3\n"
    assert (root / "submission.csv").read_bytes() == (at / "submission.csv").read_bytes()
    for made in (root / "predictions").glob("*.npz"):
        with np.load(made) as got, np.load(at / "predictions" / made.name) as expected:
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
