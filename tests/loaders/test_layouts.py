"""FSDKaggle2019 and folders of labels, and tables as strangers write them: blanks, index columns, accents, mistakes."""

import os
import unicodedata

import numpy as np
import pytest

from loaders.clip_features import locate
from loaders.layouts import read_corpus
from loaders.layouts.tables import read_sample
from tests.published import labels
from utils.errors import UserError

SAMPLE = "fname,Bark,Hum,Meow\nt2.wav,0,0,0\nt1.wav,0,0,0\n"
CURATED = 'fname,labels\nc1.wav,Bark\nc2.wav,"Meow,Hum"\n'
NOISY = "fname,labels\nn1.wav,Hum\n"
ANSWERS = 'fname,labels,usage\nt1.wav,Hum,Public\nt2.wav,"Bark,Meow",Private\n'
NAMES = ["train_curated", "train_noisy", "test"]
CLASSES = ["Bark", "Hum", "Meow"]
NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def kaggle(root, **changes):
    """Kaggle's layout, with files changed, added, or (None) left out; a key is a file name without .csv."""
    files = {"sample_submission": SAMPLE, "train_curated": CURATED, "train_noisy": NOISY} | changes
    return write(root, {f"{name}.csv": text for name, text in files.items() if text is not None})


def zenodo(root, vocabulary="0,Bark,/m/1\n1,Hum,/m/2\n2,Meow,/m/3\n"):
    files = {"train_curated": CURATED, "train_noisy": NOISY, "test": ANSWERS}
    meta = {f"{name}_post_competition.csv": text for name, text in files.items()} | {"vocabulary.csv": vocabulary}
    return write(root, {f"FSDKaggle2019.meta/{name}": text for name, text in meta.items()})


def folders(root, *paths):
    return write(root, dict.fromkeys(paths, b"RIFF"))


def test_kaggles_layout(tmp_path):
    corpus = read_corpus(kaggle(tmp_path))
    assert corpus.class_names == CLASSES
    assert labels(corpus, "train_curated") == {"c1.wav": ["Bark"], "c2.wav": ["Hum", "Meow"]}
    assert labels(corpus, "train_noisy") == {"n1.wav": ["Hum"]}
    assert corpus.subset("test").fnames == ["t2.wav", "t1.wav"]
    assert [corpus.subset(name).folder for name in NAMES] == [tmp_path / name for name in NAMES]
    truth = corpus.subset("train_curated").truth_of(["c2.wav", "c1.wav"])
    np.testing.assert_array_equal(truth, [[False, True, True], [True, False, False]])


@pytest.mark.parametrize("noisy", [None, "fname,labels\n"])
def test_the_noisy_set_may_be_absent_or_empty(tmp_path, noisy):
    corpus = read_corpus(kaggle(tmp_path, train_noisy=noisy))
    assert list(corpus.subsets) == ["train_curated", "test"]
    with pytest.raises(UserError, match=r"no train_noisy clips; it has train_curated, test"):
        corpus.subset("train_noisy")


@pytest.mark.parametrize(
    ("answers", "usage"),
    [(ANSWERS + "t9.wav,Hum,Public\n", ["Private", "Public"]),
     ('fname,labels\nt1.wav,Hum\nt2.wav,"Bark,Meow"\n', None)],
)  # fmt: skip
def test_answers_are_put_in_the_order_of_the_sample_submission(tmp_path, answers, usage):
    corpus = read_corpus(kaggle(tmp_path, test_post_competition=answers))
    assert corpus.subset("test").fnames == ["t2.wav", "t1.wav"]
    assert labels(corpus, "test") == {"t2.wav": ["Bark", "Meow"], "t1.wav": ["Hum"]}
    given = corpus.subset("test").usage
    assert (None if given is None else given.tolist()) == usage


