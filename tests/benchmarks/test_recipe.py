"""The recipe's tables, and that a finished run is not repeated unless what made it has changed."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import recipe, runs
from benchmarks.recipe import TABLES, Row, Table
from loaders.clips import open_clips
from loaders.layouts import read_corpus
from predicting.metrics import lwlrap
from predicting.prediction_file import load_predictions
from tests.conftest import CLASSES, ROOT, SETTINGS
from utils.errors import UserError

SMALL = "--arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
RUN = f"--dataset tiny {SMALL} --num_folds 2"


@pytest.fixture
def place(spoiled, corpus, monkeypatch):
    """A folder with `tiny`, which has answers to its test clips, and `folded`, with folds and single labels."""
    folded = shutil.copytree(corpus, spoiled / "folded")
    (folded / "test_post_competition.csv").unlink()
    for path in folded.glob("train_*.csv"):
        path.write_text(re.sub(r"(\w),\w+\"", r'\1"', path.read_text()))
    paths = {"tiny": {"data_path": str(corpus)}, "folded": {"data_path": "folded"}}
    (spoiled / "config.json").write_text(json.dumps(paths))
    monkeypatch.chdir(spoiled)
    return spoiled


def test_a_run_is_known_by_code_data_and_flags_but_not_by_comments(place, corpus, tmp_path, monkeypatch):
    keys = [runs.key(RUN, "code"), runs.key(RUN, "other"), runs.key(f"{RUN} --recipe improved", "code")]
    path = corpus / "train_curated.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert len({*keys, runs.key(RUN, "code")}) == 4
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    digests = [(tmp_path / "train.py").write_text(text) and runs.code() for text in ("x = 1  # one", "x = 1", "x = 2")]
    assert digests[0] == digests[1] != digests[2]


def test_what_is_done_is_kept_though_another_run_fails_and_what_other_code_made_does_not_count(place, monkeypatch):
    made, three = [], [f"{RUN} --seed {seed}" for seed in (1, 2, 3)]

    def train_and_predict(run, into, folder):
        if run == three[2] and run not in made:
            made.append(run)
            raise UserError("out of memory")
        made.append(run)
        into.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(runs, "make_features", lambda runs, folder: None)
    monkeypatch.setattr(runs, "train_and_predict", train_and_predict)
    with pytest.raises(UserError, match="out of memory"):
        runs.finish(three, place / "runs", 1)
    assert list(runs.finish(three, place / "runs", 0)) == three[:2]
    assert list(runs.finish(three, place / "runs", 2)) == three
    assert sorted(made) == [*three, three[2]]
    monkeypatch.setattr(runs, "code", lambda: "other")
    assert not runs.finish(three, place / "runs", 0)
    codes = iter(["before", "after"])
    monkeypatch.setattr(runs, "code", lambda: next(codes))
    with pytest.raises(UserError, match="changed while"):
        runs.finish(three[:1], place / "runs", 1)


def cells(page: str) -> dict[str, list[str]]:
    """Of each row of a page's tables."""
    return {row[1]: row[2:-1] for row in (re.split(r" ?\| ?", line) for line in page.splitlines()) if row[1:]}


