"""Several commands at once in one folder, as people with two GPUs run them: none spoils another."""

import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from loaders.clips import open_clips
from loaders.pcen import AudioSettings
from tests.conftest import ROOT

WHOLE_NETWORKS = True
FEATURES = shlex.split("loaders/freesound_loader.py --dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1")
STEM = "mobilenet_v3_small_tiny_{}32x64_16000_0-2"
FLAGS = ["--n_iter", "9", "--eval_freq", "0", "--save_freq", "1"]


def outputs(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


def test_two_folds_train_while_the_features_are_made_anew_twice(process, script, corpus, spoiled, tiny_flags):
    flags = [*tiny_flags, "--n_iter", "4", "--eval_freq", "0", "--save_freq", "1"]
    for fold in 0, 1:
        script(spoiled, "train.py", *flags, "--fold_num", fold, "--checkpoint_dir", "alone").ok()
    for path in (corpus / "train_noisy").iterdir():
        os.utime(path, (1, 1))  # out of date, so that they are computed once more
    trainings = [["train.py", *flags, "--fold_num", fold, "--checkpoint_dir", "together"] for fold in (0, 1)]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda command: process(spoiled, *command), [*trainings, FEATURES, FEATURES]))
    assert [done.code for done in ended] == [0, 0, 0, 0], [done.err for done in ended]
    assert sorted("8 clips computed" in done.out for done in ended[2:]) == [False, True]
    assert outputs(spoiled / "together") == outputs(spoiled / "alone")
    clips, unusable = open_clips(corpus / "features", "train_noisy", AudioSettings(16000, 32), "")
    assert (len(clips), unusable) == (8, {})
    assert not [path.name for path in corpus.rglob("*") if path.name.endswith((".tmp", ".part", ".part.jsonl"))]


@pytest.fixture
def running(workplace, tiny_flags):
    """A training in a process of its own, held still after its first save."""
    command = [sys.executable, ROOT / "train.py", *tiny_flags, *FLAGS]
    started = subprocess.Popen(command, cwd=workplace, stdout=subprocess.DEVNULL)
    last = workplace / "checkpoints" / f"{STEM.format('last_')}_model.pth"
    deadline = time.monotonic() + 200
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGSTOP)
    yield started
    started.kill()
    started.wait()


def test_a_second_run_is_refused_with_the_name_of_the_first_and_a_killed_one_is_taken_over(running, train, workplace):
    folder = workplace / "checkpoints"
    before = outputs(folder)
    for more in ([], ["--l_rate", 0.5], ["--seed", 9, "--overwrite"], ["--resume", "auto"]):
        error = train(*FLAGS, *more).refused()
        assert f"{STEM.format('')}_log.jsonl and its checkpoints belong to process {running.pid} on " in error
        assert "another --checkpoint_dir" in error
    assert outputs(folder) == before
    running.kill()
    running.wait()
    lock = folder / f".{STEM.format('')}_log.lock"
    assert lock.exists()
    done = train(*FLAGS, "--resume", "auto").ok()
    assert "resuming after step" in done.out
