"""report.py: the page holds what merge.py prints and leaves out what is absent; what is broken is one line."""

import re
import shlex
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from loaders.layouts import read_corpus
from predicting.prediction_file import load_predictions
from tests.scripts.conftest import BEST

FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234")
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Tags with their attributes, the text, sections by anchor, tables by id as lists of rows of text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html, self.said, self.tags = path.read_text(encoding="utf-8"), "", []
        self.feed(self.html)
        self.sections = [values["id"] for values in self.all("section")]
        self.tables = {
            name: [[unescape(re.sub("<.*?>", "", cell)) for cell in re.findall("<t[dh].*?>(.*?)</t[dh]>", row)]
                   for row in body.split("<tr>")[1:]]
            for name, body in re.findall('<table id="(.*?)"(.*?)</table>', self.html, re.S)
        }  # fmt: skip

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.said += data

    def all(self, wanted: str) -> list[dict]:
        return [values for tag, values in self.tags if tag == wanted]


@pytest.fixture
def report(script, tmp_path):
    """Run report.py in the test's folder, `ready`, `workplace` or `spoiled`, and read its page."""
    workplace = tmp_path / "work"

    def make(*flags: object) -> Page:
        done = script(workplace, "report.py", *FLAGS, "--clips", 1, "--noisy_clips", 1, *flags)
        assert (done.code, done.err) == (0, ""), done.err
        return Page(workplace / "report.html")

    return make


def test_scores_and_classes_are_those_that_merge_and_test_print(ready, report, script, template, module_of, capsys):
    page, val, test = report(), *(script(ready, "merge.py", *FLAGS, "--split", split).out for split in ("val", "test"))
    cv = re.search(r"CV lwlrap (\S+) over 20 clips", val)[1]
    assert f"CV lwlrap{cv}20 curated clips" in page.said
    rows = {row[0]: row[1:] for row in page.tables["folds"]}
    assert rows[""] == ["held out", "public", "private", "overall"]
    for name in ("fold 0", "fold 1", "merged", "guess by label frequency"):
        printed = re.search(rf"\b{name}: lwlrap public (\S+)  private (\S+)  overall (\S+)", test).groups()
        assert tuple(rows[name][1:]) == printed
    mean = re.search(r"mean of 2 folds: lwlrap overall (\S+)", test)[1]
    assert rows["mean of folds"][-1] == mean
    gain = float(re.search(r"gain of merging([+-][\d.]+)", page.said)[1])
    assert gain == pytest.approx(float(rows["merged"][-1]) - float(mean), abs=1.1e-4)
    classes = [(row[2], row[0], row[1]) for row in page.tables["per-class"][1:]]
    assert classes == re.findall(r"^  (\S+)  (\S+) \((\d+) clips\)$", val, re.M)  # in the same order
    assert len(classes) == 4
    held = load_predictions(next(ready.glob("predictions/*_val_*_0-2.npz")))
    module_of("test.py").print_score("val", read_corpus(template), held)
    lwlrap, mean_precision = re.search(r"clips: (\S+)  mAP (\S+)", capsys.readouterr().out).groups()
    assert lwlrap == rows["fold 0"][0]
    assert mean_precision == {row[0]: row[1] for row in page.tables["folds-mAP"]}["fold 0"]


def test_clips_come_with_picture_sound_and_probabilities(ready, report, template):
    page = report("--clips", 3, "--noisy_clips", 2)
    assert len(page.all("article")) == len(page.all("audio")) == len(page.all("img")) == 5
    assert all(values["src"].startswith("data:audio/mpeg;base64,") for values in page.all("audio"))
    noisy = read_corpus(template).subset("train_noisy")
    mean = pd.read_csv(next(ready.glob("predictions/*_noisy_*_0-2.csv")), index_col="fname").to_numpy() / 2
    mean += pd.read_csv(next(ready.glob("predictions/*_noisy_*_1-2.csv")), index_col="fname").to_numpy() / 2
    belief = np.where(noisy.truth, mean, 1).min(axis=1)
    shown = re.findall(r"(oisy\d\d\.wav)belief ([\d.]+)%", page.said)
    assert [fname for fname, _ in shown] == [noisy.fnames[i] for i in np.argsort(belief)[:2]]
    assert float(shown[0][1]) == pytest.approx(100 * belief.min(), abs=0.051)


def test_no_clips_no_sections_of_clips_and_all_settings_and_versions(ready, report):
    page = report("--clips", 0, "--noisy_clips", 0)
    assert page.sections == ["scores", "training", "classes", "confusions", "calibration", "settings"]
    assert not page.all("audio")
    expected = {"l_rate": "0.1", "n_iter": "20", "tta": "8", "step of each fold's checkpoint": "10, 11"}
    assert expected.items() <= dict(page.tables["settings-table"][1:]).items()
    versions = dict(row[:2] for row in page.tables["versions"])
    assert {*versions} >= {"python", "torch", "numpy", "librosa"}
    assert versions["torch"] == "\N{EN DASH}"


def test_the_default_page_is_small_the_same_each_time_and_loads_nothing_from_elsewhere(ready, script):
    pages = []
    for _ in range(2):
        script(ready, "report.py", *FLAGS).ok()
        pages.append(Page(ready / "report.html"))
    page, again = pages
    assert page.html == again.html
    assert 50_000 < len(page.html.encode()) < 10e6
    for _, values in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (values.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)|@import|https?://", re.sub(r"base64,[^\"]*", "", page.html))
    assert "default-src 'none'" in page.html