def test_a_table_is_made_once_and_replaced_on_its_page(script, place, corpus, monkeypatch):
    def call(name, *flags, cwd=None):
        done = script(cwd or Path.cwd(), name, *flags)
        assert done.code == 0, done.err
        called.append(name)

    called, pair = [], Row((SMALL, f"{SMALL} --dropout_rate 0.1"), (0,))
    tables = (
        Table("", (1,), {"one": Row((SMALL,), (0,)), "both": pair}),
        Table("", (1,), {"folds": Row((SMALL,), (0, 1))}),
    )
    monkeypatch.setitem(TABLES, "merged", tables)
    monkeypatch.setattr(runs, "ThreadPoolExecutor", type("Inline", (ThreadPoolExecutor,), {"map": staticmethod(map)}))
    monkeypatch.setattr(runs, "script", call)
    page = place / "page.md"
    page.write_text("before\n")
    command = ["benchmarks/recipe.py", "--flags", "--num_folds 2", "--folder", "runs", "--tables", "merged"]
    command += ["--output", "page.md", "--datasets", "tiny"]
    first = script(place, *command, "folded")
    assert first.code == 0, first.err
    assert (called.count("train.py"), called.count("test.py")) == (4, 8)
    assert not list((place / "runs").rglob("*.pth"))
    text = page.read_text()
    assert text.startswith("before\n\n<!-- benchmarks/recipe.py: merged, tiny -->\ntiny, test clips; ")
    held_out, test = cells(text.split("merged, folded -->")[1]), cells(text.split("<!-- end -->")[0])
    assert test["row"] == ["flags", "networks", "lwlrap, 0 dB", "lwlrap, -20 dB", "error"]
    assert held_out["row"][4:] == ["accuracy, 0 dB", "error"]
    assert all(0 <= float(cell) <= 1 for cell in held_out["folds"][1:] if cell != "2")
    subset = read_corpus(corpus).subset("test")
    folders = [path.parent for path in (place / "runs").glob("*/run.json") if "dataset tiny" in path.read_text()]
    found = [load_predictions(next((folder / "-20").glob("*.npz"))) for folder in folders]
    mean = np.mean([table.aligned(subset.fnames, CLASSES) for table in found], axis=0)
    assert test["both"][3] == f"{lwlrap(subset.truth, mean):.4f}"
    page.write_text(text.replace("0.", "1."))
    called.clear()
    assert script(place, *command, "folded").code == 0
    assert page.read_text() == text
    assert "train.py" not in called
    refused = script(place, *command, "--rows", "no such")
    assert (refused.code, "no such" in refused.error) == (2, True)


def test_a_table_has_means_their_spread_and_errors_against_the_first_row(place, monkeypatch):
    monkeypatch.setattr(runs, "score", lambda dataset, folders, level, metric: folders[0] - level / 200)
    table = Table("", (), {"a": Row(("--x", "--y"), (0, 1)), "b": Row(("",), (0,))})
    rows = [list(row.values()) for row in recipe.figures(table, "tiny", [("a", [0.4]), ("a", [0.6]), ("b", [0.75])])]
    assert rows == [
        ["a", "`--x`; `--y`", "4", "0.5000 ± 0.1414", "0.6000 ± 0.1414", "1.00"],
        ["b", "", "1", "0.7500", "0.8500", "0.50"],
    ]


def test_another_level_is_that_of_the_samples(place, corpus):
    """As far as float16 and eps let it."""
    runs.quieter(runs.parse(RUN), -20, place / "quiet")
    folders = corpus / "features", place / "quiet/features"
    (before,), (after,) = (open_clips(folder, "test", SETTINGS, "")[0].packs for folder in folders)
    root = SETTINGS.bias**SETTINGS.power
    before, after = ((each.double() + root) ** (1 / SETTINGS.power) - SETTINGS.bias for each in (before, after))
    torch.testing.assert_close(after[before > 0.01], 10**-0.5 * before[before > 0.01], rtol=0.02, atol=0)


def test_train_takes_the_flags_of_all_rows_and_each_part_of_improved_is_left_out_once():
    for table in filter(None, (table for pair in TABLES.values() for table in pair)):
        for flags in (flags for row in table.rows.values() for flags in row.flags):
            args = runs.parse(f"{table.flags} {flags}")
            assert args.use_cbam == (args.arch == "resnet18")
    parts = " ".join(flags for row in TABLES["parts"][0].rows.values() for flags in row.flags)
    improved = json.loads((ROOT / "recipes/improved.json").read_text())
    assert [flag for flag in improved if flag not in parts] == ["fold_seeds"]  # which a single fold does not show
