"""CSVs as strangers write them: blanks in headers, index columns, commas in names, accents spelt in two ways."""

import unicodedata

import pytest

from loaders.clip_features import locate
from loaders.layouts import read_corpus
from loaders.layouts.tables import read_csv, read_sample
from loaders.spelling import find_file
from utils.errors import UserError

SAMPLE = "fname,Bark,Hum\nt1.wav,0,0\nt2.wav,0,0\n"
CURATED = 'fname,labels\nc1.wav,Bark\nc2.wav,"Bark,Hum"\n'
NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


def kaggle(root, sample=SAMPLE, curated=CURATED, **more):
    for name, text in {"sample_submission": sample, "train_curated": curated, **more}.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return root


def labels(corpus, split="train_curated"):
    subset = corpus.subset(split)
    rows = zip(subset.fnames, subset.truth, strict=True)
    return {fname: [n for n, true in zip(corpus.class_names, row, strict=True) if true] for fname, row in rows}


@pytest.mark.parametrize(
    ("sample", "curated"),
    [
        ("fname, Bark, Hum\nt1.wav, 0, 0\nt2.wav, 0, 0\n", CURATED),
        (SAMPLE, 'fname, labels\nc1.wav, Bark\nc2.wav, "Bark, Hum"\n'),
        ("fname ,Bark ,Hum\nt1.wav,0,0\nt2.wav,0,0\n", "fname ,labels \nc1.wav,Bark \nc2.wav,\"Bark ,Hum \"\n"),
    ],
    ids=["in the header of the classes", "after every comma", "before every comma"],
)  # fmt: skip
def test_blanks_around_commas_belong_to_no_name(tmp_path, sample, curated):
    corpus = read_corpus(kaggle(tmp_path, sample, curated))
    assert corpus.class_names == ["Bark", "Hum"]
    assert labels(corpus) == {"c1.wav": ["Bark"], "c2.wav": ["Bark", "Hum"]}
    assert corpus.subset("test").fnames == ["t1.wav", "t2.wav"]


@pytest.mark.parametrize(
    "sample",
    [
        ",fname,Bark,Hum\n0,t1.wav,0,0\n1,t2.wav,0,0\n",
        ",fname,Bark,Hum\n7,t1.wav,0,0\n3,t2.wav,0,0\n",
        "Unnamed: 0,fname,Bark,Hum\n0,t1.wav,0,0\n1,t2.wav,0,0\n",
        "fname,Bark,Hum,\nt1.wav,0,0,\nt2.wav,0,0,\n",
    ],
    ids=["pandas' index", "of a shuffled table", "read and written again", "a comma at each line's end"],
)
def test_a_column_that_only_counts_rows_or_is_empty_is_no_class(tmp_path, sample):
    corpus = read_corpus(kaggle(tmp_path, sample))
    assert corpus.class_names == ["Bark", "Hum"]
    assert corpus.subset("test").fnames == ["t1.wav", "t2.wav"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": "fname,Bark,Hum,\nt1.wav,0,0,0\nt2.wav,0,0,0\n"}, "sample_submission.csv: column 4 has no name"),
        ({"sample": 'fname,Bark,"Speech, male"\nt1.wav,0,0\n'}, "'Speech, male' holds a comma.*commas separate labels"),
        ({"sample": "fname,Bark,Hum,Hum\nt1.wav,0,0,0\n"}, "names a class twice: 'Hum'"),
        ({"sample": f"fname,Bark,Hum,{NFC},{NFD}\nt1.wav,0,0,0,0\n"}, "names a class twice"),
        ({"curated": "fname,labels,labels\nc1.wav,Bark,Hum\n"}, "two columns 'labels'"),
        ({"curated": "fname,labels,fold,fold\nc1.wav,Bark,1,1\n"}, "two columns 'fold'"),
        ({"curated": CURATED + "c3.wav,Moo\n"}, "clip c3.wav: the label 'Moo' is not in the class list"),
        ({"curated": "fname,labels\nc1.wav,Bark,Hum\nc2.wav,Bark,Hum\n"}, "Expected 2 fields in line 2, saw 3"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_of_the_table(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read_corpus(kaggle(tmp_path, **changes))


def test_a_comma_in_a_vocabulary_is_named(tmp_path):
    meta = tmp_path / "FSDKaggle2019.meta"
    meta.mkdir()
    (meta / "vocabulary.csv").write_text('0,Bark\n1,"Speech, male"\n')
    with pytest.raises(UserError, match=r"vocabulary.csv: the class 'Speech, male' holds a comma"):
        read_corpus(tmp_path)


def test_a_header_without_rows_has_its_columns(tmp_path):
    (tmp_path / "x.csv").write_text(",fname,A,B\n")
    table = read_csv(tmp_path / "x.csv", ["fname"])
    assert len(table) == 0
    assert read_sample(tmp_path / "x.csv") == (["A", "B"], [])


@pytest.mark.parametrize(("listed", "given"), [(NFC, NFD), (NFD, NFC)])
def test_labels_and_answers_spelt_in_two_ways_are_the_same(tmp_path, listed, given):
    sample = f"fname,Bark,{listed}\n{listed}.wav,0,0\n"
    curated = f'fname,labels\nc1.wav,Bark\nc2.wav,"Bark,{given}"\n'
    answers = f"fname,labels\n{given}.wav,{given}\n"
    corpus = read_corpus(kaggle(tmp_path, sample, curated, test_post_competition=answers))
    assert labels(corpus) == {"c1.wav": ["Bark"], "c2.wav": ["Bark", listed]}
    assert labels(corpus, "test") == {f"{listed}.wav": [listed]}


@pytest.mark.parametrize(("on_disk", "listed"), [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
def test_files_are_found_however_their_accents_are_spelt(tmp_path, on_disk, listed):
    (tmp_path / on_disk).mkdir()
    file = tmp_path / on_disk / f"{NFD}.wav"
    file.touch()
    for name in (NFC, NFD):
        assert find_file(tmp_path, f"{listed}/{name}.wav").samefile(file)
        assert locate(tmp_path, f"{listed}/{name}.wav").samefile(file)


def test_of_two_files_that_look_alike_the_one_as_it_is_spelt_is_taken(tmp_path):
    for name in (NFC, NFD):
        (tmp_path / name).write_text(name)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes them for one")
    assert [find_file(tmp_path, name).read_text() for name in (NFC, NFD)] == [NFC, NFD]


def test_a_file_that_is_not_there_keeps_its_spelling(tmp_path):
    assert find_file(tmp_path, f"{NFD}/x.wav") == tmp_path / NFD / "x.wav"