def test_zenodos_layout(tmp_path):
    corpus = read_corpus(zenodo(tmp_path))
    assert corpus.class_names == CLASSES
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
    assert read_corpus(zenodo(tmp_path, vocabulary)).class_names == CLASSES


BLANKS = {
    "in the header of the classes": (SAMPLE.replace(",", ", "), CURATED),
    "after every comma": (SAMPLE, 'fname, labels\nc1.wav, Bark\nc2.wav, "Meow, Hum"\n'),
    "before every comma": (SAMPLE.replace(",", " ,"), 'fname ,labels \nc1.wav,Bark \nc2.wav,"Meow ,Hum "\n'),
    "byte-order marks and CRLF": (f"\ufeff{SAMPLE}", "\ufeff" + CURATED.replace("\n", "\r\n")),
    "pandas' index": (",fname,Bark,Hum,Meow\n0,t2.wav,0,0,0\n1,t1.wav,0,0,0\n", CURATED),
    "of a shuffled table": (",fname,Bark,Hum,Meow\n7,t2.wav,0,0,0\n3,t1.wav,0,0,0\n", CURATED),
    "read and written again": ("Unnamed: 0,fname,Bark,Hum,Meow\n0,t2.wav,0,0,0\n1,t1.wav,0,0,0\n", CURATED),
    "a comma at each line's end": (SAMPLE.replace("\n", ",\n"), CURATED.replace("\n", ",\n")),
}


@pytest.mark.parametrize("kind", BLANKS)
def test_blanks_marks_and_columns_that_hold_nothing_change_nothing(tmp_path, kind):
    sample, curated = BLANKS[kind]
    corpus = read_corpus(kaggle(tmp_path, sample_submission=sample, train_curated=curated))
    assert corpus.class_names == CLASSES
    assert labels(corpus, "train_curated") == {"c1.wav": ["Bark"], "c2.wav": ["Hum", "Meow"]}
    curated = corpus.subset("train_curated")
    assert (curated.usage, curated.folds, curated.groups) == (None, None, None)
    assert [fname.strip() for fname in corpus.subset("test").fnames] == ["t2.wav", "t1.wav"]


def test_classes_and_files_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    tables = {"sample_submission": "fname,1,None,NA\n007,0,0,0\n", "train_curated": 'fname,labels\n1e3,"1,None,NA"\n'}
    corpus = read_corpus(kaggle(tmp_path, **tables, train_noisy=None))
    assert corpus.class_names == ["1", "None", "NA"]
    assert corpus.subset("test").fnames == ["007"]
    assert labels(corpus, "train_curated") == {"1e3": ["1", "None", "NA"]}


def test_a_header_without_rows_has_its_columns(tmp_path):
    (tmp_path / "x.csv").write_text(",fname,A,B\n")
    assert read_sample(tmp_path / "x.csv") == (["A", "B"], [])


def curated(rows):
    return {"train_curated": CURATED + rows}


def sample(header, columns=4):
    zeros = ",0" * columns
    return {"sample_submission": f"fname,{header}\nt2.wav{zeros}\nt1.wav{zeros}\n"}