@pytest.mark.parametrize(
    ("splits", "there", "absent"),
    [
        (["val"], ["scores", "classes", "hardest"], []),
        (["test", "train_noisy"], ["scores", "doubtful"], ["classes", "confusions", "calibration", "hardest"]),
    ],
)
def test_sections_without_predictions_are_left_out(workplace, template, report, splits, there, absent, predict):
    for split in splits:  # which may differ in their crops
        predict(workplace, template, 0, split, tta=split), predict(workplace, template, 1, split, tta=split)
    page = report()
    assert set(there) < set(page.sections)
    assert not set(absent) & set(page.sections)
    assert ("test.py --split train_noisy" in page.said) == ("train_noisy" not in splits)
    assert "There are no logs" in page.said


def test_names_of_classes_and_files_cannot_be_markup(spoiled, corpus, report, predict):
    fname = '"><img src=x onerror=alert(1)>.wav'
    for table in corpus.glob("*.csv"):
        quoted = fname.replace('"', '""')
        content = table.read_text().replace("Bark", EVIL).replace("ated00.wav", f'"{quoted}"')
        table.write_text(content)
    (corpus / "train_curated" / "ated00.wav").rename(corpus / "train_curated" / fname)
    for fold in range(2):
        predict(spoiled, corpus, fold, "val"), predict(spoiled, corpus, fold, "train_noisy")
    page = report("--clips", 20, "--noisy_clips", 8)
    assert len(page.all("script")) == 1
    assert not any("onerror" in values for _, values in page.tags)
    assert EVIL in [row[0] for row in page.tables["per-class"]]
    assert fname in [values.get("aria-label") for values in page.all("audio")]


def test_a_clip_that_cannot_be_read_says_why_and_a_long_one_is_cut(spoiled, corpus, report, predict):
    clips, noise = corpus / "train_curated", np.random.default_rng(0).normal(0, 0.1, 16000 * 60)
    sf.write(clips / "ated00.wav", noise, 16000)
    predict(spoiled, corpus, 0, "val"), predict(spoiled, corpus, 1, "val")
    (clips / "ated03.wav").write_bytes(b"")
    (clips / "ated04.wav").unlink()
    short, page = (report("--clips", 20, "--seconds", seconds) for seconds in (1, 5))
    assert "Cannot be shown: the file is empty (0 bytes)" in page.said
    assert "Cannot be shown: there is no such file" in page.said
    assert len(page.all("audio")) == 18
    assert len(short.html) < len(page.html) < len(short.html) + 20 * 100_000


def test_versions_of_the_training_come_from_the_checkpoint(ready, report, tagger):
    import torch

    state = torch.load(tagger / BEST.format(0), weights_only=True)
    path = ready / BEST.format(0).replace("mobilenet_v3_small", "resnet18")
    torch.save(state | {"versions": {"torch": "0.0.7"}}, path)
    page = report()
    assert dict(row[:2] for row in page.tables["versions"])["torch"] == "0.0.7"
    assert page.all("svg")[0]["aria-label"] == "Training loss"


def test_two_runs_need_a_choice_and_are_averaged_as_by_merge(ready, template, report, script, predict):
    for fold in range(2):
        predict(ready, template, fold, "val", arch="mobilenet_v3_large")
    assert "say which to report on with --run" in script(ready, "report.py", *FLAGS).refused(2)
    names = ["resnet18_16000_2", "mobilenet_v3_large_16000_2"]
    page = report("--run", *names)
    cv = re.search(r"CV lwlrap (\S+) over", script(ready, "merge.py", *FLAGS, "--split", "val", "--run", *names).out)[1]
    assert f"CV lwlrap{cv}" in page.said
    alone = script(ready, "merge.py", *FLAGS, "--split", "val", "--run", names[1]).err
    assert f"left out: {names[0]}; --run takes several runs" in alone
    assert [row[0] for row in page.tables["folds"][1:3]] == ["resnet18_16000_2 fold 0", "resnet18_16000_2 fold 1"]
    assert page.tables["settings-table"][0][1:] == names


NO_CLIPS = ["--clips", 0, "--noisy_clips", 0]
CHECKPOINT = "checkpoints/resnet18_tiny_best_32x64_16000_0-2_model.pth"
LOG = "checkpoints/resnet18_tiny_32x64_16000_1-2_log.jsonl"
ANOTHER = "resnet18_tiny_test_32x64_16000_0-2.npz"


def predicted(split: str = "test", **changes: object):
    return lambda ready, template, predict: [predict(ready, template, fold, split, **changes) for fold in range(2)]


def without(pattern: str):
    return lambda ready, *_: [path.unlink() for path in ready.glob(pattern)]


REFUSED = {  # what is spoiled: how, and what the one line must hold
    "no predictions": (without("predictions/*.npz"), ["make them with test.py"]),
    "a missing fold": (without("predictions/*_1-2.npz"), ["lacks fold 1; run test.py on them"]),
    "a broken checkpoint": (
        lambda ready, *_: (ready / CHECKPOINT).write_bytes(b"\x80\x05cos\nsystem\n."),
        [CHECKPOINT],
    ),
    "another step": (predicted(checkpoint_step=5), ["checkpoint_step", ANOTHER]),
    "another weight": (predicted(noisy_weight=0.5), ["noisy_weight", ANOTHER]),
    "above 1": (predicted("val", table=np.full((10, 4), 1.5)), ["damaged or not a prediction file of test.py"]),
    **{
        f"a log of {content}": (
            lambda ready, *_, content=content: (ready / LOG).write_bytes(content),
            [f"{LOG} is not a log of train.py"],
        )
        for content in (b"nonsense", b'{"step": 1}', b"3")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_missing_or_broken_is_one_line(ready, template, predict, script, case):
    spoil, words = REFUSED[case]
    spoil(ready, template, predict)
    error = script(ready, "report.py", *FLAGS, *NO_CLIPS).refused()
    assert all(word in error for word in words), error
    assert not (ready / "report.html").exists()
