"""The Kaggle notebook: run from what was packed, without network, on read-only inputs, it makes the same submission."""

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from on_kaggle.pack import CODE
from tests.conftest import write_config

WHOLE_NETWORKS = True
NAMES = ["--slug", "my-pack", "--competition", "tiny-tagging", "--user", "me"]
CHECKPOINTS = [f"mobilenet_v3_small_tiny_best_32x64_16000_{fold}-2_model.pth" for fold in (0, 1)]
SEALED = """
for folder in "$1"/*; do mount --bind -o ro "$folder" "$folder"; ! touch "$folder/x" 2> /dev/null || exit 3; done
shift; exec "$@"
"""  # in namespaces of its own: there the inputs are read-only and the network has no interface
RUN_NOTEBOOK = """
import sys
import nbclient, nbformat
from jupyter_client import KernelManager
notebook = nbformat.read(sys.argv[1], 4)
kernel = KernelManager(kernel_name="python3", transport="ipc")
try:
    nbclient.NotebookClient(notebook, km=kernel, timeout=200).execute()
finally:
    print(*[output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])])
"""
WITHOUT_TRAINING = """
import sys
scripts = {"test.py", "merge.py"}
if any(word.rpartition("/")[2] in scripts for word in sys.orig_argv):
    sys.modules.update(dict.fromkeys(("iterstrat", "cv2", "distributed", "numba")))  # importing one fails
"""  # prediction does without what only training and the features need


@pytest.fixture(scope="module")
def outside(tmp_path_factory, template, script, tiny_flags) -> Path:
    """A folder with the two trained folds, their predictions and the submission."""
    root = write_config(tmp_path_factory.mktemp("outside"), tiny=template)
    for fold in (0, 1):
        assert script(root, "train.py", *tiny_flags, "--n_iter", 1, "--fold_num", fold).code == 0
    best = [f"checkpoints/{name}" for name in CHECKPOINTS]
    for path in best:
        assert script(root, "test.py", "--model_path", path, "--tta", 2).code == 0
    assert script(root, "merge.py", "--dataset", "tiny", "--model_path", *best).code == 0
    return root


@pytest.fixture(scope="module")
def packed(outside, script) -> dict:
    """What pack.py says it packed; its wheels only where pip can have them."""
    flags = ["--dataset", "tiny", "--num_folds", 2, "--tta", 2, *NAMES]
    flags += ["--python", f"{sys.version_info.major}.{sys.version_info.minor}"]
    done = script(outside, "on_kaggle/pack.py", *flags)
    if "cannot be downloaded" in done.err:
        done = script(outside, "on_kaggle/pack.py", *flags, "--no-wheels")
    assert done.code == 0, done.err
    return json.loads((outside / "kaggle_dataset/pack.json").read_text())


@pytest.fixture(scope="module")
def kaggle(outside, packed, template, process, tmp_path_factory):
    """Run the notebook where things lie as on Kaggle; returns the folder, what it printed and whether it was sealed."""
    root = tmp_path_factory.mktemp("kaggle")
    for folder in ("working", "probe/inside"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(outside / "kaggle_dataset", root / "input/datasets/me/my-pack")
    shutil.copytree(template, root / "input/tiny-tagging", ignore=shutil.ignore_patterns("features"))
    before = {path: path.stat().st_mtime_ns for path in (root / "input").rglob("*")}
    seal = ["unshare", "-nm", "bash", "-ec", SEALED, "bash"]
    sealed = bool(shutil.which("unshare")) and process(root, *seal, root / "probe", "true").code == 0
    command = [sys.executable, "-c", RUN_NOTEBOOK, outside / "kaggle_notebook/notebook.ipynb"]
    folders = {"FAT_INPUT": root / "input", "FAT_WORK": root / "working"}
    folders |= dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), root / "jupyter") | {"PYTHONPATH": root / "probe"}
    (root / "probe/sitecustomize.py").write_text(WITHOUT_TRAINING)
    done = process(root / "working", *([*seal, root / "input"] if sealed else []), *command, **folders)
    assert done.code == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in (root / "input").rglob("*")} == before
    return root, done.out, sealed


