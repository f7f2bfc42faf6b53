"""Each published layout, read from a tiny data set that has its quirks."""

import re

import numpy as np
import pytest

from loaders.layouts import read_corpus
from tests.published import KINDS, PUBLISHED, labels, publish
from utils.errors import UserError


@pytest.fixture
def read(tmp_path):
    return lambda name: read_corpus(publish(tmp_path, name))


METRICS = {
    "fsdkaggle2018": ["mAP@3", "accuracy"],
    "fsdkaggle2018_of_kaggle": ["mAP@3", "accuracy"],
    "fsdnoisy18k": ["accuracy"],
    "fsd50k": ["mAP", "d-prime"],
    "esc50": ["accuracy"],
    "urbansound8k": ["accuracy"],
    "own_csv": ["mAP", "d-prime"],
    "folders": ["accuracy"],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_clip_that_is_named_is_there_and_the_metrics_are_those_of_the_data(read, name):
    corpus = read(name)
    named = [subset.folder / fname for subset in corpus.subsets.values() for fname in subset.fnames]
    assert len(named) >= 12
    assert all(path.is_file() for path in named), named
    assert corpus.metrics == METRICS[name]


def test_fsdkaggle2018(read):
    corpus = read("fsdkaggle2018")
    assert corpus.class_names == KINDS
    assert list(labels(corpus, "train_noisy")) == ["a06.wav", "a07.wav", "a08.wav"]
    assert labels(corpus, "train_curated")["a10.wav"] == ["Rain"]
    assert corpus.subset("test").usage.tolist() == ["Public", "Private"] * 2
    assert labels(corpus, "test")["b2.wav"] == ["Whistle"]
    assert corpus.subset("train_noisy").groups.tolist() == ["6", "7", "8"]
    assert corpus.subset("train_curated").groups[6] == "7"
    assert corpus.labels_in_submission == 0


def test_fsdkaggle2018_of_kaggle(read):
    corpus = read("fsdkaggle2018_of_kaggle")
    assert (len(corpus.subset("train_curated").fnames), len(corpus.subset("train_noisy").fnames)) == (9, 3)
    assert corpus.subset("test").fnames == ["b2.wav", "b0.wav", "b1.wav"]
    assert corpus.subset("test").truth is None
    assert corpus.labels_in_submission == 3


def test_fsdnoisy18k(read):
    corpus = read("fsdnoisy18k")
    assert list(labels(corpus, "train_curated")) == [f"{900 + i}.wav" for i in range(6)]
    assert labels(corpus, "train_noisy")["907.wav"] == ["Rain"]
    assert labels(corpus, "test") == {"0.wav": ["Hum"], "1.wav": ["Rain"], "2.wav": ["Whistle"], "3.wav": ["Hum"]}


def test_fsd50k(read):
    corpus = read("fsd50k")
    assert corpus.class_names == ["Hum", "Noise", "Rain", "Whistle"]
    assert labels(corpus, "train_curated")["64761.wav"] == ["Noise", "Rain"]
    assert corpus.subset("train_curated").folds.tolist() == [-1] * 8 + [0] * 4
    assert labels(corpus, "test")["1.wav"] == ["Noise", "Whistle"]


def test_esc50(read):
    corpus = read("esc50")
    assert corpus.class_names == ["crow", "hum", "rain"], "in the order of their targets"
    curated = corpus.subset("train_curated")
    assert curated.folds.tolist() == [0, 1] * 6
    assert labels(corpus, "train_curated")["1-100-A-40.wav"] == ["rain"]
    assert curated.groups[0] == curated.groups[6] == "100"
    assert list(corpus.subsets) == ["train_curated"]


def test_urbansound8k(read):
    corpus = read("urbansound8k")
    assert corpus.class_names == ["siren", "air_conditioner"], "in the order of classID"
    curated = corpus.subset("train_curated")
    assert curated.fnames[:3] == ["fold1/500-0-0-0.wav", "fold1/500-1-0-1.wav", "fold1/501-0-0-0.wav"]
    assert curated.fnames[4] == "fold2/502-0-0-0.wav"
    assert curated.folds.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert curated.groups[:3].tolist() == ["500", "500", "501"]


def test_own_csv(read):
    corpus = read("own_csv")
    assert corpus.class_names == ["Hum", "Loud", "Rain", "Whistle"]
    assert labels(corpus, "train_curated")["a04.wav"] == ["Loud", "Rain"]
    assert corpus.subset("train_curated").folds.tolist() == [0, 1] * 6
    assert corpus.subset("train_curated").groups[5] == "site 1"
    assert corpus.subset("test").fnames == ["deep/y.wav", "x.wav"]


@pytest.mark.parametrize(
    ("table", "folds"),
    [('fname,labels\na.wav,A\nb.wav,"B,A"\n', None),
     ("fname,labels,fold\na,A,10\nb,B,9\nc,A,\nd,B,10\n", [1, 0, -1, 1])],
)  # fmt: skip
def test_own_csv_needs_no_folds_and_numbers_them_by_value_where_a_clip_may_have_none(tmp_path, table, folds):
    (tmp_path / "train.csv").write_text(table)
    corpus = read_corpus(tmp_path)
    assert list(corpus.subsets) == ["train_curated"]
    curated = corpus.subset("train_curated")
    assert (None if curated.folds is None else curated.folds.tolist()) == folds
    assert curated.groups is None


def test_own_csv_takes_classes_and_test_clips_from_a_sample_where_there_is_one(tmp_path):
    publish(tmp_path, "own_csv")
    (tmp_path / "sample_submission.csv").write_text("fname,Whistle,Rain,Loud,Hum\nx.wav,0,0,0,0\n")
    corpus = read_corpus(tmp_path)
    assert corpus.class_names == ["Whistle", "Rain", "Loud", "Hum"]
    assert labels(corpus, "train_curated")["a04.wav"] == ["Rain", "Loud"]
    assert corpus.subset("test").fnames == ["x.wav"]


def test_a_label_with_a_comma_is_one_label_where_clips_have_one(tmp_path):
    (tmp_path / "train.csv").write_text('fname,label,manually_verified\na,"Wind, strong",1\nb,Rain,1\n')
    (tmp_path / "sample_submission.csv").write_text("fname,label\nx,Rain\n")
    assert read_corpus(tmp_path).class_names == ["Rain", "Wind, strong"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in ("fsdkaggle2018_of_kaggle", "folders")])
