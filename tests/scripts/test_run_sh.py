"""run.sh itself, with a stand-in for Python: old shells, paths with blanks, stages, flags that it owns."""

import re
from subprocess import CalledProcessError

import pytest

from tests.pages import ROOT, scripts_called

LOADER = "loaders/freesound_loader.py"
PLAN = ["val test", "my runs/a best 0.pth", "my runs/a best 1.pth"]


@pytest.fixture
def call(tmp_path):
    """The calls of scripts that run.sh makes, in a folder with a blank in its name."""
    (tmp_path / "My Projects").mkdir()
    return lambda words, before="": scripts_called(f"{before} ./run.sh {words}", tmp_path / "My Projects", PLAN)


def values(call: list[str], flag: str) -> list[str]:
    """What follows a flag, up to the next one."""
    after = call[call.index(flag) + 1 :]
    return after[: next((i for i, word in enumerate(after) if word.startswith("--")), None)]


def test_paths_with_blanks_stay_whole_in_every_stage(call):
    calls = call("birds 2 --checkpoint_dir 'my runs' '--prediction_dir=my tables' --l_rate 0.1")
    features, *folds, val, test = calls
    assert [name for name, *_ in calls] == [LOADER, *["train.py", "test.py"] * 2, "merge.py", "merge.py"]
    assert "--for_training" in features
    assert values(features, "--dataset") == ["birds"]
    for trained in (features, *folds[::2]):
        assert (values(trained, "--checkpoint_dir"), values(trained, "--l_rate")) == (["my runs"], ["0.1"])
    for path, predicted in zip(PLAN[1:], folds[1::2], strict=True):
        assert (values(predicted, "--model_path"), values(predicted, "--split")) == ([path], ["val", "test"])
    assert all(values(each, "--prediction_dir") == ["my tables"] for each in (*folds[1::2], val, test))
    assert values(val, "--model_path") == values(test, "--model_path") == PLAN[1:]
    assert (values(val, "--split"), values(test, "--split")) == (["val"], ["test"])


@pytest.mark.parametrize(
    ("stage", "names"),
    [("features", [LOADER]), ("train:1", ["train.py"]), ("test:0", ["test.py"]), ("merge", ["merge.py"] * 2)],
)
def test_a_stage_does_nothing_but_itself(call, stage, names):
    assert [name for name, *_ in call(f"birds 2 --only {stage}")] == names


@pytest.mark.parametrize("words", ["", "-h", "birds --help", "birds 2 --use_cbam -h"])
def test_help_wherever_it_stands_and_where_no_data_set_is_named(process, tmp_path, words):
    done = process(tmp_path, "bash", ROOT / "run.sh", *words.split(), PYTHON="false")
    assert done.code == (0 if words else 2)
    assert "./run.sh DATASET [K]" in done.out


REFUSED = {  # what follows ./run.sh birds 2, or comes before -> what the one line holds
    "SPLITS=nope": "--plan nope: the data set has val, test",
    "TTA=many": "TTA='many'",
    "--only train:2": "--only train:2: the folds are 0 to 1",
    "--only": "--only ''",
    **{f"--only {s}": f"--only '{s}'" for s in ("train", "train:", "train:01", "test:-1", "fold:1", "all:1")},
    **{f"{flag} 1": f"{flag} is set by run.sh" for flag in (
        "--fold_num", "--num_folds", "--split", "--resume", "--dataset", "--plan",
    )},
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_fail_after_hours_is_refused_before_anything_runs(call, tmp_path, words):
    with pytest.raises(CalledProcessError) as refused:
        call(f"birds 2 {words}") if words.startswith("-") else call("birds 2", before=words)
    assert refused.value.returncode == 2
    assert REFUSED[words] in refused.value.stderr
    assert (tmp_path / "My Projects/calls").read_text().count(".py") <= 1  # which asked for the plan


def test_it_uses_nothing_that_bash_3_2_lacks():
    """macOS has bash 3.2: no empty arrays under set -u, no associative arrays, no case changes, no mapfile."""
    text = (ROOT / "run.sh").read_text()
    arrays = re.findall(r"^[^#\n]*\b(\w+)=\(([^)]*)\)", text, re.MULTILINE)
    assert [name for name, held in arrays if not held.strip()] == []
    newer = r"declare -A|local -n|mapfile|readarray|\$\{\w+(\^|,|@)|&>>|\|&|\[\[ -v|\bwait -n|printf '%\("
    assert re.findall(newer, text) == []
