"""merge.py: folds averaged by name into a submission, and everything that is refused instead of averaged."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loaders.layouts import read_corpus
from predicting.merging import balance
from predicting.metrics import lwlrap
from predicting.prediction_file import Predictions, save_predictions
from tests.conftest import CLASSES
from tests.scripts.conftest import SETTINGS

NAME = "resnet18_tiny_test_32x64_16000_0-2"
COPY = f"{NAME} (copy)"
TESTS = [f"test{i:02}.wav" for i in range(6)]
CURATED = [f"ated{i:02}.wav" for i in range(20)]
FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234")


def random_table(fold: int, rows: int = 6) -> np.ndarray:
    return np.random.default_rng(fold).uniform(0.01, 0.99, (rows, 4)).astype(np.float32)


MEAN = (random_table(0).astype(float) + random_table(1)) / 2


@pytest.fixture
def save(workplace):
    """Write a fold's predictions as test.py would; keywords change its arguments, names or probabilities."""

    def write(
        fold, split="test", fnames=TESTS, class_names=CLASSES, table=None, name=None, folder="predictions", **changes
    ):
        args = SETTINGS | {"fold_num": fold, "split": split, "checkpoint_step": 100 + fold} | changes
        stem = "{arch}_{dataset}_{split}_{img_rows}x{img_cols}_{sampling_rate}_{fold_num}-{num_folds}".format(**args)
        table = random_table(fold, len(fnames))[:, : len(class_names)] if table is None else table
        path = workplace / folder / f"{name or stem}.npz"
        save_predictions(path, Predictions(table, list(fnames), list(class_names), args))
        return path

    return write


@pytest.fixture
def merge(script, workplace):
    return lambda *flags: script(workplace, "merge.py", *FLAGS, *map(str, flags))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="fname")


def overall(truth: np.ndarray, scores: np.ndarray) -> str:
    """The parts of a test set's score, as they are printed."""
    parts = {"public": slice(0, None, 2), "private": slice(1, None, 2), "overall": slice(None)}
    return "  ".join(f"{name} {lwlrap(truth[rows], scores[rows]):.4f}" for name, rows in parts.items())


def test_a_submission_is_the_mean_of_the_folds_in_the_layout_of_the_sample_and_is_scored(
    merge, save, workplace, template
):
    save(0), save(1)
    done = merge("--split", "test")
    assert (done.code, done.err) == (0, "")
    sample, made = table(template / "sample_submission.csv"), table(workplace / "submission.csv")
    assert (made.index.tolist(), list(made.columns)) == (sample.index.tolist(), list(sample.columns))
    np.testing.assert_allclose(made, MEAN, rtol=1e-6)
    truth = read_corpus(template).subset("test").truth
    assert f"merged: lwlrap {overall(truth, MEAN)}" in done.out

    done = merge("--balance")
    np.testing.assert_allclose(table(workplace / "submission.csv"), balance(MEAN), rtol=1e-6)
    assert f"merged: lwlrap {overall(truth, MEAN)}" in done.out
    assert f"merged, balanced: lwlrap {overall(truth, balance(MEAN))}" in done.out


@pytest.mark.parametrize(("split", "output"), [("test", "submission.csv"), ("train_noisy", "noisy.csv")])
def test_rows_and_columns_are_aligned_by_name(merge, save, workplace, template, split, output):
    fnames = np.array(read_corpus(template).subset(split).fnames)
    tables = [random_table(fold, len(fnames)) for fold in range(2)]
    rng = np.random.default_rng(0)
    for fold in range(2):
        rows, columns = rng.permutation(len(fnames)), rng.permutation(4)
        names = {"fnames": fnames[rows], "class_names": np.array(CLASSES)[columns]}
        save(fold, split, table=tables[fold][np.ix_(rows, columns)], **names)
    done = merge("--split", split)
    assert done.out.splitlines()[-1] == f"{output}: {len(fnames)} clips, 4 classes"
    made = table(workplace / output)
    assert (made.index.tolist(), list(made.columns)) == (fnames.tolist(), CLASSES)
    np.testing.assert_allclose(made, np.mean(tables, axis=0, dtype=float), rtol=1e-6)


