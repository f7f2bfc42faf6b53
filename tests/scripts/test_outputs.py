"""Where scripts write: tried before anything is computed, and devices, fifos and links stay what they are."""

import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

BEST = "checkpoints/mobilenet_v3_small_tiny_best_32x64_16000_0-2_model.pth"
RUN = "--dataset tiny --img_rows 32 --img_cols 64"
TRAIN = f"train.py {RUN} --sampling_rate 16000 --num_folds 2 --device cpu --n_iter 1"
OUTPUTS = {  # command line -> the flag that says where its output goes
    f"{TRAIN} --checkpoint_dir PLACE": "--checkpoint_dir",
    f"test.py --model_path {BEST} --prediction_dir PLACE": "--prediction_dir",
    f"merge.py {RUN} --output PLACE/x.csv": "--output",
    f"merge.py {RUN} --split val --output PLACE/x.csv": "--output",
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
        ("train.py", "build_loader"), ("test.py", "predict"), ("merge.py", "read_corpus"), ("report.py", "read_corpus"),
        ("tag.py", "build_ensemble"), ("tag.py", "export_onnx"),
    ):  # fmt: skip
        monkeypatch.setattr(module_of(name), function, computed)

    def call(command: str, place: Path):
        words = command.replace("SOUNDS", str(template / "test")).replace("PLACE", str(place))
        return script(tagger, *shlex.split(words))

    return call


@pytest.fixture
def terminal() -> Iterator[str]:
    """A device that, unlike /dev/null, can be spared."""
    ends = os.openpty()
    yield os.ttyname(ends[1])
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("below", ["", "deep/er"])
@pytest.mark.parametrize("command", OUTPUTS)
def test_a_file_where_a_folder_should_be_is_found_at_the_start(into, tmp_path, command, below):
    (tmp_path / "file").write_text("kept")
    refused = into(command, tmp_path / "file" / below)
    assert (refused.code, refused.out) == (1, "")
    assert f"{tmp_path}/file is not a folder" in refused.error
    assert OUTPUTS[command] in refused.error
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("command", OUTPUTS)
def test_a_read_only_folder_is_found_at_the_start(into, read_only, tmp_path, command):
    read_only(tmp_path / "disc")
    refused = into(command, tmp_path / "disc")
    assert (refused.code, refused.out) == (1, "")
    assert "Read-only file system" in refused.error
    assert OUTPUTS[command] in refused.error


def test_a_file_where_tensorboards_folder_should_be_is_found_at_the_start(into, tmp_path):
    (tmp_path / "tensorboard").write_text("kept")
    refused = into(f"{TRAIN} --tensorboard --checkpoint_dir PLACE", tmp_path)
    assert (refused.code, refused.out) == (1, "")
    assert f"{tmp_path}/tensorboard is not a folder" in refused.error


@pytest.mark.parametrize("kind", ["fifo", "link"])
@pytest.mark.parametrize("command", [f"merge.py {RUN} --output", f"report.py {RUN} --clips 0 --noisy_clips 0 --output"])
def test_a_table_and_a_page_go_into_fifos_and_through_links(script, ready, tmp_path, kind, command):
    assert script(ready, *command.split(), "plain").code == 0
    output, target = tmp_path / "output", tmp_path / "target"
    if kind == "fifo":
        os.mkfifo(output)
    else:
        output.symlink_to("target")
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(output.read_bytes) if kind == "fifo" else None
        done = script(ready, *command.split(), output)
        written = reader.result() if reader else target.read_bytes()
    assert done.code == 0, done.err
    assert written == (ready / "plain").read_bytes()
    assert output.is_fifo() if kind == "fifo" else output.is_symlink()


def test_tags_go_into_a_device_and_through_a_link(run_tag, tmp_path, template, terminal):
    flags = [template / "test", "--model_path", BEST]
    assert run_tag(*flags, "--csv", tmp_path / "plain.csv").code == 0
    (tmp_path / "link.csv").symlink_to("target.csv")
    done = run_tag(*flags, "--csv", tmp_path / "link.csv", "--json", terminal)
    assert (done.code, done.err) == (0, "")
    assert Path(terminal).is_char_device()
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == (tmp_path / "plain.csv").read_text()
    assert len(pd.read_csv(tmp_path / "target.csv")) == 6


def test_two_tables_may_go_to_the_same_device_but_not_into_the_same_file(run_tag, tmp_path, template, terminal):
    flags = [template / "test", "--model_path", BEST]
    assert run_tag(*flags, "--csv", terminal, "--json", terminal).code == 0
    refused = run_tag(*flags, "--csv", tmp_path / "x", "--json", tmp_path / "x")
    assert refused.code == 2
    assert "overwritten" in refused.error
