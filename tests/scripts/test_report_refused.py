"""report.py: what is missing or broken is one line that names it."""

import shlex

import numpy as np
import pytest

FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234")


@pytest.fixture
def refused(script, workplace):
    """Run report.py, which is to fail in one line."""

    def make(*flags: object) -> str:
        done = script(workplace, "report.py", *FLAGS, *flags)
        assert done.code in (1, 2), done.out
        return done.error

    return make


def test_no_predictions_is_one_line_that_tells_what_makes_them(refused):
    assert "make them with test.py" in refused()


def test_a_missing_fold_is_one_line_and_can_be_allowed(ready, refused, script):
    for path in ready.glob("predictions/*_1-2.npz"):
        path.unlink()
    assert "lacks fold 1; run test.py on them" in refused()
    done = script(ready, "report.py", *FLAGS, "--allow_missing", "--clips", 0, "--noisy_clips", 0)
    assert done.code == 0
    assert "continuing without it" in done.err
    page = (ready / "report.html").read_text(encoding="utf-8")
    assert "<td>fold 0</td>" in page
    assert "<td>fold 1</td>" not in page


@pytest.mark.parametrize("content", ["nonsense", '{"step": 1}', "[]", '{"step": "x"}', "\x00", "3"])
def test_a_broken_log_is_one_line_that_names_it(ready, refused, content, write_log):
    path = write_log(ready, 1)
    path.write_text(content)
    assert f"{path.relative_to(ready)} is not a log of train.py" in refused()


def test_a_broken_checkpoint_is_one_line_that_names_it(ready, refused):
    path = ready / "checkpoints" / "resnet18_tiny_best_32x64_16000_0-2_model.pth"
    path.write_bytes(b"\x80\x05cos\nsystem\n.")
    assert path.name in refused()


@pytest.mark.parametrize("change", [{"checkpoint_step": 5}, {"l_rate": 0.2}, {"noisy_weight": 0.5}])
def test_splits_predicted_with_different_checkpoints_are_refused(ready, template, refused, predict, change):
    for fold in range(2):
        path = predict(ready, template, fold, "test", **change)
    error = refused()
    assert next(iter(change)) in error
    assert path.name.replace("_1-2", "_0-2") in error
    assert "predict both with the same checkpoint" in error


def test_splits_may_differ_in_their_crops(ready, template, predict, script):
    for fold in range(2):
        predict(ready, template, fold, "train_noisy", tta="shared", tta_shift=0.03)
    assert script(ready, "report.py", *FLAGS, "--clips", 0, "--noisy_clips", 0).code == 0


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_probabilities_that_are_none_are_refused(ready, template, refused, value, predict):
    predict(ready, template, 0, "val", table=np.full((10, 4), value))
    assert "not all within 0 and 1" in refused()


def test_a_page_that_cannot_be_written_is_one_line(ready, refused):
    (ready / "file").write_text("")
    assert "file" in refused("--output", "file/report.html", "--clips", 0, "--noisy_clips", 0)
