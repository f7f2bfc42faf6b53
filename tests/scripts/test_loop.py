"""The whole loop: the seed's commands one by one, and run.sh in processes of its own."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loaders.layouts import read_corpus
from predicting.metrics import lwlrap

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
    flags = "--arch mobilenet_v3_small --img_rows=32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"

    def run():
        return process(
            root.parent, "bash", root / "run.sh", "tiny", 2, *flags.split(), PYTHON=warm_python / "python", TTA="2"
        )

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
