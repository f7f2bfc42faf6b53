"""report.py: what is missing or broken is one line that names it."""

import shlex

import numpy as np
import pytest

FLAGS = shlex.split("--dataset tiny --img_rows 32 --img_cols 64 --seed 1234 --clips 0 --noisy_clips 0")
BEST = "checkpoints/resnet18_tiny_best_32x64_16000_0-2_model.pth"
LOG = "checkpoints/resnet18_tiny_32x64_16000_1-2_log.jsonl"
ANOTHER = "resnet18_tiny_test_32x64_16000_0-2.npz"


def predicted(split: str = "test", **changes: object):
    def spoil(ready, template, predict):
        for fold in range(2):
            predict(ready, template, fold, split, **changes)

    return spoil


def written(name: str, content: bytes):
    return lambda ready, *_: (ready / name).write_bytes(content)


def without(pattern: str):
    return lambda ready, *_: [path.unlink() for path in ready.glob(pattern)]


REFUSED = {  # what is spoiled: how, and what the one line must hold
    "no predictions": (without("predictions/*.npz"), ["make them with test.py"]),
    "a missing fold": (without("predictions/*_1-2.npz"), ["lacks fold 1; run test.py on them"]),
    "a broken checkpoint": (written(BEST, b"\x80\x05cos\nsystem\n."), [BEST]),
    "another step": (predicted(checkpoint_step=5), ["checkpoint_step", ANOTHER, "with the same checkpoint"]),
    "another rate": (predicted(l_rate=0.2), ["l_rate", ANOTHER, "with the same checkpoint"]),
    "another weight": (predicted(noisy_weight=0.5), ["noisy_weight", ANOTHER, "with the same checkpoint"]),
    "below 0": (predicted("val", table=np.full((10, 4), -0.5)), ["not all within 0 and 1"]),
    "above 1": (predicted("val", table=np.full((10, 4), 1.5)), ["not all within 0 and 1"]),
    **{
        f"a log of {content}": (written(LOG, content), [f"{LOG} is not a log of train.py"])
        for content in (b"nonsense", b'{"step": 1}', b"[]", b'{"step": "x"}', b"\x00", b"3")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_missing_or_broken_is_one_line(ready, template, predict, script, case):
    spoil, words = REFUSED[case]
    spoil(ready, template, predict)
    refused = script(ready, "report.py", *FLAGS)
    assert refused.code == 1
    assert all(word in refused.error for word in words), refused.error
    assert not (ready / "report.html").exists()


def test_a_page_that_cannot_be_written_is_one_line(ready, script):
    (ready / "file").write_text("")
    assert "file" in script(ready, "report.py", *FLAGS, "--output", "file/report.html").error


def test_a_missing_fold_can_be_allowed(ready, script):
    without("predictions/*_1-2.npz")(ready)
    done = script(ready, "report.py", *FLAGS, "--allow_missing")
    assert done.code == 0
    assert "continuing without it" in done.err
    page = (ready / "report.html").read_text(encoding="utf-8")
    assert "<td>fold 0</td>" in page
    assert "<td>fold 1</td>" not in page


def test_splits_may_differ_in_their_crops(ready, template, predict, script):
    predicted("train_noisy", tta="shared", tta_shift=0.03)(ready, template, predict)
    assert script(ready, "report.py", *FLAGS).code == 0
