"""merge.py: folds averaged by name into a submission, and everything that is refused instead of averaged."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from loaders.layouts import read_corpus
from predicting.merging import balance
from predicting.metrics import lwlrap
from predicting.prediction_file import Predictions, save_predictions
from utils.errors import UserError

CLASSES = ["Bark", "Hum", "Rain", "Whistle"]
TESTS = [f"test{i:02}.wav" for i in range(6)]
CURATED = [f"ated{i:02}.wav" for i in range(20)]
FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234")
SETTINGS = {"arch": "resnet18", "dataset": "tiny", "img_rows": 32, "img_cols": 64, "sampling_rate": 16000,
            "num_folds": 2, "seed": 1234, "l_rate": 0.1, "tta": 8}  # fmt: skip


def random_table(fold: int, rows: int = 6) -> np.ndarray:
    return np.random.default_rng(fold).uniform(0.01, 0.99, (rows, 4)).astype(np.float32)


@pytest.fixture
def save(workplace):
    """Write a fold's predictions as test.py would; keywords change its arguments, names or probabilities."""

    def write(fold: int, split: str = "test", fnames=TESTS, class_names=CLASSES, table=None, name=None, **changes):
        args = SETTINGS | {"fold_num": fold, "split": split, "checkpoint_step": 100 + fold} | changes
        stem = "{arch}_{dataset}_{split}_{img_rows}x{img_cols}_{sampling_rate}_{fold_num}-{num_folds}".format(**args)
        table = random_table(fold, len(fnames)) if table is None else table
        path = workplace / "predictions" / f"{name or stem}.npz"
        save_predictions(path, Predictions(table, list(fnames), list(class_names), args))
        return path

    return write


@pytest.fixture
def merge(script, workplace):
    return lambda *flags: script(workplace, "merge.py", *FLAGS, *map(str, flags))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col="fname")


