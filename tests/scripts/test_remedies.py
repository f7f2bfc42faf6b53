"""Remedies that messages name: what is refused is not refused any more once one was applied."""

import ast
import json
import re

import numpy as np
import pytest
import torch

from predicting.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import ROOT
from tests.scripts.conftest import BEST
from tests.scripts.test_stale import AS_TRAINED, RUN

LAST, OTHER = BEST.format(0).replace("_best_", "_last_"), BEST.format(1)
PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_1-2.npz"
LOG = "checkpoints/mobilenet_v3_small_tiny_32x64_16000_0-2_log.jsonl"
TEST, MERGE = f"test.py --model_path {BEST.format(0)}", f"merge.py {' '.join(map(str, RUN))}"
REPORT = f"report.py {' '.join(map(str, RUN))} --clips 0 --noisy_clips 0"
FIRST = f"first/{BEST.format(0).split('/')[1]}"


def another_rate(place):
    state = load_checkpoint(place / LAST)
    save_checkpoint(place / LAST, state | {"args": state["args"] | {"l_rate": 0.5}})


def another_prior(place):
    save_checkpoint(place / OTHER, load_checkpoint(place / OTHER) | {"prior": torch.full((4,), 0.25)})


def huge_weights(place):
    state = load_checkpoint(place / BEST.format(0))
    state["model"] = {k: v * 1e25 if v.dim() == 4 else v for k, v in state["model"].items()}
    torch.save(state, place / BEST.format(0))


def drop_a_held_out_clip(place):
    gone = load_checkpoint(place / BEST.format(0))["held_out"][0]
    table = place / "data/train_curated.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith(gone)))


def other_crops(place):
    with np.load(place / PREDICTED) as file:
        held = dict(file)
    np.savez(place / PREDICTED, **held | {"args": np.array(json.dumps(json.loads(str(held["args"])) | {"tta": 3}))})


ROWS = {  # situation: what was done, the command, what it says, and the remedy, which ends in the command
    "a best of another run": (another_rate, TEST, "move it away, then python train.py --resume",
                              f"mv {BEST.format(0)} aside.pth; train.py --resume {LAST}; {TEST}"),
    "a best of another run, kept": (another_rate, TEST, "to use it, move", f"mv {LAST} aside.pth; {TEST}"),
    "no best": (lambda place: (place / BEST.format(0)).unlink(), TEST, "there is no checkpoint ", f"NAMED; {TEST}"),
    "a checkpoint that has changed": (another_prior, MERGE, "predict again: ", f"NAMED; {MERGE}"),
    "damaged predictions": (lambda place: (place / PREDICTED).write_text("nonsense"), MERGE, "is damaged or not",
                            f"rm {PREDICTED}; test.py --model_path {OTHER}; {MERGE}"),
    "other crops": (other_crops, MERGE, "make them alike", f"test.py --model_path {OTHER}; {MERGE}"),
    "a fold that is missing": (lambda place: (place / PREDICTED).unlink(), MERGE, "run test.py on them",
                               f"test.py --model_path {OTHER}; {MERGE}"),
    "a held-out clip that is gone": (drop_a_held_out_clip, f"{TEST} --split val", "or train that fold again",
                                     f"TRAIN --overwrite; {TEST} --split val"),
    "outputs that are not finite": (huge_weights, TEST, "its outputs are not finite", f"TRAIN --overwrite; {TEST}"),
    "no noisy scores": (lambda place: None, "TRAIN --noisy_scores s --checkpoint_dir b", "--noisy_scores s: ",
                        f"TRAIN --split train_curated --checkpoint_dir first; test.py --model_path {FIRST} "
                        "--split train_noisy --prediction_dir s; TRAIN --noisy_scores s --checkpoint_dir b"),
    "a broken log": (lambda place: (place / LOG).write_text("nonsense"), REPORT, "is not a log", f"rm {LOG}; {REPORT}"),
}  # fmt: skip


@pytest.mark.parametrize("situation", ROWS)
def test_a_remedy_that_is_named_works(place, script, process, tiny_flags, situation):
    spoil, command, said, remedy = ROWS[situation]
    train = " ".join(map(str, ["train.py", *tiny_flags, *AS_TRAINED]))
    spoil(place)
    refused = script(place, *command.replace("TRAIN", train).split())
    assert refused.code in (1, 2)
    assert said in refused.error
    named = re.findall(r"python ((?:test|train)\.py.*?)(?=$| brings| writes|;)", refused.error)
    for step in remedy.replace("TRAIN", train).replace("NAMED", "".join(named)).split("; "):
        words = step.split()
        (script if words[0].endswith(".py") else process)(place, *words).ok()


ELSEWHERE = (  # messages whose remedies other tests apply, or that take a GPU, a package or an edit to apply
    "say which to {purpose}", "there are only ", "are no predictions of", "nothing to average", "say with --model_path",
    "no split was predicted with all of", "make them with test.py", "they are of other splits", "{odd}; {remedy}",
    "changed; {again}", "{whose}; {REMEDY}", "train both on the same", "leave one out", "move them away",
    "leave out the sound files", "there are {len(paths)} files", "would be overwritten", "{text}; {remedy}",
    "leave one flag out", "leave the flag out", "no flag --{flag}", "give --deterministic", "or --precision fp32",
    "was made with {name}", "the noisy scores lack", "pip install", "cannot be in a submission", "train.py writes them",
    "--no-wheels leaves them out", "--export takes one", "{what}; {kept}; {remedy}",
)  # fmt: skip


def test_no_message_with_a_remedy_is_without_a_row():
    rooms = ("predicting", "training", "tagging", "reporting", "on_kaggle")
    files = [*ROOT.glob("*.py"), *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    texts = [
        ast.unparse(node.args[0])
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "MisuseError") and node.args
    ]
    known = [*ELSEWHERE, *(re.sub("--noisy_scores s: ", "--noisy_scores {folder}", row[2]) for row in ROWS.values())]
    without = [text for text in texts if ";" in text and not any(fragment in text for fragment in known)]
    assert without == []
