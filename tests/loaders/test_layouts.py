"""The three layouts of a data set on disk, and what is said about a folder that has none of them."""

import os

import numpy as np
import pytest

from loaders.clip_features import locate
from loaders.layouts import read_corpus
from utils.errors import UserError

SAMPLE = "fname,Bark,Hum,Meow\nt2.wav,0,0,0\nt1.wav,0,0,0\n"
CURATED = 'fname,labels\nc1.wav,Bark\nc2.wav,"Meow,Hum"\n'
NOISY = "fname,labels\nn1.wav,Hum\n"
ANSWERS = 'fname,labels,usage\nt1.wav,Hum,Public\nt2.wav,"Bark,Meow",Private\n'


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def kaggle(root, **changes):
    """Kaggle's layout, with files changed, added, or (None) left out; a key is a file name without .csv."""
    files = {"sample_submission": SAMPLE, "train_curated": CURATED, "train_noisy": NOISY} | changes
    return write(root, **{f"{name}.csv": text for name, text in files.items() if text is not None})


def zenodo(root, vocabulary="0,Bark,/m/1\n1,Hum,/m/2\n2,Meow,/m/3\n", **changes):
    files = {"train_curated": CURATED, "train_noisy": NOISY, "test": ANSWERS} | changes
    meta = {f"{name}_post_competition.csv": text for name, text in files.items() if text is not None}
    return write(root, **{f"FSDKaggle2019.meta__{k}": v for k, v in {"vocabulary.csv": vocabulary, **meta}.items()})


def folders(root, *paths):
    return write(root, **dict.fromkeys([path.replace("/", "__") for path in paths], b"RIFF"))


def labels(corpus, split):
    """{clip: its labels}."""
    subset = corpus.subset(split)
    rows = zip(subset.fnames, subset.truth, strict=True)
    return {fname: [n for n, true in zip(corpus.class_names, row, strict=True) if true] for fname, row in rows}


def test_kaggles_layout(tmp_path):
    corpus = read_corpus(kaggle(tmp_path))
    assert corpus.class_names == ["Bark", "Hum", "Meow"]
    assert labels(corpus, "train_curated") == {"c1.wav": ["Bark"], "c2.wav": ["Hum", "Meow"]}
    assert labels(corpus, "train_noisy") == {"n1.wav": ["Hum"]}
    assert corpus.subset("test").fnames == ["t2.wav", "t1.wav"]
    assert corpus.subset("test").truth is None
    assert {split: subset.folder for split, subset in corpus.subsets.items()} == {
        split: tmp_path / split for split in ("train_curated", "train_noisy", "test")
    }


def test_the_noisy_set_may_be_absent(tmp_path):
    corpus = read_corpus(kaggle(tmp_path, train_noisy=None))
    assert list(corpus.subsets) == ["train_curated", "test"]
    with pytest.raises(UserError, match=r"no train_noisy clips; it has train_curated, test"):
        corpus.subset("train_noisy")


def test_answers_are_put_in_the_order_of_the_sample_submission(tmp_path):
    extra = ANSWERS + "t9.wav,Hum,Public\n"
    corpus = read_corpus(kaggle(tmp_path, test_post_competition=extra))
    assert labels(corpus, "test") == {"t2.wav": ["Bark", "Meow"], "t1.wav": ["Hum"]}
    assert corpus.subset("test").usage.tolist() == ["Private", "Public"]


def test_answers_without_usage_are_taken(tmp_path):
    corpus = read_corpus(kaggle(tmp_path, test_post_competition="fname,labels\nt1.wav,Hum\nt2.wav,Bark\n"))
    assert corpus.subset("test").usage is None
    assert labels(corpus, "test") == {"t2.wav": ["Bark"], "t1.wav": ["Hum"]}


def test_zenodos_layout(tmp_path):
    corpus = read_corpus(zenodo(tmp_path))
    assert corpus.class_names == ["Bark", "Hum", "Meow"]
    assert labels(corpus, "train_curated") == {"c1.wav": ["Bark"], "c2.wav": ["Hum", "Meow"]}
    assert labels(corpus, "test") == {"t1.wav": ["Hum"], "t2.wav": ["Bark", "Meow"]}
    assert corpus.subset("test").usage.tolist() == ["Public", "Private"]
    assert corpus.subset("train_noisy").folder == tmp_path / "FSDKaggle2019.audio_train_noisy"


