"""Where scripts write: tried before anything is computed; fifos are refused, and links stay what they are."""

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.scripts import conftest

BEST = conftest.BEST.format(0)
RUN = "--dataset tiny --img_rows 32 --img_cols 64"
TRAIN = f"train.py {RUN} --sampling_rate 16000 --num_folds 2 --device cpu --n_iter 1"
OUTPUTS = {  # command line -> the flag that says where its output goes
    f"{TRAIN} --checkpoint_dir PLACE": "--checkpoint_dir",
    f"test.py --model_path {BEST} --prediction_dir PLACE": "--prediction_dir",
    f"merge.py {RUN} --output PLACE/x.csv": "--output",
    f"report.py {RUN} --output PLACE/x.html": "--output",
    f"tag.py SOUNDS --model_path {BEST} --csv PLACE/x.csv": "--csv",
    f"tag.py SOUNDS --model_path {BEST} --json PLACE/x.json": "--json",
    f"tag.py SOUNDS --model_path {BEST} --timeline PLACE": "--timeline",
    f"tag.py --export PLACE/x.onnx --model_path {BEST}": "--export",
}


@pytest.fixture
def into(script, tagger, template, module_of, monkeypatch):
    """Run a command line whose output goes to a place, in which nothing may be computed before that is tried."""

    def computed(*args: object, **how: object) -> None:
        pytest.fail("something was computed before the output was tried")

    for name, function in (
        ("train.py", "build_pool"), ("test.py", "predict"), ("merge.py", "read_corpus"), ("report.py", "read_corpus"),
        ("tag.py", "build_ensemble"), ("tag.py", "export_onnx"),
    ):  # fmt: skip
        monkeypatch.setattr(module_of(name), function, computed)

    def call(command: str, place: Path):
        words = command.replace("SOUNDS", str(template / "test")).replace("PLACE", str(place))
        return script(tagger, *shlex.split(words))

    return call


REFUSED = {  # what lies there -> exit code and reason
    "a file": (1, "is not a folder"),
    "a read-only folder": (1, "Read-only file system"),
    "a fifo": (2, "a device or a pipe"),
}
CASES = [(command, kind) for command in OUTPUTS for kind in REFUSED if kind != "a fifo" or "PLACE/" in command]


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_what_cannot_be_written_is_found_at_the_start(into, read_only, tmp_path, command, kind):
    place, flag = tmp_path / "place", OUTPUTS[command]
    if kind == "a file":
        place.write_text("kept")
    elif kind == "a fifo":
        os.mkfifo(place)
        command = re.sub(r"PLACE/\S+", "PLACE", command)
    else:
        read_only(place)
    refused = into(command, place)
    assert (refused.code, refused.out) == (REFUSED[kind][0], "")
    assert all(text in refused.error for text in (REFUSED[kind][1], str(place), flag))
    assert kind != "a file" or place.read_text() == "kept"


def test_a_file_where_tensorboards_folder_should_be_is_found_at_the_start(into, tmp_path):
    (tmp_path / "tensorboard").write_text("kept")
    refused = into(f"{TRAIN} --tensorboard --checkpoint_dir PLACE", tmp_path)
    assert (refused.code, refused.out) == (1, "")
    assert f"{tmp_path}/tensorboard is not a folder" in refused.error