MISTAKES = [  # tables of Kaggle's layout, or a vocabulary of Zenodo's, and what is said of them
    (curated("c3.wav,Moo\n"), "train_curated.csv, clip c3.wav: the label 'Moo' is not in the class list"),
    (curated('c3.wav,"Bark,"\n'), "train_curated.csv, clip c3.wav: .*empty"),
    (curated("c3.wav,\n"), "train_curated.csv, clip c3.wav: .*empty"),
    (curated(",Hum\n"), "line 4 has no file name"),
    (curated("c3.wav,Bark,Hum\n"), "train_curated.csv"),
    ({"train_curated": "fname,labels\nc1.wav,Bark,Hum\nc2.wav,Meow,Hum\n"},
     "train_curated.csv.* Expected 2 fields in line 2, saw 3"),
    ({"train_curated": "fname,labels,labels\nc1.wav,Bark,Hum\n"}, "two columns 'labels'"),
    ({"train_curated": "fname,labels,fold,fold\nc1.wav,Bark,1,1\n"}, "two columns 'fold'"),
    ({"train_curated": ""}, "train_curated.csv: not a CSV"),
    ({"train_curated": b"\xff\xfe\x00\x01"}, "train_curated.csv: has no column 'fname'"),
    ({"sample_submission": SAMPLE + "t1.wav,0,0,0\n"}, "sample_submission.csv: lists t1.wav more than once"),
    ({"train_noisy": "fname,tags\nn1.wav,Hum\n"}, "train_noisy.csv.* 'labels' .*fname, tags"),
    (sample("Bark,Hum,Meow,Moo"), "'Moo' has no training clip"),
    (sample("Bark", 1) | {"train_curated": "fname,labels\nc1.wav,Bark\n", "train_noisy": None},
     "at least 2 classes"),
    (sample("Bark,Hum,Meow,Hum"), "names a class twice: 'Hum'"),
    (sample(f"Bark,Hum,Meow,{NFC},{NFD}", 5), "names a class twice"),
    (sample("Bark,,Hum,Meow"), "sample_submission.csv: column 3 has no name"),
    (sample("Bark,Hum,Meow,"), "sample_submission.csv: column 5 has no name"),
    (sample('"Bark, loud",Hum,Meow,Moo'), "'Bark, loud' holds a comma.*commas separate labels"),
    ({"sample_submission": None}, "sample_submission.csv does not exist"),
    ({"test_post_competition": "fname,labels\nt1.wav,Hum\n"}, "no answer for t2.wav"),
    ({"vocabulary": "Bark\nHum\nMeow\nHum\n"}, "names a class twice"),
    ({"vocabulary": '0,Bark\n1,"Speech, male"\n'}, "vocabulary.csv: the class 'Speech, male' holds a comma"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_mistake_in_a_csv_is_named(tmp_path, changes, message):
    write = zenodo if "vocabulary" in changes else kaggle
    with pytest.raises(UserError, match=message):
        read_corpus(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("stray", "message"),
    [("train/Empty/notes.txt", "'Empty' has no training clip"),
     ("train/stray.wav", r"stray\.wav is in no label's folder"),
     (os.fsdecode(b"train/A/caf\xe9.wav"), "not UTF-8")],
    ids=["empty", "stray", "not UTF-8"],
)  # fmt: skip
def test_a_mistake_in_folders_is_named(tmp_path, stray, message):
    try:
        folders(tmp_path, "train/A/a.wav", "train/B/b.wav", stray)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match=message):
        read_corpus(tmp_path)


def test_a_folder_that_is_missing_or_has_nothing_recognisable_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist; set data_path"):
        read_corpus(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"train_curated.csv, FSDKaggle2019.meta, .*meta/esc50.csv, .*, train;"):
        read_corpus(write(tmp_path, {"readme": b""}))


@pytest.mark.parametrize(("listed", "given"), [(NFC, NFD), (NFD, NFC)])
def test_labels_and_answers_spelt_in_two_ways_are_the_same(tmp_path, listed, given):
    tables = {
        "sample_submission": f"fname,Bark,{listed}\n{listed}.wav,0,0\n",
        "train_curated": f'fname,labels\nc1.wav,Bark\nc2.wav,"Bark,{given}"\n',
        "test_post_competition": f"fname,labels\n{given}.wav,{given}\n",
    }
    corpus = read_corpus(kaggle(tmp_path, **tables, train_noisy=None))
    assert labels(corpus, "train_curated") == {"c1.wav": ["Bark"], "c2.wav": ["Bark", listed]}
    assert labels(corpus, "test") == {f"{listed}.wav": [listed]}


@pytest.mark.parametrize(("on_disk", "listed"), [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
def test_files_are_found_however_their_accents_are_spelt(tmp_path, on_disk, listed):
    file = folders(tmp_path, f"{on_disk}/{NFD}.wav") / on_disk / f"{NFD}.wav"
    for name in (NFC, NFD):
        assert locate(tmp_path, f"{listed}/{name}.wav").samefile(file)


def test_of_two_files_that_look_alike_the_one_as_it_is_spelt_is_taken(tmp_path):
    write(tmp_path, {name: name for name in (NFC, NFD)})
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes them for one")
    assert [locate(tmp_path, name).read_text() for name in (NFC, NFD)] == [NFC, NFD]


OWN = 'fname,labels\na.wav,"Bark,Hum"\nb.wav,Hum\n'
SAVED = {  # by a program: bytes of a table of two clips
    "UTF-16": OWN.encode("utf-16"),
    "UTF-16 with CRLF": OWN.replace("\n", "\r\n").encode("utf-16"),
    "semicolons": b"fname;labels\na.wav;Bark,Hum\nb.wav;Hum\n",
    "quoted, with semicolons and a mark": b'\xef\xbb\xbf"fname";"labels"\n"a.wav";"Bark,Hum"\n"b.wav";"Hum"\n',
    "tabs": b"fname\tlabels\na.wav\tBark,Hum\nb.wav\tHum\n",
    "all in quotes": b'"fname","labels"\n"a.wav","Bark,Hum"\n"b.wav","Hum"\n',
    "labels in further quotes": b"""fname,labels\na.wav,"'Bark', 'Hum'"\nb.wav,'Hum'\n""",
    "doubled quotes": b'''fname,labels\na.wav,"""Bark"",""Hum"""\nb.wav,"""Hum"""\n''',
    "a row per label": b"fname,labels\na.wav,Bark\nb.wav,Hum\na.wav,Hum\n",
    "the same row twice": OWN.encode() + b"b.wav,Hum\n",
}


@pytest.mark.parametrize("kind", SAVED)
def test_tables_are_read_as_programs_save_them(tmp_path, kind):
    corpus = read_corpus(write(tmp_path, {"train.csv": SAVED[kind]}))
    assert corpus.class_names == ["Bark", "Hum"]
    assert labels(corpus, "train_curated") == {"a.wav": ["Bark", "Hum"], "b.wav": ["Hum"]}
    joined = {
        "a row per label": ("3 rows are joined into 2 clips",),
        "the same row twice": ("3 rows are joined into 2 clips",),
    }
    assert corpus.subset("train_curated").remarks == joined.get(kind, ())


def test_a_published_layout_is_recognised_however_its_table_was_saved(tmp_path):
    table = "fname;label;manually_verified\na;Bark;1\nb;Hum;0\n"
    for encoding in ("utf-8-sig", "utf-16"):
        files = {"train.csv": table.encode(encoding), "sample_submission.csv": b"fname,label\nx,Hum\n"}
        assert list(read_corpus(write(tmp_path / encoding, files)).subsets) == ["train_curated", "train_noisy", "test"]


BLANK = ["", "NA", "nan", "NaN", "n/a", "N/A", "None", "null"]
ODD_TABLES = {  # a table of clips and labels with further columns -> folds, groups, remarks; or what is refused
    "fold -1": ("fold", ["0", "1", "-1", "-1"], [0, 1, -1, -1], None,
                ("2 clips have no fold, so they are always trained on",)),
    "fold -1.0": ("fold", ["0.0", "1.0", "-1.0", ""], [0, 1, -1, -1], None,
                  ("2 clips have no fold, so they are always trained on",)),
    "fold NA": ("fold", ["a", "b", "NA", "nan"], [0, 1, -1, -1], None,
                ("2 clips have no fold, so they are always trained on",)),
    "fold -1 alone": ("fold", ["-1"] * 4, "names no fold", None, ()),
    **{f"group {none!r}": ("group", ["g", none, none, "h"], None, ["g", "", "", "h"], ("2 clips have no group",))
       for none in BLANK},
    "groups": ("group", ["g", "g", "h", "i"], None, ["g", "g", "h", "i"], ()),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_TABLES)
def test_what_people_write_for_no_value_is_taken_as_meant(tmp_path, case):
    column, values, folds, groups, remarks = ODD_TABLES[case]
    rows = "".join(f"{i}.wav,{'AB'[i % 2]},{value}\n" for i, value in enumerate(values))
    write(tmp_path, {"train.csv": f"fname,labels,{column}\n{rows}"})
    if isinstance(folds, str):
        with pytest.raises(UserError, match=folds):
            read_corpus(tmp_path)
        return
    curated = read_corpus(tmp_path).subset("train_curated")
    assert [None if k is None else k.tolist() for k in (curated.folds, curated.groups)] == [folds, groups]
    assert curated.remarks == remarks


HEAD = "fname,labels,fold,group\n"
ROWS = {  # of a table -> what is read of clip a.wav, or what is refused
    "joined": ("a.wav,A,0,g\nb.wav,A,1,h\na.wav,B,0,g\n", (["A", "B"], 0, "g")),
    "no value, written in two ways": ("a.wav,A,-1,NA\nb.wav,A,1,h\nc.wav,A,2,h\na.wav,B,,\n", (["A", "B"], -1, "")),
    "other folds": ("a.wav,A,0,g\nb.wav,A,1,h\na.wav,B,1,g\n",
                    "train.csv: the rows of a.wav differ in fold; give all of them the same"),
    "other groups": ("a.wav,A,0,g\nb.wav,A,1,h\na.wav,B,0,\n",
                     "train.csv: the rows of a.wav differ in group; give all of them the same"),
    "the header again": ("a.wav,A,0,g\n\nb.wav,B,1,h\n" + HEAD + "c.wav,B,0,g\n",
                         "train.csv: line 5 is the header again; delete that line"),
    "the header with a mark": ("a.wav,A,0,g\nb.wav,B,1,h\n\ufeff" + HEAD, "train.csv: line 4 is the header again"),
    "an empty name": ("a.wav,A,0,g\nb.wav,B,1,h\na.wav,B,0,g\n,B,0,g\n", "train.csv: line 5 has no file name"),
    "a class called fname": ("a.wav,fname,0,g\nb.wav,B,1,h\n", "a class is called 'fname', .* rename it"),
    "NUL bytes": ("a.wav,A\0,0,g\n", "neither UTF-8 nor UTF-16 with a byte-order mark; save it as UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_rows_of_one_clip_are_joined_where_they_agree_and_refused_where_they_do_not(tmp_path, case):
    rows, expected = ROWS[case]
    write(tmp_path, {"train.csv": HEAD + rows})
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            read_corpus(tmp_path)
        return
    corpus = read_corpus(tmp_path)
    curated = corpus.subset("train_curated")
    row = curated.fnames.index("a.wav")
    assert (labels(corpus, "train_curated")["a.wav"], curated.folds[row], curated.groups[row]) == expected
    assert curated.remarks[0].endswith(f"joined into {len(curated.fnames)} clips")


def test_answers_of_a_test_set_whose_rows_differ_in_usage_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"test_post_competition.csv: the rows of t1.wav differ in usage"):
        read_corpus(kaggle(tmp_path, test_post_competition=ANSWERS + "t1.wav,Bark,Private\n"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("content", ["fname,labels", "labels,fname"])
def test_latin_1_is_refused_with_the_remedy(tmp_path, content, end):
    write(tmp_path, {"train.csv": f"{content}{end}T\u00fcr,x{end}".encode("latin-1")})
    with pytest.raises(
        UserError, match=r"train.csv: not a CSV that can be read: it is neither UTF-8 .*; save it as UTF-8"
    ):
        read_corpus(tmp_path)
