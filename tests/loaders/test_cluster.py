"""Features from a Dask cluster: the same bytes as here, though a worker dies, and one line where it cannot be."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from loaders import cluster, features
from loaders.features import make_features
from loaders.layouts import Subset, read_corpus
from loaders.pcen import AudioSettings
from utils.errors import UserError

pytest.importorskip("distributed", reason="needs requirements-dask.txt")
SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
FLAGS = ["--dataset", "tiny", "--sampling_rate", "16000", "--img_rows", "32", "--split", "test"]
ONE_DEATH = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}  # a task may cost one worker, not two
TWO_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")


class Hosts:
    """A scheduler and workers, each a process of its own as on hosts of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        self.start("scheduler", "--port", "0", "--scheduler-file", "address.json", **ONE_DEATH)
        written, until = folder / "address.json", time.monotonic() + 30
        while not (written.exists() and written.read_text().endswith("}")) and time.monotonic() < until:
            time.sleep(0.05)
        self.address = json.loads(written.read_text())["address"]

    def start(self, role: str, *flags: str, **environ: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *flags]
        command += ["--host", "127.0.0.1", "--no-dashboard"]
        with open(self.folder / "hosts.log", "a") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=os.environ | environ, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def worker(self, pythonpath: object) -> subprocess.Popen:
        flags = ["--nthreads", "2", "--no-nanny", "--local-directory", str(self.folder)]
        return self.start("worker", self.address, *flags, PYTHONPATH=str(pythonpath), **TWO_THREADS)

    def end(self) -> None:
        for process in reversed(self.processes):  # the workers first
            process.kill()
            process.wait()


@pytest.fixture
def hosts(tmp_path) -> Iterator[Hosts]:
    (tmp_path / "hosts").mkdir()
    started = Hosts(tmp_path / "hosts")
    yield started
    started.end()


@pytest.fixture
def many(tmp_path, template) -> Subset:
    """40 clips, the corpus's own in turn, and one that cannot be used."""
    clips = [subset.folder / fname for subset in read_corpus(template).subsets.values() for fname in subset.fnames]
    (tmp_path / "audio").mkdir()
    fnames = [f"{i:02}.wav" for i in range(40)]
    for i, fname in enumerate(fnames):
        shutil.copy(clips[i % len(clips)], tmp_path / "audio" / fname)
    (tmp_path / "audio/20.wav").write_bytes(b"")
    return Subset(tmp_path / "audio", fnames)


def arrays(folder: Path) -> dict[str, bytes]:
    """What readers of features read, by name; the array's name is a hash of what is in it."""
    return {path.name: path.read_bytes() for path in folder.glob("test*") if path.suffix in (".npy", ".json", ".csv")}


def test_a_worker_killed_half_way_costs_no_clip_and_no_bit(hosts, many, tmp_path, monkeypatch, request):
    make_features(many, "test", tmp_path / "local", SETTINGS, jobs=2)
    workers, add = [hosts.worker(request.config.rootpath) for _ in range(2)], features._Journal.add

    def add_and_kill(journal: object, fname: str, *facts: object) -> object:
        if fname == "12.wav":
            workers[0].send_signal(signal.SIGKILL)
        return add(journal, fname, *facts)

    monkeypatch.setattr(cluster, "AHEAD", 3)  # so that not all is computed before the kill
    monkeypatch.setattr(features._Journal, "add", add_and_kill)
    report = make_features(many, "test", tmp_path / "remote", SETTINGS, jobs=1, scheduler=hosts.address)
    assert workers[0].wait() == -signal.SIGKILL
    assert (report.computed, report.up_to_date) == (39, 0)
    assert report.unusable == {"20.wav": "the file is empty (0 bytes)"}
    assert arrays(tmp_path / "remote") == arrays(tmp_path / "local")


def test_a_cluster_without_workers_and_a_clip_that_none_survives_are_errors(
    hosts, many, tmp_path, monkeypatch, request
):
    arguments = many, "test", tmp_path / "remote", SETTINGS, 1, hosts.address
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    with pytest.raises(UserError, match=f"{hosts.address}: .*0/1 workers"):
        make_features(*arguments)
    monkeypatch.setattr(cluster, "PATIENCE", 30.0)
    (hosts.folder / "killer.py").write_text("import os\n\ndef compute(*_): os.kill(os.getpid(), 9)\n")
    monkeypatch.syspath_prepend(hosts.folder)
    monkeypatch.setattr(cluster, "compute_batch", importlib.import_module("killer").compute)
    monkeypatch.setattr(cluster, "AHEAD", 1)
    for _ in range(2):
        hosts.worker(f"{request.config.rootpath}:{hosts.folder}")
    with pytest.raises(UserError, match=r"KilledWorker.*the clips that were finished are kept"):
        make_features(*arguments)


def test_a_worker_of_other_code_or_without_the_data_refuses(tmp_path):
    with pytest.raises(UserError, match="other code"):
        cluster.compute_batch("0" * 12, tmp_path, [], SETTINGS)
    with pytest.raises(UserError, match="does not see"):
        cluster.compute_batch(cluster.CODE, tmp_path / "gone", [], SETTINGS)


def test_a_worker_computes_with_one_blas_thread(tmp_path, monkeypatch):
    def threads(*_: object) -> str:
        return str({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})

    monkeypatch.setattr(cluster, "try_clip", threads)
    with threadpool_limits(2, user_api="blas"):
        assert threads() == "{2}"
        assert cluster.compute_batch(cluster.CODE, tmp_path, ["a.wav"], SETTINGS) == ["{1}"]


REFUSALS = [  # flags, the exit code, what is said
    (["--backend", "dask"], 2, "--scheduler"),
    (["--scheduler", "tcp://127.0.0.1:1"], 2, "--scheduler"),
    *([["--backend", "dask", "--scheduler", address], 1, f"--scheduler {address}: "]
      for address in ("tcp://127.0.0.1:1", "nonsense", "ftp://x")),
    (["--backend", "dask", "--scheduler", "tcp://x:1"], 2, "pip install -r requirements-dask.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "code", "message"), REFUSALS)
def test_a_cluster_that_cannot_be_used_is_one_line(script, spoiled, corpus, monkeypatch, flags, code, message):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    shutil.rmtree(corpus / "features")
    if "pip" in message:
        monkeypatch.setitem(sys.modules, "distributed", None)
    refused = script(spoiled, "loaders/freesound_loader.py", *FLAGS, *flags)
    assert refused.code == code
    assert message in refused.error
