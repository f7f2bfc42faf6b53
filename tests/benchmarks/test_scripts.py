"""Every benchmark runs whole at a toy size and prints its table.  All at once, because most of it is imports."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--arch", "mobilenet_v3_small", "--repeats", "1", "--img_cols", "64"]
STEP = [*TINY, "--clips", "110", "--batch_sizes", "4", "--steps", "1"]
RUNS = {
    "step": [*STEP, "--warm_up", "1"],
    "features": ["--clips", "3", "--repeats", "1"],
    "predict": [*TINY, "--clips", "2", "--folds", "1", "--tta", "2"],
    "scale": [*STEP, "--factors", "1"],
    "precision": [
        *("--curated", "17", "--noisy", "17", "--img_rows", "32", "--img_cols", "32"),
        *("--n_iter", "1", "--batch_size", "2", "--seeds", "1"),
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, warm_python) -> Iterator[dict[str, Future]]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {name: pool.submit(bench, name, tmp_path_factory.mktemp(name), warm_python / "python") for name in RUNS}


def bench(name: str, folder: Path, python: Path) -> tuple[subprocess.CompletedProcess, Path]:
    (folder / "results.md").write_text("before\n", encoding="utf-8")
    command = [str(python), str(ROOT / "benchmarks" / f"{name}.py"), *RUNS[name], "--output", "results.md"]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHON": str(python)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done, folder


@pytest.mark.parametrize("name", RUNS)
def test_runs_whole_and_appends_its_table(name, runs):
    done, folder = runs[name].result()
    assert done.returncode == 0, done.stderr
    table = (folder / "results.md").read_text(encoding="utf-8")
    assert table.startswith("before\n### ")
    assert table.removeprefix("before\n").strip() in done.stdout
    assert "n = " in table
    rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
    assert len(rows) >= 3
    assert len(set(rows)) == 1


@pytest.mark.parametrize("name", RUNS)
def test_leaves_nothing_behind(name, runs):
    _, folder = runs[name].result()
    assert [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor")] == ["results.md"]