def test_val_joins_the_folds_into_one_table_of_all_curated_clips(merge, save, workplace, template):
    save(0, "val", CURATED[1::2]), save(1, "val", CURATED[0::2])
    done = merge("--split", "val").ok()
    made = table(workplace / "oof.csv")
    assert made.index.tolist() == CURATED
    np.testing.assert_allclose(made.loc[CURATED[1::2]], random_table(0, 10), rtol=1e-6)
    truth = read_corpus(template).subset("train_curated").truth
    assert f"CV lwlrap {lwlrap(truth, made.to_numpy()):.4f} over 20 clips" in done.out
    expected, done = balance(made.to_numpy()), merge("--split", "val", "--balance")
    np.testing.assert_allclose(table(workplace / "oof.csv"), expected, rtol=1e-6)
    assert f"CV lwlrap, balanced {lwlrap(truth, expected):.4f} over 20 clips" in done.out


@pytest.mark.parametrize(
    ("flags", "changes", "others", "said"),
    [
        (["--allow_missing"], {"num_folds": 3}, [], ["lacks fold 2; continuing without it"]),
        ([], {}, [{"name": COPY}, {"img_cols": 99}], [f"left out {COPY}.npz, resnet18_tiny_test_32x99_16000_0-2.npz"]),
        (
            [],
            {},
            [{"seed": 5, "arch": "resnet34"}, {"name": f"old_{NAME}"}],
            [f"left out old_{NAME}.npz, resnet34_tiny_"],
        ),
    ],
)
def test_missing_folds_and_predictions_of_another_seed_or_size_are_named(
    merge, save, workplace, flags, changes, others, said
):
    save(0, **changes), save(1, **changes)
    for other in others:
        save(0, **other)
    done = merge(*flags).ok()
    assert all(text in line for text, line in zip(said, done.err.splitlines(), strict=True))
    np.testing.assert_allclose(table(workplace / "submission.csv"), MEAN, rtol=1e-6)


def test_several_runs_count_alike_whatever_their_folds(merge, save, workplace):
    save(0), save(1)
    for fold in range(3):
        save(fold, arch="mobilenet_v3_large", num_folds=3, table=random_table(10 + fold))
    merge("--run", "resnet18_16000_2", "mobilenet_v3_large_16000_3").ok()
    means = [np.mean([random_table(i) for i in seeds], axis=0) for seeds in ([0, 1], [10, 11, 12])]
    np.testing.assert_allclose(table(workplace / "submission.csv"), np.mean(means, axis=0), rtol=1e-5)


def test_two_seeds_of_one_network_in_two_folders_are_averaged(script, save, workplace):
    for fold in (0, 1):
        save(fold), save(fold, seed=9, table=random_table(10 + fold), folder="b")
    script(workplace, "merge.py", *FLAGS[:-2], "--prediction_dir", "predictions", "b").ok()
    mean = np.mean([random_table(i) for i in (0, 1, 10, 11)], axis=0)
    np.testing.assert_allclose(table(workplace / "submission.csv"), mean, rtol=1e-5)


def test_checkpoints_name_their_predictions_whatever_their_size_and_seed(script, save, workplace):
    best = [f"checkpoints/best_{fold}.pth" for fold in (0, 1)]
    for fold in (0, 1):
        save(fold, model_path=best[fold], seed=5, img_cols=99)
        save(fold, arch="mobilenet_v3_large", model_path=f"checkpoints/other_{fold}.pth")
    merge = ["merge.py", "--dataset", "tiny", "--model_path"]
    done = script(workplace, *merge, best[0], f"elsewhere/{Path(best[1]).name}")  # both are gone: names count
    assert (done.code, done.err) == (0, "")
    np.testing.assert_allclose(table(workplace / "submission.csv"), MEAN, rtol=1e-6)

    (workplace / "checkpoints").mkdir()
    (workplace / best[0]).touch()
    (workplace / "best_0.pth").touch()  # of the same name, but there and another
    for paths, words in {
        (best[0],): "resnet18_16000_2 lacks fold 1; run test.py on them",
        ("best_0.pth", best[1]): "resnet18_16000_2 lacks fold 0; run test.py on them",
        ("third.pth",): "no predictions of --dataset tiny --split test --model_path third.pth; make them with test.py",
    }.items():
        assert words in script(workplace, *merge, *paths).refused()
    script(workplace, *merge, best[0], "--allow_missing").ok()


