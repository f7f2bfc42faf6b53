"""The recipe's tables, and that a finished run is not repeated unless what made it has changed."""

import ast
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import recipe, runs
from benchmarks.changes import CHANGES, changed_copy
from benchmarks.rows import TABLES
from benchmarks.runs import Run
from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from tests.conftest import ROOT, SETTINGS
from training.setup import audio_settings
from utils.errors import UserError

SMALL = "--arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
COMMAND = ["--flags", f"{SMALL} --num_folds 2", "--folder", "runs", "--seeds", 1, "--output", "page.md"]
RUN = Run("tiny", SMALL, 0, 1)


@pytest.fixture
def place(spoiled, corpus, monkeypatch):
    """A folder with `tiny`, which has answers to its test clips, and `folded`, which has only folds, and single labels."""
    folded = shutil.copytree(corpus, spoiled / "folded")
    (folded / "test_post_competition.csv").unlink()
    for path in folded.glob("train_*.csv"):  # one label a clip
        path.write_text(re.sub(r"(\w),\w+\"", r'\1"', path.read_text()))
    paths = {"tiny": {"data_path": str(corpus)}, "folded": {"data_path": "folded"}}
    (spoiled / "config.json").write_text(json.dumps(paths))
    monkeypatch.chdir(spoiled)
    return spoiled


@pytest.fixture
def here(script, monkeypatch) -> None:
    """Scripts run within this process, one after the other."""

    class Inline(ThreadPoolExecutor):
        map = staticmethod(map)

    def call(name, *flags, cwd=None):
        done = script(cwd or Path.cwd(), name, *flags)
        assert done.code == 0, done.err

    monkeypatch.setattr(runs, "ThreadPoolExecutor", Inline)
    monkeypatch.setattr(runs, "script", call)


def test_what_a_result_is_made_from_follows_data_and_flags_but_not_comments(place, corpus, tmp_path, monkeypatch):
    before = runs.describe(RUN)
    assert runs.describe(RUN) == before
    other = runs.describe(replace(RUN, flags=f"{SMALL} --recipe improved"))
    assert [name for name in before if before[name] != other[name]] == ["run", "flags"]
    path = corpus / "train_curated.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    after = runs.describe(RUN)
    assert [name for name in before if before[name] != after[name]] == ["data"]
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    digests = []
    for text in ("x = 1  # one\n", "x = 1\n", "x = 2\n"):
        (tmp_path / "train.py").write_text(text)
        digests.append(runs.code())
    assert digests[0] == digests[1] != digests[2]


def test_what_is_done_is_kept_though_another_run_fails_and_what_is_stale_is_made_again(
    tmp_path, place, monkeypatch, capsys
):
    made, three = [], [replace(RUN, seed=seed) for seed in (1, 2, 3)]

    def train_and_predict(run, into, folder):
        if run.seed == 1 and len(made) < 3:
            time.sleep(0.2)
            raise UserError("out of memory")
        made.append(run.seed)

    monkeypatch.setattr(runs, "train_and_predict", train_and_predict)
    monkeypatch.setattr(runs, "score", lambda records, level, metric, folder: records[0]["run"]["seed"] / 4)
    with pytest.raises(UserError, match="out of memory"):
        runs.finish(three, tmp_path, 3)
    made.append(0)
    records = runs.finish(three, tmp_path, 3)
    assert [records[run]["scores"]["-20 dB"] for run in three] == [0.25, 0.5, 0.75]
    assert sorted(made) == [0, 1, 2, 3]
    monkeypatch.setattr(runs, "code", lambda change="": "other")
    old = runs.finish(three, tmp_path, 1, work=False)
    assert [old[run]["present"] for run in three] == [False] * 3
    new = runs.finish(three[:2], tmp_path, 3)
    assert [new[run]["present"] for run in three[:2]] == [True] * 2
    assert sorted(made) == [0, 1, 1, 2, 2, 3]
    assert "2 runs in" in capsys.readouterr().out


def figures(page: str) -> dict[str, list[str]]:
    """The cells of each row of the page's tables."""
    return {cells[1]: cells[2:-1] for cells in (re.split(r" ?\| ?", line) for line in page.splitlines()) if cells[1:]}


