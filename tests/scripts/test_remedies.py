"""Every remedy that a message names works: what is refused is not refused any more once it was applied."""

import ast
import json
import re
import shutil
import sys

import pytest
import torch

from predicting.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import ROOT
from tests.scripts.conftest import BEST
from tests.scripts.test_stale import AS_TRAINED, RUN, edit

LAST, OTHER = BEST.format(0).replace("_best_", "_last_"), BEST.format(1)
PREDICTED = "predictions/mobilenet_v3_small_tiny_test_32x64_16000_1-2"
TRAIN, TEST, MERGE = "train.py {flags}", f"test.py --model_path {BEST.format(0)}", f"merge.py {' '.join(map(str, RUN))}"
FIRST = "--split train_curated --checkpoint_dir first"
TAG, PACK = "tag.py {data}/test/test00.wav", "on_kaggle/pack.py --dataset tiny --num_folds 2 --no-wheels"
MOVE_AWAY = f"mv {BEST.format(0)} aside.pth; python train.py --resume {LAST}"


def relabel(place):
    edit(place / "data/train_noisy.csv", '"Bark"', '"Rain"')


def remove(*names):
    return lambda place: [(place / name).unlink() for name in names]


def write(name, text="nonsense"):
    def make(place):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)

    return make


def change(path, **values):
    """Other values in a checkpoint."""

    def make(place):
        state = load_checkpoint(place / path)
        save_checkpoint(place / path, state | values | {"args": state["args"] | values.get("args", {})})

    return make


def scale(place):
    state = load_checkpoint(place / BEST.format(0))
    state["model"] = {k: v * 1e25 if v.dim() == 4 else v for k, v in state["model"].items()}
    torch.save(state, place / BEST.format(0))


def drop_a_held_out_clip(place):
    gone = load_checkpoint(place / BEST.format(0))["held_out"][0]
    table = place / "data/train_curated.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith(gone)))


def tones(place):
    """Fold 1 was predicted with other crops than fold 0."""
    path = place / f"{PREDICTED}.npz"
    import numpy as np

    with np.load(path) as file:
        held = dict(file)
    np.savez(path, **held | {"args": np.array(json.dumps(json.loads(str(held["args"])) | {"tta": 3}))})


SAME, BAD = None, "--n_iter 2 --l_rate 1e12 --eval_freq 0 --save_freq 1 --checkpoint_dir bad"
ROWS = {  # situation: what was done, the command, what it says, the remedy; then the command again unless it was that
    "the same run, gone on with": (SAME, TRAIN, "is there already, ", f"python {TRAIN} --resume auto"),
    "the same run, replaced": (SAME, TRAIN, "is there already, ", f"python {TRAIN} --overwrite"),
    "another run, replaced": (SAME, f"{TRAIN} --seed 9", "is there already, ", f"python {TRAIN} --seed 9 --overwrite"),
    "another run, elsewhere": (SAME, f"{TRAIN} --seed 9", "is there already, ", f"python {TRAIN} --checkpoint_dir b"),
    "other data": (relabel, f"{TRAIN} --resume auto", "since it was trained, ",
                   f"python {TRAIN} --resume auto --overwrite"),
    "too high a rate": (SAME, f"{TRAIN} {BAD}", "try a smaller --l_rate", f"python {TRAIN} --checkpoint_dir bad"
                        " --overwrite"),
    "a best of another run": (change(LAST, args={"l_rate": 0.5}), TEST, "is not the best checkpoint of the run",
                              MOVE_AWAY + "; python {again}"),
    "a best of another run, kept": (change(LAST, args={"l_rate": 0.5}), TEST, "is not the best checkpoint of the run",
                                    f"mv {LAST} aside.pth; python {{again}}"),
    "no best": (remove(BEST.format(0)), TEST, "there is no checkpoint ", "{said}; python {again}"),
    "a checkpoint that has changed": (change(OTHER, prior=torch.full((4,), 0.25)), MERGE, "predict again: ",
                                      "{said}; python {again}"),
    "damaged predictions": (write(f"{PREDICTED}.npz"), MERGE, "is damaged or not a prediction file of test.py",
                            f"rm {PREDICTED}.npz; python test.py --model_path {OTHER}; python {{again}}"),
    "other crops": (tones, MERGE, "make them alike", f"python test.py --model_path {OTHER}; python {{again}}"),
    "a fold that is missing": (remove(f"{PREDICTED}.npz"), MERGE, "run test.py on them, or go on without",
                               f"python test.py --model_path {OTHER}; python {{again}}"),
    "a fold that is left out": (remove(f"{PREDICTED}.npz"), MERGE, "run test.py on them, or go on without",
                                f"python {MERGE} --allow_missing"),
    "a held-out clip that is gone": (drop_a_held_out_clip, f"{TEST} --split val", "held out ",
                                     f"python {TRAIN} --overwrite; python {{again}}"),
    "outputs that are not finite": (scale, TEST, "its outputs are not finite",
                                    f"python {TRAIN} --l_rate 0.001 --overwrite; python {{again}}"),
    "one network twice": (lambda place: shutil.copy(place / OTHER, place / "x.pth"),
                          f"{TAG} --model_path {OTHER} x.pth",
                          "names one network twice", f"python {TAG} --model_path {OTHER}"),
    "no noisy scores": (SAME, f"{TRAIN} --noisy_scores s --noisy_precision 0.1 --checkpoint_dir b",
                        "--noisy_scores s: ",
                        f"python {TRAIN} {FIRST}; python test.py --model_path first/{BEST.format(0)[12:]} --split "
                        "train_noisy --prediction_dir s; python {again}"),
    "someone else's folder": (write("kaggle_dataset/x"), PACK, "holds files that this script did not write",
                              "mv kaggle_dataset x; python {again}"),
    "a broken log": (write("checkpoints/mobilenet_v3_small_tiny_32x64_16000_0-2_log.jsonl"),
                     f"report.py {' '.join(map(str, RUN))} --clips 0 --noisy_clips 0", "is not a log of train.py",
                     "rm checkpoints/*_0-2_log.jsonl; python {again}"),
}  # fmt: skip


