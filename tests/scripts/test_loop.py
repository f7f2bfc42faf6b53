"""The whole loop: the seed's commands one by one; run.sh in processes of its own; what run.sh calls a stage at a time,
as a queue has it, and in two stages with a selection of noisy clips.
"""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loaders.layouts import read_corpus
from predicting.metrics import lwlrap
from tests.conftest import write_config
from tests.pages import ROOT, blocks, scripts_called

FLAGS = "--arch mobilenet_v3_small --img_rows=32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 8"
BEST = [f"checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_{fold}-2_model.pth" for fold in (0, 1)]
PLAN = ["test", *BEST]
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
SMALLER = {"k=5": "k=2", "40000": "1", "--batch_size 128": "--batch_size 4"}
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
for task in $(seq ${tasks/-/ }); do SLURM_ARRAY_TASK_ID=$task sh -euc "$wrap" >&2; done
[[ $tasks == - ]] && sh -euc "$wrap" >&2
echo $id >> jobs.txt
echo $id
"""


@pytest.fixture
def place(template, tmp_path) -> Path:
    """A folder to run scripts in, with a copy of the corpus that has no features."""
    data = tmp_path / "place/data"
    root = write_config(tmp_path / "place", tiny=data, freesound=data)
    shutil.copytree(template, root / "data", ignore=shutil.ignore_patterns("features"))
    return root


@pytest.fixture
def run_all(script, place):
    """Run the scripts that bash called, one after the other, within this process; what they printed."""

    def run(calls: list[list[str]]) -> str:
        said = []
        for name, *flags in calls:
            done = script(place, name, *flags, *(["--jobs", 1] if "loader" in name else [])).ok()
            said.append(done.out + done.err)
        return "\n".join(said)

    return run


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


def test_the_seeds_commands_run_as_bash_reads_them(run_all, place, template, tmp_path):
    commands = SEED
    for written, small in SMALLER.items():
        commands = commands.replace(written, small)
    said = run_all(scripts_called(f"set +u\n{commands}", tmp_path))
    check_submission(place / "submission.csv", template)
    for fold in (0, 1):
        [line] = [line for line in said.splitlines() if f"_{fold}-.pth is not there" in line]
        assert f"taking checkpoints/resnet18_freesound_best_128x197_44100_{fold}-2_model.pth" in line
        assert "${i}-${k}_model.pth" in line


def test_the_loop_ends_in_a_submission_and_an_out_of_fold_table(make_repository, process, template):
    """run.sh in a copy of the repository, called from elsewhere, on all cores."""
    root = make_repository()
    done = process(root.parent, "bash", root / "run.sh", "tiny", 2, *FLAGS.split(), PYTHON=sys.executable).ok()
    check_submission(root / "submission.csv", template)
    check_out_of_fold(root / "oof.csv", template, done.out)
    assert [len(list(root.glob(f"{folder}/[!.]*_?-2*"))) for folder in ("checkpoints", "predictions")] == [
        3 * 2,
        2 * 2 * 2,
    ]
    for made in (root / "data/features/16000_32").glob("*.npy"):
        (alone,) = (template / "features/16000_32").glob(made.name.split(".")[0] + ".*.npy")
        np.testing.assert_array_equal(np.load(made), np.load(alone))


def test_the_slurm_jobs_of_the_docs_make_the_calls_of_the_loop(tmp_path):
    (block,) = [block for block in blocks(ROOT / "docs/many-machines.md", "bash") if "sbatch" in block]
    block = re.sub(r'^flags=".*"$', f'flags="{FLAGS}"', block, flags=re.MULTILINE)
    block = block.replace("freesound 5", "tiny 2").replace("--array 0-4", "--array 0-1")
    (tmp_path / "jobs.txt").write_text("")
    queued = scripts_called(block, tmp_path, PLAN, sbatch=SBATCH)
    assert (tmp_path / "jobs.txt").read_text() == "1\n2\n3\n"
    assert queued == scripts_called(f"./run.sh tiny 2 {FLAGS}", tmp_path, PLAN)
    assert [name for name, *_ in queued] == ["loaders/freesound_loader.py", *["train.py", "test.py"] * 2, "merge.py"]


def test_noisy_clips_are_selected_in_two_stages_and_a_kill_between_them_costs_neither(run_all, place, tmp_path):
    def call(stage: str = "") -> str:
        return run_all(scripts_called(f"./run.sh tiny 2 --select_noisy {stage} {FLAGS}", tmp_path, PLAN))

    def made(pattern: str) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in place.glob(pattern)}

    assert call().count("of 8 noisy clips have believable labels") == 2
    first = made("*/first/[!.]*")
    assert len(first) == 2 * 3 + 2 * 2
    last = place / BEST[1].replace("_best_", "_last_")
    whole, submission = last.read_bytes(), (place / "submission.csv").read_bytes()
    for path in [last, place / BEST[1], place / "submission.csv"]:
        path.unlink()  # as if killed after the first stage of fold 1
    for stage in ("train:1", "test:1", "merge"):
        call(f"--only {stage}")
    assert (last.read_bytes(), (place / "submission.csv").read_bytes()) == (whole, submission)
    assert (
        made("*/first/[!.]*").items() >= {path: time for path, time in first.items() if path.suffix != ".jsonl"}.items()
    )
    results = "checkpoints/**/*.pth", "predictions/**/*.npz", "data/features/*/*.npy"
    before = [made(pattern) for pattern in results]
    assert "0 clips computed, 20 up to date" in call()
    assert [made(pattern) for pattern in results] == before
