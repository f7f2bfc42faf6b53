"""train.py: determinism, going on after a stop, what is logged and saved, and that it learns."""

import json
import os
import shlex
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from loaders.sampling import Batches, Sampler
from predicting.checkpoint import load_checkpoint, save_checkpoint
from predicting.metrics import lwlrap
from predicting.tta import predict
from training import progress
from utils import devices

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"
ALL_RANDOM = shlex.split("--use_mix_up --use_spec_aug --iter_size 2")
CPU = torch.device("cpu")


def checkpoint(folder: Path, kind: str = "last") -> dict:
    return load_checkpoint(folder / STEM.format(kind))


def log(folder: Path) -> list[dict]:
    path = folder / "mobilenet_v3_small_tiny_32x64_16000_0-2_log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def differences(one: object, two: object, where: str = "") -> list[str]:
    """Places at which two checkpoints differ, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        same = isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one, two)
        return [] if same or (one.isnan().any() and torch.allclose(one, two, 0, 0, equal_nan=True)) else [where]
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [place for key in one for place in differences(one[key], two[key], f"{where}/{key}")]
    return [] if one == two else [where]


@pytest.fixture
def at_batch(monkeypatch):
    """Do something when the batch of this number is asked for the first time; what it returns replaces the batch."""

    def arrange(number: int, action) -> None:
        batch, actions = Batches.__call__, [action]

        def watched(batches, asked):
            made = batch(batches, asked)
            return (actions.pop()(made) or made) if asked == number and actions else made

        monkeypatch.setattr(Batches, "__call__", watched)

    return arrange


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(train, workplace):
    for folder, seed in {"a": 5, "b": 5, "c": 6}.items():
        train("--n_iter", 3, "--seed", seed, "--checkpoint_dir", folder, *ALL_RANDOM).ok()
    a, b, c = (checkpoint(workplace / folder) for folder in "abc")
    assert differences(a, b) == []
    assert log(workplace / "a") == log(workplace / "b")
    assert "/model/features.0.0.weight" in differences(a, c)


def test_a_fold_may_have_a_seed_of_its_own_but_holds_out_the_same_clips(train, workplace):
    for fold in (0, 1):
        for flag in ("--fold_seeds", "--no-fold_seeds"):
            flags = ["--n_iter", 1, "--fold_num", fold, flag, "--checkpoint_dir", flag.lstrip("-")]
            train(*flags).ok()
    own, shared = ([load_checkpoint(workplace / folder / STEM.format("last").replace("0-2", f"{fold}-2"))
                    for fold in (0, 1)] for folder in ("fold_seeds", "no-fold_seeds"))  # fmt: skip
    assert [state["held_out"] for state in own] == [state["held_out"] for state in shared]
    assert differences(own[0], shared[0]) == ["/args/fold_seeds"]
    bias = "classifier.0.bias"
    assert differences(own[1]["losses"], shared[1]["losses"]) == [""]
    assert differences(own[1]["model"][bias], shared[1]["model"][bias]) == [""]


class Killed(BaseException):
    pass


def kill(_: object) -> None:
    raise Killed


def stop(_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


LATE = "--optimizer adamw --curated_share 0.5 --num_cycles 1 --fine_tune 0.5 --use_mix_up --shift_share 0.1"


@pytest.mark.parametrize(
    ("flags", "batch", "action", "saved"),
    [
        (["--eval_freq", 2, *ALL_RANDOM], 2 * 2 + 1, stop, 3),  # within the third step
        (["--eval_freq", 3, "--save_freq", 2], 4, kill, 4),
        (["--eval_freq", 6, *shlex.split(LATE)], 3, stop, 4),
    ],
)
def test_a_run_that_was_stopped_or_killed_goes_on_to_the_same_end(
    train, workplace, at_batch, flags, batch, action, saved
):
    train("--n_iter", 6, *flags, "--checkpoint_dir", "whole").ok()
    at_batch(batch, action)
    last = f"parts/{STEM.format('last')}"
    if action is kill:
        with pytest.raises(Killed):
            train("--n_iter", 6, *flags, "--checkpoint_dir", "parts")
    else:
        stopped = train("--n_iter", 6, *flags, "--checkpoint_dir", "parts")
        assert stopped.code == 128 + signal.SIGTERM
        assert stopped.err.strip() == "SIGTERM: saving after this step; once more to exit at once"
        assert f"stopped after step {saved}; to go on: python train.py --resume {last}" in stopped.out
    assert checkpoint(workplace / "parts")["step"] == saved
    resumed = train("--resume", last).ok()
    assert f"resuming after step {saved} of 6" in resumed.out
    assert not (workplace / "checkpoints").exists()
    for kind in ("last", "best"):
        assert differences(checkpoint(workplace / "whole", kind), checkpoint(workplace / "parts", kind)) == []
    assert log(workplace / "whole") == log(workplace / "parts")


def test_a_run_killed_while_it_saves_goes_on_from_what_is_there(train, workplace, monkeypatch):
    flags = ["--n_iter", 4, "--eval_freq", 2, "--resume", "auto"]
    train(*flags, "--checkpoint_dir", "whole").ok()
    for lost in ("best", "last"):

        def save_or_die(path: Path, state: dict, lost: str = lost) -> None:
            if f"_{lost}_" in path.name:
                raise Killed
            save_checkpoint(path, state)

        with monkeypatch.context() as patch:
            patch.setattr(progress, "save_checkpoint", save_or_die)
            with pytest.raises(Killed):
                train(*flags, "--checkpoint_dir", lost)
        train(*flags, "--checkpoint_dir", lost).ok()
        for kind in ("last", "best"):
            assert differences(checkpoint(workplace / "whole", kind), checkpoint(workplace / lost, kind)) == []


def test_a_run_that_goes_on_elsewhere_has_a_best_checkpoint_there(train, workplace, at_batch):
    flags = ["--n_iter", 6, "--eval_freq", 2]
    at_batch(3, stop)
    assert train(*flags, "--checkpoint_dir", "here").code == 128 + signal.SIGTERM
    last = f"here/{STEM.format('last')}"
    torch.save(load_checkpoint(workplace / last) | {"best_score": 1.0}, workplace / last)  # no later score is better
    resumed = train("--resume", last, "--checkpoint_dir", "there").ok()
    assert "the best makes a new one" in resumed.out
    assert checkpoint(workplace / "there", "best")["best_step"] in (4, 6)


@pytest.mark.parametrize("what", ["gone", "of another step"])
def test_a_finished_run_trains_no_more_but_makes_a_best_that_is_lost_of_its_last_weights(train, workplace, what):
    flags = ["--n_iter", 2, "--eval_freq", 1, "--resume", "auto"]
    train(*flags).ok()
    last, best = (workplace / "checkpoints" / STEM.format(kind) for kind in ("last", "best"))
    state, records = load_checkpoint(last), log(workplace / "checkpoints")
    torch.save(state | {"best_step": 1, "best_score": 2.0}, last)
    torch.save(state, best)
    if what == "gone":
        best.unlink()
    done = train(*flags).ok()
    assert f"{best.name} is not there: of the scores from step 2 on, the best makes a new one" in done.out
    made, now = load_checkpoint(best), load_checkpoint(last)
    assert differences(made, now) == ["/presence"]  # which best checkpoints alone have
    assert differences(made["model"], state["model"]) == []
    assert (made["best_step"], made["best_score"]) == (2, records[1]["lwlrap"])
    assert log(workplace / "checkpoints") == [records[0], records[1] | {"best_lwlrap": records[1]["lwlrap"]}]
    before = best.stat().st_mtime_ns, last.stat().st_mtime_ns
    assert "makes a new one" not in train(*flags).out
    assert (best.stat().st_mtime_ns, last.stat().st_mtime_ns) == before


def test_outputs_that_are_not_finite_are_one_line(train, workplace, script):
    flags = ["--n_iter", 1, "--l_rate", 1e12]
    error = train(*flags).refused()
    assert "outputs are not finite after step 1; there is no checkpoint yet; try a smaller --l_rate" in error
    assert train("--n_iter", 2, "--l_rate", 1e12, "--eval_freq", 0, "--save_freq", 1).code == 1
    last = f"checkpoints/{STEM.format('last')}"
    assert f"{last}: its outputs are not finite" in script(workplace, "test.py", "--model_path", last).refused()
    assert not list(workplace.rglob("*.npz"))


def test_a_plan_names_splits_and_the_best_checkpoint_of_each_fold(train):
    best = [f"checkpoints/{STEM.format('best').replace('0-2', f'{fold}-2')}" for fold in (0, 1)]
    assert train("--plan").out.splitlines() == ["val test", *best]
    assert train("--plan", "test", "train_noisy").out.splitlines() == ["test train_noisy", *best]


def test_fine_tuning_does_without_mixup_and_shifts_and_deals_other_clips(train, module_of, monkeypatch):
    train_py, calls, shares, shifts = module_of("train.py"), Counter(), [], []
    for name in ("mixup", "shift_bands"):
        function = getattr(train_py, name)
        counted = lambda *batch, name=name, function=function: calls.update([name]) or function(*batch)  # noqa: E731
        monkeypatch.setattr(train_py, name, counted)
    watched = lambda *batch, **how: shifts.append(how["shift"]) or predict(*batch, **how)  # noqa: E731
    monkeypatch.setattr(train_py, "predict", watched)
    monkeypatch.setattr("training.setup.Sampler", lambda *args: shares.append(args[-3:]) or Sampler(*args))
    flags = shlex.split("--use_mix_up --shift_share 0.2 --fine_tune 0.4 --curated_share 0.4 --final_share 0.6")
    train("--n_iter", 5, "--iter_size", 2, "--eval_freq", 0, *flags).ok()
    assert calls == {"mixup": 2 * 3, "shift_bands": 2 * 3}
    assert shares == [(0.4, 0.6, 2 * 3)]
    assert shifts == [0.1]  # in validation crops are shifted half as far as in training


def test_on_resume_where_and_how_often_may_change_but_nothing_else(train, workplace):
    train("--recipe", "improved", "--n_iter", 1, "--dropout_rate", 0.4).ok()
    path = workplace / "checkpoints" / STEM.format("last")
    for flags in ["--l_rate", 0.5], ["--use_cbam"], ["--arch", "resnet18"], ["--n_iter", 9], ["--fold_num", 1]:
        error = train("--resume", path, *flags).refused(2)
        assert f"{flags[0]} " in error
        assert str(path) in error
    flags = "--recipe improved --print_train_freq 7 --save_freq 3 --device auto --checkpoint_dir elsewhere"
    train("--resume", path, *flags.split()).ok()
    assert checkpoint(workplace / "elsewhere", "best")["args"]["dropout_rate"] == 0.4


def test_evaluations_are_logged_one_line_each_and_the_best_checkpoint_is_kept(train, workplace, monkeypatch):
    scores = iter([0.3, 0.8, 0.6])
    monkeypatch.setattr("training.progress.lwlrap", lambda truth, table: next(scores))
    done = train("--n_iter", 5, "--eval_freq", 2, "--num_cycles", 1)
    assert "best lwlrap 0.8000 at step 4" in done.out
    records = log(workplace / "checkpoints")
    assert [record["step"] for record in records] == [2, 4, 5]
    for record in records:
        always = {"step", "learning_rate", "train_loss", "lwlrap", "best_lwlrap", "per_class", "mAP"}
        assert always <= set(record) <= always | {"d-prime"}
        assert set(record["per_class"]) == {"Bark", "Hum", "Rain", "Whistle"}
    losses = checkpoint(workplace / "checkpoints")["losses"]
    assert [record["train_loss"] for record in records] == pytest.approx(
        [losses[:2].mean().item(), losses[2:4].mean().item(), losses[4].item()]
    )
    best, last = (checkpoint(workplace / "checkpoints", kind) for kind in ("best", "last"))
    assert (best["step"], best["best_score"], best["best_step"]) == (4, 0.8, 4)
    assert (last["step"], last["best_score"], last["best_step"]) == (5, 0.8, 4)


def test_a_checkpoint_tells_what_it_is(train, workplace, make_fold):
    train("--n_iter", 1, "--seed", 7, "--use_mix_up").ok()
    state = checkpoint(workplace / "checkpoints", "best")
    assert state["class_names"] == ["Bark", "Hum", "Rain", "Whistle"]
    assert state["held_out"] == make_fold(seed=7).held_out.fnames
    wanted = {"arch": "mobilenet_v3_small", "dataset": "tiny", "seed": 7, "use_mix_up": True, "num_folds": 2}
    assert wanted.items() <= state["args"].items()
    assert not {"resume", "device", "checkpoint_dir"} & set(state["args"])
    assert state["prior"].sum().item() == pytest.approx(1)


def test_a_loss_that_is_not_finite_stops_and_names_the_step(train, workplace, at_batch):
    at_batch(3, lambda made: (made[0] * torch.nan, made[1]))
    error = train("--n_iter", 6, "--save_freq", 2, "--eval_freq", 0).refused()
    assert "step 4 is not finite" in error
    assert f"the last good checkpoint is checkpoints/{STEM.format('last')}" in error
    state = checkpoint(workplace / "checkpoints")
    assert state["step"] == 2
    assert all(weight.isfinite().all() for weight in state["model"].values())


@pytest.mark.parametrize(("flags", "precision"), [([], "fp32"), (["--precision", "bf16"], "bf16")])
def test_the_precision_is_said_and_written_down(train, workplace, monkeypatch, flags, precision):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: False)
    done = train("--n_iter", 1, *flags).ok()
    assert f"held out, cpu x 1, {precision}\n" in done.out
    last = workplace / "checkpoints" / STEM.format("last")
    state = load_checkpoint(last)
    assert state["losses"].isfinite().all()
    assert (state["precision"], state["scaler"]) == (precision, {})
    torch.save(state | {"precision": "fp16"}, last)  # as on a GPU
    assert "the steps so far were in fp16" in train("--resume", last).out


class Clock:
    """Stands in for `time`: each look at it is so many seconds after the one before."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def monotonic(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(
    ("seconds", "flags", "lines"),
    [(0.0001, [], [10, 30]),  # fast steps: after ten of them, and at the end
     (25.0, [], [10, 13, 16, 19, 22, 25, 28, 30]),  # a minute or more apart
     (25.0, ["--print_train_freq", 8], [8, 16, 24, 30])],
)  # fmt: skip
def test_lines_of_progress_come_by_time_unless_asked_for_by_steps(train, monkeypatch, seconds, flags, lines):
    monkeypatch.setattr("training.progress.time", Clock(seconds))
    done = train("--n_iter", 30, "--eval_freq", 0, *flags).ok()
    steps = [line.split()[1] for line in done.out.splitlines() if "left" in line]
    assert steps == [f"{step}/30" for step in lines]


def test_sixteen_clips_can_be_learnt_by_heart(make_training, module_of):
    flags = {"split": "train_curated", "num_folds": 5, "batch_size": 16, "img_cols": 32, "dropout_rate": 0.0}
    training = make_training(**flags, arch="mobilenet_v3_small", n_iter=64, l_rate=0.05)
    clips = replace(training.batches.clips, lengths=np.full(16, 32))  # each cut to its first crop
    training = replace(training, batches=replace(training.batches, clips=clips))
    losses = [module_of("train.py").train_step(training, step).item() for step in range(64)]
    assert np.mean(losses[-4:]) < losses[0] / 10
    assert lwlrap(training.batches.targets.numpy(), predict(training.model, clips, 32, 16, CPU)) == 1.0
