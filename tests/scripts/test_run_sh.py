"""run.sh itself, with a stand-in for Python: old shells, paths with blanks, flags that it owns."""

import re
import shutil

import pytest

STUB = """#!/bin/sh
case "$*" in
  *--plan) echo "2 val test"; echo "a best 0.pth"; echo "a best 1.pth"; echo resnet18_44100_2; echo "val test" ;;
  *) for word in "$@"; do printf '<%s>' "$word"; done >>calls.txt; echo >>calls.txt ;;
esac
"""


@pytest.fixture
def call(tmp_path, process, request):
    """Run run.sh in a folder with a blank in its name; the outcome, and each call of a script."""
    root = tmp_path / "My Projects"
    root.mkdir()
    shutil.copy(request.config.rootpath / "run.sh", root)
    (root / "python").write_text(STUB)
    (root / "python").chmod(0o755)

    def run(*words: str, **environment: str):
        done = process(tmp_path, root / "run.sh", *words, PYTHON=root / "python", **environment)
        calls = root / "calls.txt"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_paths_with_blanks_stay_whole_in_every_stage(call):
    done, calls = call("birds", "2", "--checkpoint_dir", "my runs", "--prediction_dir=my tables", "--l_rate", "0.1")
    assert done.code == 0, done.err
    assert [line.split("><")[0].lstrip("<") for line in calls] == [
        "loaders/freesound_loader.py", *["train.py", "test.py"] * 2, "merge.py", "merge.py",
    ]  # fmt: skip
    trained = [line for line in calls if line.startswith("<train.py>")]
    assert all("<--checkpoint_dir><my runs>" in line and "<--l_rate><0.1>" in line for line in trained)
    predicted = [line for line in calls if line.startswith("<test.py>")]
    for fold, line in enumerate(predicted):
        assert f"<--model_path><my runs/a best {fold}.pth>" in line
        assert line.endswith("<--split><val><test>")
    assert all("<--prediction_dir><my tables>" in line for line in [*predicted, *calls[-2:]])
    assert all("<--run><resnet18_44100_2>" in line for line in calls[-2:])
    assert not any("--precision" in line for line in calls)


def test_a_precision_is_that_of_training_and_of_prediction(call):
    done, calls = call("birds", "2", "--precision", "fp32")
    assert done.code == 0, done.err
    assert ["<--precision><fp32>" in line for line in calls] == [False, *[True] * 4, False, False]


@pytest.mark.parametrize("words", [["-h"], ["birds", "--help"], ["birds", "2", "--use_cbam", "-h"]])
def test_help_wherever_it_stands(call, words):
    done, calls = call(*words)
    assert (done.code, calls) == (0, [])
    assert "./run.sh DATASET [K]" in done.out


@pytest.mark.parametrize(
    ("words", "environment", "line"),
    [
        (["--select_noisy"], {}, "the data set has no noisy clips"),
        ([], {"SPLITS": "val tset"}, "there is no tset; the data set has val test"),
        ([], {"SPLITS": "train_noisy"}, "there is no train_noisy"),
        ([], {"TTA": "many"}, "TTA='many'"),
        ([], {"SPLITS": " "}, "SPLITS is empty"),
    ],
)
def test_what_would_fail_after_hours_is_refused_before_anything_runs(call, words, environment, line):
    done, calls = call("birds", "2", *words, **environment)
    assert (done.code, calls) == (2, [])
    assert line in done.error


@pytest.mark.parametrize("flag", ["--fold_num", "--num_folds", "--split", "--resume", "--dataset", "--model_path"])
def test_flags_that_the_loop_owns_are_refused_before_anything_runs(call, flag):
    done, calls = call("birds", "2", flag, "1")
    assert done.code == 2
    assert flag in done.error
    assert calls == []


def test_it_uses_nothing_that_bash_3_2_lacks(request):
    """macOS has bash 3.2: no empty arrays under set -u, no associative arrays, no case changes, no mapfile."""
    text = (request.config.rootpath / "run.sh").read_text()
    arrays = re.findall(r"^[^#\n]*\b(\w+)=\(([^)]*)\)", text, re.MULTILINE)
    assert [name for name, held in arrays if not held.strip()] == []
    newer = r"declare -A|local -n|mapfile|readarray|\$\{\w+(\^|,|@)|&>>|\|&|\[\[ -v|\bwait -n|printf '%\("
    assert re.findall(newer, text) == []
