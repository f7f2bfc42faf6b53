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


SINGLE, SEVERAL = ["accuracy"], ["mAP", "d-prime"]
FOUND = {  # the classes in their order, what is reported beside lwlrap, and some of what is known about clips
    "fsdkaggle2018": (KINDS, ["mAP@3", *SINGLE], {
        "train_noisy": {"a06.wav": (["Hum"], None, "6"), "a07.wav": (["Rain"], None, "7")},
        "train_curated": {"a09.wav": (["Hum"], None, "7"), "a10.wav": (["Rain"], None, "10")},
        "test": {"b2.wav": (["Whistle"], None, None)},
    }),
    "fsdkaggle2018_of_kaggle": (KINDS, ["mAP@3", *SINGLE], {
        "train_noisy": {"a09.wav": (["Hum"], None, None)}, "test": ["b2.wav", "b0.wav", "b1.wav"],
    }),
    "fsdnoisy18k": (KINDS, SINGLE, {
        "train_curated": {"900.wav": (["Hum"], None, None)},
        "train_noisy": {"907.wav": (["Rain"], None, None)},
        "test": {"0.wav": (["Hum"], None, None), "2.wav": (["Whistle"], None, None)},
    }),
    "fsd50k": (["Hum", "Noise", "Rain", "Whistle"], SEVERAL, {
        "train_curated": {"64761.wav": (["Noise", "Rain"], -1, None), "64768.wav": (["Noise", "Whistle"], 0, None)},
        "test": {"1.wav": (["Noise", "Whistle"], None, None)},
    }),
    "esc50": (["crow", "hum", "rain"], SINGLE, {"train_curated": {"1-100-A-40.wav": (["rain"], 0, "100")}}),
    "urbansound8k": (["siren", "air_conditioner"], SINGLE, {
        "train_curated": {"fold1/500-0-0-0.wav": (["siren"], 0, "500"),
                          "fold2/502-1-0-1.wav": (["air_conditioner"], 1, "502")},
    }),
    "own_csv": (["Hum", "Loud", "Rain", "Whistle"], SEVERAL, {
        "train_curated": {"a04.wav": (["Loud", "Rain"], 0, "site 0"), "a05.wav": (["Whistle"], 1, "site 1")},
        "test": ["deep/y.wav", "x.wav"],
    }),
    "folders": (KINDS, SINGLE, {}),
}  # fmt: skip


def test_the_usage_of_test_clips_is_that_of_the_table(read):
    assert read("fsdkaggle2018").subset("test").usage.tolist() == ["Public", "Private"] * 2


@pytest.mark.parametrize("name", FOUND)
def test_a_published_layout(read, name):
    corpus, (class_names, metrics, known) = read(name), FOUND[name]
    assert (corpus.class_names, corpus.metrics) == (class_names, metrics)
    named = [subset.folder / fname for subset in corpus.subsets.values() for fname in subset.fnames]
    assert len(named) >= 12
    assert all(path.is_file() for path in named), named
    for split, clips in known.items():
        subset = corpus.subset(split)
        if isinstance(clips, list):
            assert (subset.fnames, subset.truth) == (clips, None)
            continue
        for fname, (names, *others) in clips.items():
            row = subset.fnames.index(fname)
            found = [None if column is None else column[row] for column in (subset.folds, subset.groups)]
            assert (labels(corpus, split)[fname], found) == (names, others), fname
    assert corpus.labels_in_submission == 3 * (name == "fsdkaggle2018_of_kaggle")


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