def test_a_table_is_made_once_and_replaced_on_its_page(script, place, here):
    (place / "page.md").write_text("before\n")
    row, flags = "MobileNetV3-Large, improved", "--recipe improved --arch mobilenet_v3_large"
    command = ["benchmarks/recipe.py", "--datasets", "tiny", "folded", "--rows", row, *COMMAND]
    first = script(place, *command, "--folds", 0, 1)
    assert first.code == 0, first.err
    page, lines = (place / "page.md").read_text(), (place / "runs/results.jsonl").read_text()
    assert page.startswith(
        "before\n\n<!-- benchmarks/recipe.py: protocol, tiny -->\ntiny, test clips; folds 0, 1, seeds"
    )
    assert len(lines.splitlines()) == 4
    assert not list((place / "runs").rglob("*.pth"))
    for of, further in (("tiny", "merged, 0 dB"), ("folded", "accuracy, 0 dB")):
        table = figures(page.split(f"protocol, {of} -->")[1].split("<!-- end -->")[0])
        assert table["row"] == ["flags", *(f"lwlrap, {level} dB" for level in runs.LEVELS), further, "error"]
        assert table[row][0] == f"`{flags}`"
        assert table[row][-1] == "1.00"
        assert all(0 < float(cell) <= 1 for cell in table[row][1:])
    (place / "runs/results.jsonl").write_text(lines.replace('"code": "', '"code": "other ', 1))
    again = script(place, *command, "--folds", 0, 1, "--no_runs")
    assert again.code == 0, again.err
    assert (place / "page.md").read_text().count(recipe.STALE) == len(runs.LEVELS) + 2  # a table's figures, and why
    best = script(place, *command, "--folds", 0, 1, "--no_runs", "--best")
    assert best.code == 0, best.err
    assert re.findall(r"^\./run\.sh (\w+) .* --seed 1$", best.out, re.MULTILINE) == ["tiny", "folded"]
    assert (place / "page.md").read_text().count("<!-- end -->") == 3


def test_a_table_has_means_its_best_figures_and_errors_against_the_first_row(monkeypatch):
    values = {"a": {"lwlrap": [0.4, 0.6]}, "b": {"lwlrap": [0.75], "merged": [0.8]}, "not finished": {}}
    monkeypatch.setattr(recipe, "measured", lambda line, records, args: values[line.name])
    lines = [recipe.Line(name, "--x", [[replace(RUN, dataset=name)]]) for name in values]
    records = {lines[0].runs[0]: {"present": True}, lines[1].runs[0]: {"present": False}}
    assert recipe.table(lines, records, None) == [
        {"row": "a", "flags": "`--x`", "lwlrap": "0.5000 ± 0.1414", "merged": "", "error": "1.00"},
        {"row": "b", "flags": "`--x`", "lwlrap": "**0.7500**†", "merged": "**0.8000**†", "error": "0.50"},
    ]


@pytest.mark.parametrize("row", ["believable noisy clips", "PCEN on each crop"])
def test_further_rows_are_trained_and_scored(script, place, request, row):
    if row in CHANGES:
        flags = [*COMMAND[:1], f"{COMMAND[1]} --no-use_cbam", *COMMAND[2:], "--tables", "differences"]
    else:
        request.getfixturevalue("here")
        flags = [*COMMAND[:1], f"{COMMAND[1]} --no-use_cbam", *COMMAND[2:], "--tables", "further"]
    done = script(place, "benchmarks/recipe.py", "--datasets", "tiny", "--rows", row, *flags)
    assert done.code == 0, done.err
    assert len(figures(done.out)[row]) == 3 if row in CHANGES else 5
    made = list((place / "runs/places").glob(f"tiny_{row}_*/features/16000_32/test.json"))
    assert len(made) == (row in CHANGES)


def test_another_level_is_that_of_the_samples(place, corpus):
    """As far as float16 and eps let it."""
    where = runs.at_level(RUN, -20, place / "runs")
    (before,), (after,) = (
        open_clips(path, "test", SETTINGS, "")[0].packs for path in (corpus / "features", where / "features")
    )
    root = SETTINGS.bias**SETTINGS.power
    energy = [(features.double() + root) ** (1 / SETTINGS.power) - SETTINGS.bias for features in (before, after)]
    loud = energy[0] > 0.01
    assert loud.any()
    torch.testing.assert_close(energy[1][loud], 10**-0.5 * energy[0][loud], rtol=0.02, atol=0)
    assert runs.at_level(RUN, -20, place / "runs") == where


def test_train_takes_the_flags_of_all_rows():
    names = set()
    for table in TABLES.values():
        for regime in filter(None, (table.tested, table.folded)):
            for name, flags in table.rows.items():
                run = Run("tiny", f"{regime.flags} {flags}", regime.folds[0], regime.seeds[0])
                assert audio_settings(run.args) == AudioSettings(n_mels=run.args.img_rows)
                assert run.args.use_cbam == (run.args.arch == "resnet18")
                names.add(name)
    assert names >= set(CHANGES)
    parts = " ".join(TABLES["parts"].rows.values())
    improved = json.loads((ROOT / "recipes/improved.json").read_text())
    assert [flag for flag in improved if flag not in parts] == ["fold_seeds"]  # which a single fold does not show


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_finds_what_it_changes_once(tmp_path, change):
    root = changed_copy(change, tmp_path / "changed")
    for file, old, new in CHANGES[change]:
        assert (ROOT / file).read_text().count(old) == 1, file
        text = (root / file).read_text()
        assert new in text
        ast.parse(text)
    assert changed_copy(change, tmp_path / "changed") == root
