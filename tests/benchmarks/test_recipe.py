"""The recipe's table, and that a finished run is not repeated unless what made it has changed."""

import argparse
import json
import sys
import time

import pytest

from benchmarks import recipe
from loaders.pcen import AudioSettings
from utils.errors import UserError

FLAGS = "--arch mobilenet_v3_small --img_rows 32 --img_cols 64 --sampling_rate 16000 --n_iter 2 --batch_size 4"
COMMAND = ["--dataset", "tiny", "--folder", "runs", "--seeds", "1", "--flags", f"{FLAGS} --num_folds 2"]


def test_what_a_result_is_made_from_follows_the_data(workplace, corpus, monkeypatch):
    monkeypatch.chdir(workplace)
    (workplace / "config.json").write_text(json.dumps({"tiny": {"data_path": str(corpus)}}))
    settings = AudioSettings(16000, 32)
    before = recipe.made_from("tiny", settings)
    assert before == recipe.made_from("tiny", settings)
    path = corpus / "train_curated.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    after = recipe.made_from("tiny", settings)
    assert (after[:2], after[2] != before[2]) == (before[:2], True)


def test_what_is_done_is_kept_though_another_run_fails_and_what_is_stale_is_made_again(tmp_path, capsys):
    args, made = argparse.Namespace(folder=tmp_path, seeds=[1, 2, 3], jobs=3, fails=True), []

    def scored(name, seed, folder):
        if seed == 1 and args.fails:
            time.sleep(0.2)
            raise UserError("out of memory")
        made.append(seed)
        return {"lwlrap": seed / 4}

    with pytest.raises(UserError, match="out of memory"):
        recipe.finish({"improved": "a key"}, args, scored)
    args.fails = False
    assert recipe.finish({"improved": "a key"}, args, scored) == {"improved": [{"lwlrap": s / 4} for s in (1, 2, 3)]}
    assert sorted(made) == [1, 2, 3]
    recipe.finish({"improved": "another key"}, args, scored)
    assert sorted(made) == [1, 1, 2, 2, 3, 3]
    assert "3 runs in" in capsys.readouterr().out


def test_the_table_has_means_and_errors_against_the_first_row():
    scores = {"a": [{"test": 0.4}, {"test": 0.6}], "b": [{"test": 0.7}, {"test": 0.8}]}
    rows = recipe.table(scores, {"a": "--x", "b": ""})
    assert rows[0] == {"row": "a", "flags": "`--x`", "test": "0.5000 ± 0.1414", "error": "1.00"}
    assert rows[1]["error"] == "0.50"


def test_rows_are_trained_scored_and_not_trained_again(process, workplace, warm_python, request):
    python = warm_python / "python"
    rows = ["--rows", "improved", "improved, believable noisy clips"]
    command = [python, request.config.rootpath / "benchmarks/recipe.py", *COMMAND, *rows]
    first = process(workplace, *command, PYTHON=python)
    assert first.code == 0, first.err
    lines = (workplace / "runs" / "results.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        cells = " | ".join(f"{score:.4f}" for score in record["scores"].values())
        assert f"| {record['row']} | `{recipe.ROWS[record['row']]}` | {cells} | " in first.out
    assert not list((workplace / "runs").rglob("*.pth"))
    again = process(workplace, *command, PYTHON=python)
    assert again.code == 0, again.err
    assert (workplace / "runs" / "results.jsonl").read_text().splitlines() == lines
    assert f"| {cells} | " in again.out


def test_a_difference_is_trained_and_scored(process, workplace, warm_python, request):
    python, row = warm_python / "python", "PCEN on each crop"
    script = request.config.rootpath / "benchmarks/differences.py"
    done = process(workplace, python, script, *COMMAND, "--rows", row, PYTHON=python)
    assert done.code == 0, done.err
    assert f"| {row} | `` | 0." in done.out
    assert (workplace / "runs" / "features" / row / "tiny").is_dir()


def test_every_change_finds_what_it_changes(process, request):
    code = """
from benchmarks.differences import CHANGES, Clips, cbam, initialization, mobilenetv3, pcen, sampling, tta
places = [Clips, cbam.SpatialGate, initialization, mobilenetv3, mobilenetv3.mobilenetv3, pcen, sampling.Sampler, tta]
before = [dir(place) for place in places]
for change in CHANGES.values():
    change()
assert [dir(place) for place in places] == before"""
    done = process(request.config.rootpath, sys.executable, "-c", code)
    assert done.code == 0, done.err
