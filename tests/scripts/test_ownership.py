"""A `best` of another run or time is no best; files of nobody, and disks without locks, are in nobody's way."""

import errno
import fcntl
import os
import shutil

import pytest
import torch

from predicting.checkpoint import load_checkpoint
from tests.scripts.conftest import BEST
from utils import locks

NAME = "mobilenet_v3_small_tiny_{}32x64_16000_0-2"
LOCK = f"checkpoints/.{NAME.format('')}_log.lock"


def content(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, 0])
def test_where_there_are_no_locks_it_goes_on_and_says_so_once(train, monkeypatch, code):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail) if code else monkeypatch.setattr(locks, "fcntl", None)
    done = train("--n_iter", 1)
    assert done.code == 0
    assert done.error.startswith("checkpoints lies where files cannot be locked (")


def spoil(path, **changes):
    state = load_checkpoint(path)
    torch.save(state | {name: change(state[name]) for name, change in changes.items()}, path)


OTHERS = {  # how `last` differs from the run of `best`, and what is said
    "step": ({"step": lambda _: 1, "best_step": lambda _: 0, "log": lambda _: []}, "step 2 and 0"),
    "flags": ({"args": lambda args: args | {"l_rate": 0.5}}, "l_rate 0.01 and 0.5"),
    "data": ({"made_from": lambda made: made | {"the training clips": "x"}}, "the training clips changed"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_best_checkpoint_that_is_not_of_the_run_beside_it_is_refused_before_anything_is_predicted(
    place, script, template, what
):
    changes, said = OTHERS[what]
    best, last = BEST.format(0), BEST.format(0).replace("_best_", "_last_")
    spoil(place / last, **changes)
    before = content(place)
    run = ["--dataset", "tiny", "--img_rows", 32, "--img_cols", 64]
    commands = [
        ["test.py", "--model_path", best],
        ["tag.py", template / "test"],
        ["tag.py", template / "test", "--model_path", best],
        ["merge.py", *run],
        ["on_kaggle/pack.py", "--dataset", "tiny", "--num_folds", 2, "--no-wheels"],
    ]
    for command in commands:
        refused = script(place, *command)
        assert refused.code == 1
        line = f"{best} is not the best checkpoint of the run of {last.split('/')[1]}: {said}"
        assert line in refused.error
        assert f"python train.py --resume {last}" in refused.error
    assert content(place) == before


def test_a_fold_of_another_run_with_the_same_labels_is_not_averaged(place, script, template):
    spoil(place / BEST.format(1), args=lambda args: args | {"l_rate": 0.5})
    spoil(place / BEST.format(1).replace("_best_", "_last_"), args=lambda args: args | {"l_rate": 0.5})
    refused = script(place, "tag.py", template / "test")
    assert refused.code == 1
    assert "l_rate" in refused.error


def test_copies_are_named_and_a_lock_left_behind_disturbs_nobody(place, script, template):
    one = sorted((template / "test").glob("*.wav"))[0]
    alone = script(place, "tag.py", one)
    (place / LOCK).write_text("process 1 on nowhere since ever\n")
    for name in (f"old_{NAME.format('best_')}_model.pth", f"{NAME.format('best_')}_model (copy).pth"):
        shutil.copy(place / BEST.format(0), place / "checkpoints" / name)
    (place / "checkpoints" / f"{NAME.format('best_')}_model_old.pth").write_bytes(b"damaged")
    done = script(place, "tag.py", one)
    assert (done.code, done.out) == (0, alone.out)
    for name in ("old_mobile", "(copy)", "_model_old.pth"):
        assert name in done.error
    assert ".lock" not in done.error
    copies = [place / BEST.format(0), place / "checkpoints" / f"old_{NAME.format('best_')}_model.pth"]
    refused = script(place, "tag.py", one, "--model_path", *copies)
    assert refused.code == 2
    assert "names one network twice" in refused.error