@pytest.mark.parametrize(
    "vocabulary",
    [
        "Bark\nHum\nMeow\n",
        "label\nBark\nHum\nMeow\n",
        "0,Bark\n1,Hum\n2,Meow\n",
        "index,label\n0,Bark\n1,Hum\n2,Meow\n",
        ",label\n0,Bark\n1,Hum\n2,Meow",
        "Bark,/m/1\nHum,/m/2\nMeow,/m/3\n",
        "\ufeff0,Bark,/m/1\r\n1,Hum,/m/2\r\n2,Meow,/m/3\r\n",
    ],
)
def test_zenodos_vocabulary_with_and_without_header_and_index(tmp_path, vocabulary):
    assert read_corpus(zenodo(tmp_path, vocabulary)).class_names == ["Bark", "Hum", "Meow"]


def test_folders_of_labels(tmp_path):
    root = folders(tmp_path, "train/Hum/b.wav", "train/Hum/deep/a.FLAC", "train/Bark/a.ogg", "test/x.wav")
    root = folders(root, "train/Hum/notes.txt", "test/y.md")
    corpus = read_corpus(root)
    assert corpus.class_names == ["Bark", "Hum"]
    assert labels(corpus, "train_curated") == {
        "Bark/a.ogg": ["Bark"],
        "Hum/b.wav": ["Hum"],
        "Hum/deep/a.FLAC": ["Hum"],
    }
    assert corpus.subset("test").fnames == ["x.wav"]


def test_folders_without_test_clips(tmp_path):
    assert list(read_corpus(folders(tmp_path, "train/A/a.wav", "train/B/b.wav")).subsets) == ["train_curated"]


def test_byte_order_mark_crlf_and_blanks_around_labels(tmp_path):
    curated = '\ufefffname,labels\r\nc1.wav,Bark\r\nc2.wav,"Meow , Hum"\r\n'
    corpus = read_corpus(kaggle(tmp_path, sample_submission="\ufeff" + SAMPLE, train_curated=curated))
    assert corpus.class_names == ["Bark", "Hum", "Meow"]
    assert labels(corpus, "train_curated")["c2.wav"] == ["Hum", "Meow"]


def test_classes_and_files_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    sample = "fname,1,None,NA\n007,0,0,0\n"
    corpus = read_corpus(kaggle(tmp_path, sample_submission=sample, train_curated='fname,labels\n1e3,"1,None,NA"\n',
                                train_noisy=None))  # fmt: skip
    assert corpus.class_names == ["1", "None", "NA"]
    assert corpus.subset("test").fnames == ["007"]
    assert labels(corpus, "train_curated") == {"1e3": ["1", "None", "NA"]}


def test_truth_of_takes_clips_by_name(tmp_path):
    subset = read_corpus(kaggle(tmp_path)).subset("train_curated")
    np.testing.assert_array_equal(subset.truth_of(["c2.wav", "c1.wav"]), [[False, True, True], [True, False, False]])


