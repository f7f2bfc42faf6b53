"""Several commands at once in one folder, as people with two GPUs run them: none spoils another."""

import os
import shlex
from concurrent.futures import ThreadPoolExecutor

from loaders.clips import open_clips
from loaders.pcen import AudioSettings

FEATURES = shlex.split("loaders/freesound_loader.py --dataset tiny --sampling_rate 16000 --img_rows 32 --jobs 1")


def outputs(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_folds_train_while_the_features_are_made_anew_twice(process, script, corpus, spoiled, tiny_flags):
    flags = [*tiny_flags, "--n_iter", "6", "--eval_freq", "1"]
    for fold in 0, 1:
        assert script(spoiled, "train.py", *flags, "--fold_num", fold, "--checkpoint_dir", "alone").code == 0
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