VAL = {"split": "val"}
REFUSED = {  # what is wrong: flags, what differs in fold 0 and in fold 1, and what the one line must hold
    "clips of another split": ("--split train_noisy", {"split": "train_noisy"}, {"split": "train_noisy"},
                               "other clips than the data set's train_noisy clips"),
    "missing folds": ("", {"num_folds": 4}, {"fold": 2, "num_folds": 4}, "fold 1, 3"),
    "learning rates": ("", {"l_rate": 0.2}, {}, "l_rate"),
    "a setting of one only": ("", {"noisy_weight": 0.5}, {}, "noisy_weight"),
    "another class": ("", {}, {"class_names": [*CLASSES[:3], "Yap"]}, "another class list .*Whistle"),
    "too few clips": ("", {}, {"fnames": TESTS[:5]}, "test05.wav"),
    "an unknown clip": ("", {}, {"fnames": [*TESTS, "other.wav"]}, "other.wav"),
    "a clip held out twice": ("--split val", VAL | {"fnames": CURATED[:11]}, VAL | {"fnames": CURATED[10:]},
                              "both held out ated10.wav"),
    "an unknown held-out clip": ("--split val", VAL | {"fnames": CURATED[:10]},
                                 VAL | {"fnames": [*CURATED[10:], "other.wav"]}, "other.wav"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_together_is_refused(merge, save, workplace, case):
    flags, first, second, line = REFUSED[case]
    save(**{"fold": 0} | first), save(**{"fold": 1} | second)
    assert re.search(line, merge(*flags.split()).refused())
    assert not list(workplace.glob("*.csv"))


def test_no_predictions_and_files_that_are_none_are_refused(merge, workplace):
    said = "no predictions of --dataset tiny --img_rows 32 --img_cols 64 --seed 1234 --split test; make them with"
    (workplace / "predictions").mkdir()
    for line in (said, "x_tiny_test_1x1_1_0-1.npz"):
        assert line in merge().refused()
        (workplace / "predictions" / "x_tiny_test_1x1_1_0-1.npz").write_text("nonsense")


def test_two_runs_need_a_choice_of_those_that_are_there(merge, save):
    for arch in ("resnet18", "mobilenet_v3_large"):
        save(0, arch=arch), save(1, arch=arch)
    for flags, line in (
        ([], "--run mobilenet_v3_large_16000_2 resnet18_16000_2"),
        (["--run", "vgg_16000_2"], "vgg_16000_2: there are only mobilenet_v3_large_16000_2, resnet18_16000_2"),
    ):
        assert line in merge(*flags).refused(2)
    merge("--run", "resnet18_16000_2").ok()


def test_merging_and_the_report_need_no_torch(process, tmp_path, request):
    check = "import merge, report, sys; print(sorted({'torch', 'librosa'} & set(sys.modules)))"
    done = process(tmp_path, sys.executable, "-c", check, PYTHONPATH=str(request.config.rootpath))
    assert (done.out, done.err) == ("[]\n", "")


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_averaged_is_said_and_never_nan(merge, save):
    """Of so few clips no class can be told apart within a fold."""
    for fold in (0, 1):
        save(fold, "val", CURATED[fold : fold + 1])
    done = merge("--split", "val").ok()
    text = done.out + done.err
    assert "nan" not in text.lower()
    assert "Warning" not in text
    for words in ("over 2 of 20 clips", ", of no fold alone", "none of their clips was held out and predicted"):
        assert words in text


def test_runs_that_have_no_clip_in_common_are_refused(merge, save):
    save(0, "val", CURATED[:10]), save(1, "val", CURATED[10:], arch="mobilenet_v3_large")
    runs = ["--run", "resnet18_16000_2", "mobilenet_v3_large_16000_2"]
    refused = merge("--split", "val", "--allow_missing", *runs)
    assert refused.code == 1
    assert "no clip of val was predicted by every run, so there is nothing to average" in refused.err
