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
from tests.conftest import ROOT, SETTINGS
from utils.errors import UserError

SMALL = "--arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
FLAGS = f"{SMALL} --no-use_cbam --num_folds 2"
COMMAND = ["benchmarks/recipe.py", "--flags", FLAGS, "--folder", "runs", "--seeds", 1, "--output", "page.md"]
RUN = Run("tiny", SMALL, 0, 1)


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


@pytest.fixture
def here(script, monkeypatch) -> None:
    """Scripts run within this process, one after the other."""

    def call(name, *flags, cwd=None):
        done = script(cwd or Path.cwd(), name, *flags)
        assert done.code == 0, done.err

    monkeypatch.setattr(runs, "ThreadPoolExecutor", type("Inline", (ThreadPoolExecutor,), {"map": staticmethod(map)}))
    monkeypatch.setattr(runs, "script", call)


def test_what_a_result_is_made_from_follows_data_and_flags_but_not_comments(place, corpus, tmp_path, monkeypatch):
    before, other = runs.describe(RUN), runs.describe(replace(RUN, flags=f"{SMALL} --recipe improved"))
    assert [name for name in before if before[name] != other[name]] == ["run", "flags"]
    path = corpus / "train_curated.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    after = runs.describe(RUN)
    assert [name for name in before if before[name] != after[name]] == ["data"]
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    digests = [(tmp_path / "train.py").write_text(text) and runs.code() for text in ("x = 1  # one", "x = 1", "x = 2")]
    assert digests[0] == digests[1] != digests[2]


def test_what_is_done_is_kept_though_another_run_fails_and_what_is_stale_is_made_again(
    tmp_path, place, monkeypatch, capsys
):
    made, three = [], [replace(RUN, seed=seed) for seed in (1, 2, 3)]

    def train_and_predict(run, into, folder):
        if run.seed == 1 and 0 not in made:
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
    old, new = runs.finish(three, tmp_path, 1, work=False), runs.finish(three[:2], tmp_path, 3)
    assert [old[run]["present"] for run in three] + [new[run]["present"] for run in new] == [False] * 3 + [True] * 2
    assert sorted(made) == [0, 1, 1, 2, 2, 3]
    assert "2 runs in" in capsys.readouterr().out


def figures(page: str) -> dict[str, list[str]]:
    """The cells of each row of the page's tables."""
    return {cells[1]: cells[2:-1] for cells in (re.split(r" ?\| ?", line) for line in page.splitlines()) if cells[1:]}


def test_a_table_is_made_once_and_replaced_on_its_page(script, place, here):
    page, results = place / "page.md", place / "runs/results.jsonl"
    page.write_text("before\n")
    row, flags = "MobileNetV3-Large, improved", "--recipe improved --arch mobilenet_v3_large"
    command = [*COMMAND, "--datasets", "tiny", "folded", "--rows", row, "--folds", 0, 1]
    first = script(place, *command)
    assert first.code == 0, first.err
    text, lines = page.read_text(), results.read_text()
    assert text.startswith(
        "before\n\n<!-- benchmarks/recipe.py: protocol, tiny -->\ntiny, test clips; folds 0, 1, seeds"
    )
    assert len(lines.splitlines()) == 4
    assert not list((place / "runs").rglob("*.pth"))
    for of, further in (("tiny", "merged, 0 dB"), ("folded", "accuracy, 0 dB")):
        table = figures(text.split(f"protocol, {of} -->")[1].split("<!-- end -->")[0])
        assert table["row"] == ["flags", *(f"lwlrap, {level} dB" for level in runs.LEVELS), further, "error"]
        assert (table[row][0], table[row][-1]) == (f"`{flags}`", "1.00")
        assert all(0 <= float(cell) <= 1 for cell in table[row][1:])
    results.write_text(lines.replace('"code": "', '"code": "other ', 1))
    assert script(place, *command, "--no_runs").code == 0
    assert page.read_text().count(recipe.STALE) == len(runs.LEVELS) + 2  # a table's figures, and why
    best = script(place, *command, "--no_runs", "--best")
    assert re.findall(r"^\./run\.sh (\w+) .* --seed 1$", best.out, re.MULTILINE) == ["tiny", "folded"]
    assert page.read_text().count("<!-- end -->") == 3
    refused = script(place, *COMMAND, "--datasets", "tiny", "--rows", "no such")
    assert (refused.code, "no such" in refused.error) == (2, True)


def test_a_table_has_means_its_best_figures_and_errors_against_the_first_row(monkeypatch):
    values = {"a": {"lwlrap": [0.4, 0.6]}, "b": {"lwlrap": [0.75], "merged": [0.8]}, "not finished": {}}
    monkeypatch.setattr(recipe, "measured", lambda line, records, args: values[line.name])
    lines = [recipe.Line(name, "--x", [[replace(RUN, dataset=name)]]) for name in values]
    records = {lines[0].runs[0]: {"present": True}, lines[1].runs[0]: {"present": False}}
    assert recipe.table(lines, records, None) == [
        {"row": "a", "flags": "`--x`", "lwlrap": "0.5000 ± 0.1414", "merged": "", "error": "1.00"},
        {"row": "b", "flags": "`--x`", "lwlrap": "**0.7500**†", "merged": "**0.8000**†", "error": "0.50"},
    ]


def test_believable_noisy_clips_are_trained_and_scored(script, place, here):
    done = script(place, *COMMAND, "--datasets", "tiny", "--tables", "further", "--rows", "believable noisy clips")
    assert done.code == 0, done.err
    assert len(figures(done.out)["believable noisy clips"]) == 5


def test_a_change_of_the_code_is_trained_and_scored_with_features_of_its_own(script, place):
    row = "PCEN on each crop"
    done = script(place, *COMMAND, "--datasets", "tiny", "--tables", "differences", "--rows", row)
    assert done.code == 0, done.err
    assert len(figures(done.out)[row]) == 3
    assert len(list((place / "runs/places").glob(f"tiny_{row}_*/features/16000_32/test.json"))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_finds_what_it_changes_once(tmp_path, change):
    root = changed_copy(change, tmp_path / "changed")
    for file, old, new in CHANGES[change]:
        assert (ROOT / file).read_text().count(old) == 1, file
        assert new in (root / file).read_text()
        ast.parse((root / file).read_text())


def test_another_level_is_that_of_the_samples(place, corpus):
    """As far as float16 and eps let it."""
    folders = corpus / "features", runs.at_level(RUN, -20, place / "runs") / "features"
    (before,), (after,) = (open_clips(folder, "test", SETTINGS, "")[0].packs for folder in folders)
    root = SETTINGS.bias**SETTINGS.power
    before, after = ((each.double() + root) ** (1 / SETTINGS.power) - SETTINGS.bias for each in (before, after))
    torch.testing.assert_close(after[before > 0.01], 10**-0.5 * before[before > 0.01], rtol=0.02, atol=0)


def test_train_takes_the_flags_of_all_rows_and_each_part_of_improved_is_left_out_once():
    for table in TABLES.values():
        for regime in filter(None, (table.tested, table.folded)):
            for flags in table.rows.values():
                args = Run("tiny", f"{regime.flags} {flags}", regime.folds[0], regime.seeds[0]).args
                assert args.use_cbam == (args.arch == "resnet18")
    parts = " ".join(TABLES["parts"].rows.values())
    improved = json.loads((ROOT / "recipes/improved.json").read_text())
    assert [flag for flag in improved if flag not in parts] == ["fold_seeds"]  # which a single fold does not show