def test_a_submission_has_the_rows_and_columns_of_the_sample_and_the_mean_of_the_folds(
    merge, save, workplace, template
):
    save(0), save(1)
    done = merge("--split", "test")
    assert done.code == 0, done.err
    assert done.err == ""
    sample, made = table(template / "sample_submission.csv"), table(workplace / "submission.csv")
    assert made.index.tolist() == sample.index.tolist()
    assert list(made.columns) == list(sample.columns)
    np.testing.assert_allclose(made, (random_table(0) + random_table(1)) / 2, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_rows_and_columns_are_aligned_by_name(merge, save, workplace, seed):
    rng = np.random.default_rng(seed)
    for fold in range(2):
        rows, columns = rng.permutation(6), rng.permutation(4)
        shuffled = random_table(fold)[np.ix_(rows, columns)]
        save(fold, fnames=np.array(TESTS)[rows], class_names=np.array(CLASSES)[columns], table=shuffled)
    assert merge().code == 0
    made = table(workplace / "submission.csv")
    assert (made.index.tolist(), list(made.columns)) == (TESTS, CLASSES)
    np.testing.assert_allclose(made, (random_table(0) + random_table(1)) / 2, rtol=1e-6)


def test_it_never_reads_what_it_wrote_itself(merge, save, workplace):
    save(0), save(1)
    assert merge("--output", "predictions/resnet18_tiny_test_merged.csv").code == 0
    merge()
    first = (workplace / "submission.csv").read_bytes()
    merge()
    assert (workplace / "submission.csv").read_bytes() == first


def test_public_and_private_scores_of_the_mean_are_printed(merge, save, template):
    save(0), save(1)
    truth = read_corpus(template).subset("test").truth
    mean = (random_table(0).astype(float) + random_table(1)) / 2
    parts = {"public": slice(0, None, 2), "private": slice(1, None, 2), "overall": slice(None)}
    scores = "  ".join(f"{name} {lwlrap(truth[rows], mean[rows]):.4f}" for name, rows in parts.items())
    assert f"merged: lwlrap {scores}" in merge().out


def test_balance_ranks_and_scores_balanced_classes(merge, save, workplace, template):
    save(0), save(1)
    mean = (random_table(0).astype(float) + random_table(1)) / 2
    expected = balance(mean)
    done = merge("--balance")
    assert done.code == 0, done.err
    np.testing.assert_allclose(table(workplace / "submission.csv"), expected, rtol=1e-6)
    truth = read_corpus(template).subset("test").truth
    assert f"overall {lwlrap(truth, expected):.4f}" in done.out.partition("merged, balanced: ")[2]
    assert f"overall {lwlrap(truth, mean):.4f}" in done.out.partition("merged: ")[2]


def test_balance_of_the_held_out_clips_tells_what_it_is_worth(merge, save, workplace, template):
    save(0, "val", CURATED[1::2]), save(1, "val", CURATED[0::2])
    merge("--split", "val")
    plain = table(workplace / "oof.csv")
    done = merge("--split", "val", "--balance")
    expected = balance(plain.to_numpy())
    np.testing.assert_allclose(table(workplace / "oof.csv"), expected, rtol=1e-6)
    truth = read_corpus(template).subset("train_curated").truth
    assert f"CV lwlrap, balanced {lwlrap(truth, expected):.4f} over 20 clips" in done.out


def test_val_joins_the_folds_into_one_table_of_all_curated_clips(merge, save, workplace, template):
    save(0, "val", CURATED[1::2]), save(1, "val", CURATED[0::2])
    done = merge("--split", "val")
    assert done.code == 0, done.err
    made = table(workplace / "oof.csv")
    assert made.index.tolist() == CURATED
    np.testing.assert_allclose(made.loc[CURATED[1::2]], random_table(0, 10), rtol=1e-6)
    truth = read_corpus(template).subset("train_curated").truth
    assert f"CV lwlrap {lwlrap(truth, made.to_numpy()):.4f} over 20 clips" in done.out


def test_train_noisy_is_the_mean_of_the_folds_in_the_order_of_its_csv(merge, save, workplace, template):
    noisy = table(template / "train_noisy.csv").index.tolist()
    save(0, "train_noisy", noisy[::-1], table=random_table(0, 8)[::-1]), save(1, "train_noisy", noisy)
    done = merge("--split", "train_noisy")
    assert (done.code, done.out) == (0, "noisy.csv: 8 clips, 4 classes\n"), done.err
    made = table(workplace / "noisy.csv")
    assert made.index.tolist() == noisy
    np.testing.assert_allclose(made, (random_table(0, 8) + random_table(1, 8)) / 2, rtol=1e-6)


def test_noisy_predictions_of_other_clips_are_refused(merge, save):
    save(0, "train_noisy"), save(1, "train_noisy")
    refused = merge("--split", "train_noisy")
    assert refused.code == 1
    assert "other clips than the data set's train_noisy clips" in refused.error


def test_a_missing_fold_is_named_by_number(merge, save, workplace):
    save(0, num_folds=4), save(2, num_folds=4)
    refused = merge()
    assert refused.code == 1
    assert "fold 1, 3" in refused.error
    assert not (workplace / "submission.csv").exists()


def test_allow_missing_goes_on_with_the_folds_that_are_there(merge, save, workplace):
    save(0, num_folds=3), save(1, num_folds=3)
    done = merge("--allow_missing")
    assert done.code == 0
    assert "fold 2" in done.error
    np.testing.assert_allclose(table(workplace / "submission.csv"), (random_table(0) + random_table(1)) / 2, rtol=1e-6)


def test_a_fold_that_is_there_twice_is_refused_with_both_files(merge, save):
    save(0), save(1)
    copy = save(0, name="copy_tiny_test_of_fold")
    refused = merge("--allow_missing")
    assert refused.code == 1
    assert "fold 0" in refused.error
    assert copy.name in refused.error


@pytest.mark.parametrize("change", [{"l_rate": 0.2}, {"tta": 4}, {"noisy_weight": 0.5}])
@pytest.mark.parametrize("fold", [0, 1])
def test_folds_of_different_settings_are_refused(merge, save, change, fold):
    save(0, **(change if fold == 0 else {})), save(1, **(change if fold == 1 else {}))
    refused = merge()
    assert refused.code == 1
    assert next(iter(change)) in refused.error


@pytest.mark.parametrize("class_names", [[*CLASSES[:3], "Meow"], CLASSES[:3]])
def test_another_class_list_is_refused(merge, save, class_names):
    save(0), save(1, class_names=class_names, table=random_table(1)[:, : len(class_names)])
    refused = merge()
    assert refused.code == 1
    assert "class" in refused.error
    assert "Whistle" in refused.error or "Meow" in refused.error


@pytest.mark.parametrize("fnames", [TESTS[:5], [*TESTS[:5], "other.wav"]])
def test_other_clips_are_refused(merge, save, fnames):
    save(0), save(1, fnames=fnames)
    refused = merge()
    assert refused.code == 1
    assert "test05.wav" in refused.error or "other.wav" in refused.error


def test_folds_that_held_out_the_same_clip_are_refused(merge, save):
    save(0, "val", CURATED[:11]), save(1, "val", CURATED[10:])
    refused = merge("--split", "val")
    assert refused.code == 1
    assert "ated10.wav" in refused.error


def test_held_out_clips_that_the_data_set_does_not_know_are_refused(merge, save):
    save(0, "val", CURATED[:10]), save(1, "val", [*CURATED[10:], "other.wav"])
    refused = merge("--split", "val")
    assert refused.code == 1
    assert "other.wav" in refused.error


def test_two_runs_need_a_choice(merge, save, workplace):
    for arch in ("resnet18", "mobilenet_v3_large"):
        save(0, arch=arch), save(1, arch=arch)
    refused = merge()
    assert refused.code == 2
    assert "--run" in refused.error
    assert "resnet18_16000_2" in refused.error
    assert "mobilenet_v3_large_16000_2" in refused.error
    assert merge("--run", "resnet18_16000_2").code == 0


def test_several_runs_count_alike_whatever_their_folds(merge, save, workplace):
    save(0), save(1)
    for fold in range(3):
        save(fold, arch="mobilenet_v3_large", num_folds=3, table=random_table(10 + fold))
    assert merge("--run", "resnet18_16000_2", "mobilenet_v3_large_16000_3").code == 0
    means = [np.mean([random_table(i) for i in seeds], axis=0) for seeds in ([0, 1], [10, 11, 12])]
    np.testing.assert_allclose(table(workplace / "submission.csv"), np.mean(means, axis=0), rtol=1e-5)


def test_an_unknown_run_is_misuse(merge, save):
    save(0), save(1)
    refused = merge("--run", "vgg_16000_2")
    assert refused.code == 2
    assert "vgg_16000_2" in refused.error
    assert "resnet18_16000_2" in refused.error


def test_predictions_of_other_seeds_and_sizes_are_left_out_by_name(merge, save, workplace):
    save(0), save(1)
    left_out = [save(0, seed=5, name="a_tiny_test_x"), save(0, img_cols=99)]
    done = merge()
    assert done.code == 0
    assert [str(path.relative_to(workplace)) in done.err for path in left_out] == [True, True]
    np.testing.assert_allclose(table(workplace / "submission.csv"), (random_table(0) + random_table(1)) / 2, rtol=1e-6)


def test_no_predictions_at_all_tells_what_makes_them(merge):
    refused = merge()
    assert refused.code == 1
    assert "--img_cols 64" in refused.error
    assert "test.py" in refused.error


def test_a_file_that_is_no_prediction_is_refused_by_name(merge, save, workplace):
    save(0), save(1)
    (workplace / "predictions" / "x_tiny_test_y.npz").write_text("nonsense")
    refused = merge()
    assert refused.code == 1
    assert "x_tiny_test_y.npz" in refused.error


@pytest.mark.parametrize("change", [{"arch": None}, {"fold_num": "0"}, {"num_folds": 2.0}, {"sampling_rate": [1]}])
def test_predictions_that_do_not_tell_which_fold_they_are_of_are_refused(merge, save, change):
    save(0), save(1, name="x_tiny_test_y", **change)
    refused = merge()
    assert refused.code == 1
    assert f"x_tiny_test_y.npz holds no valid {next(iter(change))}" in refused.error


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_probabilities_that_are_none_are_refused(merge, save, workplace, value):
    save(0, table=np.full((6, 4), value, np.float32)), save(1, table=np.full((6, 4), value, np.float32))
    refused = merge()
    assert refused.code == 1
    assert "0 and 1" in refused.error
    assert not (workplace / "submission.csv").exists()


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("fname,a,b\nx.wav,0,1\nNA,0.5,0.25\n", True),
        ("fname,a,b\nNA,0.5,0.25\nx.wav,0,1\n", False),
        ("fname,a,b\nx.wav,0,1\n", False),
        ("fname,a,b\nx.wav,0,1\nNA,0.5,0.25\nNA,0.5,0.25\n", False),
        ("fname,b,a\nx.wav,0,1\nNA,0.5,0.25\n", False),
        ("fname,a\nx.wav,0\nNA,0.5\n", False),
        ("fname,a,b\nx.wav,0,\nNA,0.5,0.25\n", False),
        ("fname,a,b\nx.wav,0,nan\nNA,0.5,0.25\n", False),
        ("fname,a,b\nx.wav,0,inf\nNA,0.5,0.25\n", False),
        ("fname,a,b\nx.wav,0,-1e-9\nNA,0.5,0.25\n", False),
    ],
)
def test_a_table_is_read_back_before_it_is_written(module_of, text, ok):
    check = module_of("merge.py").check_table
    with nullcontext() if ok else pytest.raises(UserError):
        check(text, ["x.wav", "NA"], ["a", "b"])


def test_it_needs_no_torch(process, tmp_path, request):
    check = "import merge, sys; print(sorted({'torch', 'librosa'} & set(sys.modules)))"
    done = process(tmp_path, sys.executable, "-c", check, PYTHONPATH=str(request.config.rootpath))
    assert (done.out, done.err) == ("[]\n", "")