@pytest.mark.parametrize("situation", ROWS)
def test_a_remedy_that_is_named_works(place, script, process, tiny_flags, situation):
    spoil, command, said, remedy = ROWS[situation]
    if spoil:
        spoil(place)
    words = {"flags": " ".join(map(str, [*tiny_flags, *AS_TRAINED])), "data": "data"}
    command = command.format(**words)
    refused = script(place, *command.split())
    assert refused.code in (1, 2)
    assert said in refused.error
    named = re.findall(r"python (?:test|train)\.py.*?(?=$| brings| writes|;)", refused.error)
    remedy = remedy.format(**words, again=command, said=named[0] if named else "")
    done = process(place, "bash", "-ec", remedy.replace("python ", f"{sys.executable} {ROOT}/"))
    assert done.code == 0, done.err


def test_overwrite_replaces_through_run_sh_too(make_repository, process, warm_python, tiny_flags):
    root = make_repository()
    flags = " ".join(tiny_flags).replace("--dataset tiny", "").replace("--num_folds 2", "").split()

    def call(*more):
        words = ["./run.sh", "tiny", 2, *flags, "--n_iter", 2, "--eval_freq", 1, *more]
        return process(root, *words, PYTHON=warm_python / "python")

    assert call("--only", "features").code == call("--only", "train:0").code == 0
    best = root / BEST.format(0)
    best.unlink()
    relabel(root)
    assert "--overwrite" in call("--only", "train:0").error
    assert call("--only", "train:0", "--overwrite").code == 0
    assert best.exists()
    best.unlink()
    assert call("--only", "train:0", "--overwrite").code == 0
    assert call("--only", "train:0", "--seed", 9).code == 2
    assert call("--only", "train:0", "--seed", 9, "--overwrite").code == 0
    assert load_checkpoint(best)["args"]["seed"] == 9


ELSEWHERE = (  # messages whose remedies other tests apply, or that take a GPU, a package or an edit to apply
    "belong to {owner}", "say which to {purpose}", "there are only ", "are no predictions of", "nothing to average",
    "say with --model_path",
    "no split was predicted with all of", "make them with test.py", "they are of other splits",
    "train both on the same", "predict both with the same",
    "leave out the sound files", "there are {len(paths)} files", "would be overwritten",
    "leave one flag out", "leave the flag out", "no flag --{flag}", "give --deterministic", "or --precision fp32",
    "was made with {name}", "the noisy scores lack", "pip install", "leave --resume out", "crop}; {remedy}",
    "cannot be in a submission", "train.py writes them", "--no-wheels leaves them out", "{text}; {remedy}",
    "--export takes one", "{what}; {kept}; {remedy}",
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