def test_the_notebook_makes_the_submission_that_the_loop_makes(kaggle, outside):
    root, out, _ = kaggle
    assert "test: 6 clips computed" in out
    assert "merged: lwlrap" in out
    assert (root / "working/submission.csv").read_bytes() == (outside / "submission.csv").read_bytes()
    assert not list((root / "working/features").rglob("train*"))


def test_it_needs_no_network_and_installs_the_packed_wheels(kaggle, packed):
    if packed["requirements"]:
        assert [line.split("==")[0] for line in packed["requirements"]] == ["soundfile", "av", "soxr"]
        assert (kaggle[0] / "working/packages/soxr/__init__.py").exists()
    if not kaggle[2]:
        pytest.skip("this system permits no namespaces; the notebook ran with network, on inputs it could write to")
    if not packed["requirements"]:
        pytest.skip("there is no package index here to have wheels from")


def test_the_pack_holds_checkpoints_and_code_and_the_notebook_reads_the_data_sets_that_were_named(packed, outside):
    folder = outside / "kaggle_dataset"
    assert packed["checkpoints"] == CHECKPOINTS
    for name in CHECKPOINTS:
        assert (folder / "checkpoints" / name).read_bytes() == (outside / "checkpoints" / name).read_bytes()
    assert not list(folder.rglob("__pycache__"))
    assert {path.name for path in (folder / "code").iterdir()} == {*CODE}
    assert json.loads((folder / "dataset-metadata.json").read_text())["id"] == "me/my-pack"
    folder = outside / "kaggle_notebook"
    notebook = nbformat.read(folder / "notebook.ipynb", 4)
    nbformat.validate(notebook)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert all(f'mounted("{name}")' in code for name in ("my-pack", "tiny-tagging"))
    kernel = json.loads((folder / "kernel-metadata.json").read_text())
    assert (kernel["dataset_sources"], kernel["competition_sources"]) == (["me/my-pack"], ["tiny-tagging"])
    assert kernel["enable_internet"] is False


def test_make_kaggle_calls_the_packer(process, request):
    done = process(request.config.rootpath, "make", "-n", "kaggle", "DATASET=birds", "K=3", "KAGGLE_FLAGS=--user me")
    assert "on_kaggle/pack.py --dataset birds --num_folds 3 --user me" in done.out


@pytest.fixture
def place(outside, tmp_path) -> Path:
    """A folder with the two checkpoints, for a test to spoil."""
    return shutil.copytree(outside / "checkpoints", tmp_path / "checkpoints").parent


@pytest.fixture
def refuse(place, script):
    """pack.py's one line of refusal."""

    def call(*flags: object, code: int = 1) -> str:
        refused = script(place, "on_kaggle/pack.py", "--dataset", "tiny", "--num_folds", 2, *flags)
        assert refused.code == code, refused
        return refused.error

    return call


def test_of_each_fold_one_network_is_packed_copies_and_a_missing_fold_are_named(refuse, place, script):
    copies = [f"{CHECKPOINTS[1][:-4]} (copy).pth", f"old_{CHECKPOINTS[0]}"]
    for name in copies:
        shutil.copy(place / "checkpoints" / CHECKPOINTS[0], place / "checkpoints" / name)
    done = script(place, "on_kaggle/pack.py", "--dataset", "tiny", "--num_folds", 2, "--no-wheels")
    assert done.code == 0
    assert f"left out {', '.join(copies)}, which are copies or of other runs" in done.err
    assert json.loads((place / "kaggle_dataset/pack.json").read_text())["checkpoints"] == CHECKPOINTS
    for name in (*copies, CHECKPOINTS[1]):
        (place / "checkpoints" / name).unlink()
    assert "mobilenet_v3_small_16000_2 lacks fold 1; train them first" in refuse()
    assert "train.py" in script(place, "on_kaggle/pack.py", "--dataset", "other").err


def test_a_folder_of_someone_elses_is_left_alone(refuse, place):
    (place / "kaggle_dataset").mkdir()
    (place / "kaggle_dataset/mine.txt").write_text("")
    assert "kaggle_dataset" in refuse()
    assert os.listdir(place / "kaggle_dataset") == ["mine.txt"]


def test_wheels_that_pip_cannot_have_are_one_line(refuse, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "--no-wheels" in refuse()