def test_line_ends_and_byte_order_marks_change_nothing(tmp_path, name, end):
    plain = read_corpus(publish(tmp_path / "plain", name))
    for table in publish(tmp_path / "other", name).rglob("*.csv"):
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", end.encode()))
    other = read_corpus(tmp_path / "other")
    assert other.class_names == plain.class_names
    for split, subset in plain.subsets.items():
        assert other.subsets[split].fnames == subset.fnames
        np.testing.assert_array_equal(other.subsets[split].truth, subset.truth)


MISTAKES = {
    ("fsdkaggle2018", "FSDKaggle2018.meta/train_post_competition.csv"): [
        ("a04.wav,Rain,1", "a04.wav,Rain,yes", "line 6 has manually_verified 'yes'; it must be 1 or 0"),
        ("a04.wav,Rain,1", "a04.wav,,1", "a04.wav: a label is empty"),
        ("a04.wav", "a03.wav", "lists a03.wav more than once"),
    ],
    ("fsdnoisy18k", "FSDnoisy18k.meta/test.csv"): [("1.wav,Rain", "1.wav,Snow", "1.wav: the label 'Snow' is not in")],
    ("fsd50k", "FSD50K.ground_truth/dev.csv"): [
        (",val", ",test", "64768.wav|64768: split is 'test'"),
        ("Rain,Noise", "Rain,Buzz", "'Buzz' is not in the class list"),
    ],
    ("esc50", "meta/esc50.csv"): [
        ("1,40,rain", "1,39,rain", "has one target|a class has one"),
        ("1,40,rain", "1,x,rain", "a class has one|no whole number"),
        ("filename", "name", "no column 'filename'"),
    ],
    ("urbansound8k", "metadata/UrbanSound8K.csv"): [("500-1-0-1.wav", "500-0-0-0.wav", "more than once")],
    ("own_csv", "train.csv"): [
        ("fname,labels", "fname,tags", "no column 'labels'"),
        ("north|south", "", "names no fold"),
        ("north|south", "1", "in fold 1; none is left"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "table", "old", "new", "message"),
    [(*where, *mistake) for where, mistakes in MISTAKES.items() for mistake in mistakes],
)
def test_a_mistake_is_named_with_its_table(tmp_path, name, table, old, new, message):
    path = publish(tmp_path, name) / table
    text, times = re.subn(old, new, path.read_text(), count=0 if "|" in old else 1)
    assert times
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_corpus(tmp_path)
    assert str(path) in str(error.value)
