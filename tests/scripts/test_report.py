"""report.py: the page holds what merge.py prints, leaves out what is not there, and is safe whatever names hold."""

import re
import shlex
import shutil
import sys
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
    """Sections by anchor, tables by id as lists of rows of text, tags with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.said, self.row, self.cell = "", None, None
        self.feed(self.html)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag == "table":
            self.rows = self.tables.setdefault(values["id"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.cell:
            self.cell = None

    def handle_data(self, data: str) -> None:
        self.said += data
        if self.cell:
            self.rows[-1][-1] += data

    @property
    def sections(self) -> list[str]:
        return [values["id"] for tag, values in self.tags if tag == "section"]

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


def test_scores_and_classes_are_those_that_merge_prints(ready, report, script):
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


def test_the_single_folds_score_on_what_they_held_out_is_what_test_prints(ready, report, template, module_of, capsys):
    held = load_predictions(next(ready.glob("predictions/*_val_*_0-2.npz")))
    module_of("test.py").print_score("val", read_corpus(template), held)
    lwlrap, mean_precision = re.search(r"clips: (\S+)  mAP (\S+)", capsys.readouterr().out).groups()
    page = report()
    assert lwlrap == {row[0]: row[1] for row in page.tables["folds"]}["fold 0"]
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


def test_no_clips_no_sections_of_clips(ready, report):
    page = report("--clips", 0, "--noisy_clips", 0)
    assert page.sections == ["scores", "training", "classes", "confusions", "calibration", "settings"]
    assert not page.all("audio")


def test_checkpoints_name_their_predictions(ready, report, predict, template):
    for fold in range(2):
        predict(ready, template, fold, "val", arch="mobilenet_v3_large")
    page = report(
        "--model_path", *(f"checkpoints/resnet18_tiny_best_32x64_16000_{fold}-2_model.pth" for fold in (0, 1))
    )
    assert dict(page.tables["settings-table"][1:])["arch"] == "resnet18"


def test_nothing_is_loaded_from_elsewhere(ready, report):
    page = report()
    for _, values in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (values.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)|@import|https?://", re.sub(r"base64,[^\"]*", "", page.html))
    assert "default-src 'none'" in page.html


def test_the_default_page_is_small_and_the_same_each_time(ready, script):
    pages = []
    for _ in range(2):
        assert script(ready, "report.py", *FLAGS).code == 0
        pages.append((ready / "report.html").read_bytes())
    assert 50_000 < len(pages[0]) < 10e6
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("splits", "there", "absent"),
    [
        (["val"], ["scores", "classes", "hardest"], []),
        (["test"], ["scores"], ["classes", "confusions", "calibration", "hardest"]),
        (["train_noisy"], ["doubtful"], ["scores", "classes"]),
    ],
)
def test_sections_without_predictions_are_left_out(workplace, template, report, splits, there, absent, predict):
    for split in splits:
        predict(workplace, template, 0, split), predict(workplace, template, 1, split)
    page = report()
    assert set(there) < set(page.sections)
    assert not set(absent) & set(page.sections)
    assert ("test.py --split train_noisy" in page.said) == ("train_noisy" not in splits)
    assert "There are no logs" in page.said


def test_a_data_set_of_folders_with_neither_test_nor_noisy_clips(spoiled, corpus, report, predict):
    for i in range(20):
        label = corpus / "train" / ["Bark", "Hum", "Rain", "Whistle"][i % 4]
        label.mkdir(parents=True, exist_ok=True)
        shutil.move(corpus / "train_curated" / f"ated{i:02}.wav", label)
    for table in corpus.glob("*.csv"):
        table.unlink()
    predict(spoiled, corpus, 0, "val"), predict(spoiled, corpus, 1, "val")
    page = report()
    assert page.sections == ["scores", "training", "classes", "confusions", "calibration", "hardest", "settings"]
    assert "test" not in page.tables["folds"][0]


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


def test_a_clip_that_cannot_be_read_says_why(spoiled, corpus, report, predict):
    predict(spoiled, corpus, 0, "val"), predict(spoiled, corpus, 1, "val")
    (corpus / "train_curated" / "ated03.wav").write_bytes(b"")
    (corpus / "train_curated" / "ated04.wav").unlink()
    page = report("--clips", 20)
    assert "Cannot be shown: the file is empty (0 bytes)" in page.said
    assert "Cannot be shown: there is no such file" in page.said
    assert len(page.all("audio")) == 18


def test_a_long_clip_is_cut(spoiled, corpus, report, predict):
    rng = np.random.default_rng(0)
    sf.write(corpus / "train_curated" / "ated00.wav", rng.normal(0, 0.1, 16000 * 60), 16000)
    predict(spoiled, corpus, 0, "val"), predict(spoiled, corpus, 1, "val")
    sizes = [len(report("--clips", 20, "--seconds", seconds).html) for seconds in (1, 5)]
    assert sizes[0] < sizes[1] < sizes[0] + 20 * 100_000


def test_all_settings_and_versions_are_listed(ready, report):
    page = report()
    settings = dict(page.tables["settings-table"][1:])
    expected = {"l_rate": "0.1", "n_iter": "20", "tta": "8", "step of each fold's checkpoint": "10, 11"}
    assert expected.items() <= settings.items()
    assert {row[0] for row in page.tables["versions"]} >= {"python", "torch", "numpy", "librosa"}
    assert dict(row[:2] for row in page.tables["versions"])["torch"] == "\N{EN DASH}"


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
    done = script(ready, "report.py", *FLAGS)
    assert done.code == 2
    assert "say which to report on with --run" in done.error
    names = ["resnet18_16000_2", "mobilenet_v3_large_16000_2"]
    page = report("--run", *names)
    cv = re.search(r"CV lwlrap (\S+) over", script(ready, "merge.py", *FLAGS, "--split", "val", "--run", *names).out)[1]
    assert f"CV lwlrap{cv}" in page.said
    alone = script(ready, "merge.py", *FLAGS, "--split", "val", "--run", names[1]).out
    assert f"not averaged: {names[0]}; --run takes several runs" in alone
    assert [row[0] for row in page.tables["folds"][1:3]] == ["resnet18_16000_2 fold 0", "resnet18_16000_2 fold 1"]
    assert page.tables["settings-table"][0][1:] == names


def test_it_needs_no_torch(process, tmp_path, request):
    check = "import report, sys; print(sorted({'torch', 'librosa'} & set(sys.modules)))"
    done = process(tmp_path, sys.executable, "-c", check, PYTHONPATH=str(request.config.rootpath))
    assert (done.out, done.err) == ("[]\n", "")