MISTAKES = {
    "unknown label": ({"train_curated": CURATED + "c3.wav,Moo\n"}, "train_curated.csv, clip c3.wav: .*'Moo'"),
    "empty label": ({"train_curated": CURATED + 'c3.wav,"Bark,"\n'}, "train_curated.csv, clip c3.wav: .*empty"),
    "no label": ({"train_curated": CURATED + "c3.wav,\n"}, "train_curated.csv, clip c3.wav: .*empty"),
    "duplicate name": ({"train_curated": CURATED + "c1.wav,Hum\n"}, "lists c1.wav more than once"),
    "no name": ({"train_curated": CURATED + ",Hum\n"}, "line 4 has no file name"),
    "missing column": ({"train_noisy": "fname,tags\nn1.wav,Hum\n"}, "train_noisy.csv.* 'labels' .*fname, tags"),
    "unquoted labels": ({"train_curated": "fname,labels\nc1.wav,Bark,Hum\nc2.wav,Meow,Hum\n"}, "train_curated.csv"),
    "more values than columns": ({"train_curated": CURATED + "c3.wav,Bark,Hum\n"}, "train_curated.csv"),
    "empty class": ({"sample_submission": SAMPLE.replace("Meow", "Meow,Moo")}, "'Moo' has no training clip"),
    "one class": ({"sample_submission": "fname,Bark\nt1.wav,0\n", "train_curated": "fname,labels\nc1.wav,Bark\n",
                   "train_noisy": None}, "at least 2 classes"),
    "class twice": ({"sample_submission": SAMPLE.replace("Meow", "Meow,Hum")}, "Hum"),
    "no sample submission": ({"sample_submission": None}, "sample_submission.csv does not exist"),
    "empty file": ({"train_curated": ""}, "train_curated.csv: not a CSV"),
    "binary": ({"train_curated": b"\xff\xfe\x00\x01"}, "train_curated.csv: not a CSV"),
    "answer missing": ({"test_post_competition": "fname,labels\nt1.wav,Hum\n"}, "no answer for t2.wav"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_csv_is_named(tmp_path, mistake):
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        read_corpus(kaggle(tmp_path, **changes))


def test_a_vocabulary_that_names_a_class_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="names a class twice"):
        read_corpus(zenodo(tmp_path, "Bark\nHum\nMeow\nHum\n"))


def test_a_label_folder_without_clips_is_named(tmp_path):
    root = folders(tmp_path, "train/A/a.wav", "train/B/b.wav")
    (root / "train" / "Empty").mkdir()
    with pytest.raises(UserError, match="'Empty' has no training clip"):
        read_corpus(root)


def test_a_clip_outside_of_the_label_folders_is_named(tmp_path):
    with pytest.raises(UserError, match=r"stray\.wav is in no label's folder"):
        read_corpus(folders(tmp_path, "train/A/a.wav", "train/B/b.wav", "train/stray.wav"))


def test_a_file_name_that_no_csv_can_hold_is_refused(tmp_path):
    root = folders(tmp_path, "train/A/a.wav", "train/B/b.wav")
    try:
        (root / "train" / "A" / os.fsdecode(b"caf\xe9.wav")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match="not UTF-8"):
        read_corpus(root)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist; set data_path"):
        read_corpus(tmp_path / "nowhere")


def test_a_folder_with_nothing_recognisable_lists_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"train_curated.csv, FSDKaggle2019.meta, .*meta/esc50.csv, .*, train;"):
        read_corpus(write(tmp_path, readme=b""))


def test_blanks_around_the_names_of_columns_change_nothing(tmp_path):
    corpus = read_corpus(kaggle(tmp_path, sample_submission=SAMPLE.replace("fname,Bark,Hum,", "fname, Bark, Hum ,")))
    assert corpus.class_names == ["Bark", "Hum", "Meow"]


@pytest.mark.parametrize(
    "sample",
    [",fname,Bark,Hum,Meow\n0,t2.wav,0,0,0\n1,t1.wav,0,0,0\n", "fname,Bark,Hum,Meow,\nt2.wav,0,0,0,\nt1.wav,0,0,0,\n"],
)
def test_a_column_of_numbers_or_nothing_without_a_name_is_no_class(tmp_path, sample):
    corpus = read_corpus(kaggle(tmp_path, sample_submission=sample))
    assert corpus.class_names == ["Bark", "Hum", "Meow"]
    assert corpus.subset("test").fnames == ["t2.wav", "t1.wav"]


def test_a_class_without_a_name_is_refused(tmp_path):
    sample = "fname,Bark,,Hum\nt2.wav,0,0,0\nt1.wav,0,0,0\n"
    with pytest.raises(UserError, match=r"sample_submission.csv: column 3 has no name"):
        read_corpus(kaggle(tmp_path, sample_submission=sample))


def test_a_class_with_a_comma_is_named_where_commas_separate_labels(tmp_path):
    sample = 'fname,"Bark, loud",Hum,Meow\nt1.wav,0,0,0\n'
    with pytest.raises(UserError, match="'Bark, loud' holds a comma"):
        read_corpus(kaggle(tmp_path, sample_submission=sample))


@pytest.mark.parametrize(
    ("written", "on_disk"), [("caf\u00e9.wav", "cafe\u0301.wav"), ("cafe\u0301.wav", "caf\u00e9.wav")]
)
def test_accents_written_in_two_ways_are_one_name(tmp_path, written, on_disk):
    (tmp_path / on_disk).touch()
    assert os.path.exists(locate(tmp_path, written))
