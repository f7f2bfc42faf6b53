"""run.sh itself, with a stand-in for Python: old shells, paths with blanks, flags that it owns."""

import re
import shutil

import pytest

STUB = """#!/bin/sh
case "$*" in
  *"--plan train_noisy"*) echo "train.py: --plan train_noisy: the data set has val, test" >&2; exit 2 ;;
  *--plan*) echo "val test"; echo "my runs/a best 0.pth"; echo "my runs/a best 1.pth" ;;
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
    assert all("<--model_path><my runs/a best 0.pth><my runs/a best 1.pth>" in line for line in calls[-2:])
    assert [line.partition("<--split>")[2].partition(">")[0] for line in calls[-2:]] == ["<val", "<test"]
    assert "<--for_training><--dataset><birds>" in calls[0]
    assert "<--l_rate><0.1>" in calls[0]


@pytest.mark.parametrize("words", [["-h"], ["birds", "--help"], ["birds", "2", "--use_cbam", "-h"]])
def test_help_wherever_it_stands(call, words):
    done, calls = call(*words)
    assert (done.code, calls) == (0, [])
    assert "./run.sh DATASET [K]" in done.out


@pytest.mark.parametrize(
    ("words", "environment", "line"),
    [
        (["--select_noisy"], {}, "--plan train_noisy: the data set has val, test"),
        ([], {"SPLITS": "train_noisy"}, "--plan train_noisy: the data set has val, test"),
        ([], {"TTA": "many"}, "TTA='many'"),
        (["--only", "train:2"], {}, "--only train:2: the folds are 0 to 1"),
        (["--only", "all:1"], {}, "--only 'all:1'"),
        (["--only"], {}, "--only ''"),
        *(
            ([flag, "1"], {}, f"{flag} is set by run.sh")
            for flag in ("--fold_num", "--num_folds", "--split", "--resume", "--dataset", "--plan")
        ),
    ],
)
def test_what_would_fail_after_hours_is_refused_before_anything_runs(call, words, environment, line):
    done, calls = call("birds", "2", *words, **environment)
    assert (done.code, calls) == (2, [])
    assert line in done.error


def test_it_uses_nothing_that_bash_3_2_lacks(request):
    """macOS has bash 3.2: no empty arrays under set -u, no associative arrays, no case changes, no mapfile."""
    text = (request.config.rootpath / "run.sh").read_text()
    arrays = re.findall(r"^[^#\n]*\b(\w+)=\(([^)]*)\)", text, re.MULTILINE)
    assert [name for name, held in arrays if not held.strip()] == []
    newer = r"declare -A|local -n|mapfile|readarray|\$\{\w+(\^|,|@)|&>>|\|&|\[\[ -v|\bwait -n|printf '%\("
    assert re.findall(newer, text) == []
