"""train.py: determinism, going on after a stop, what is logged and saved, and that it learns."""

import json
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from loaders.sampling import Batches, Sampler
from losses import get_loss
from predicting.checkpoint import load_checkpoint
from predicting.metrics import lwlrap
from predicting.tta import predict

STEM = "mobilenet_v3_small_tiny_{}_32x64_16000_0-2_model.pth"
ALL_RANDOM = shlex.split("--use_mix_up --use_spec_aug --iter_size 2")
CPU = torch.device("cpu")


@pytest.fixture
def train(script, workplace, tiny_flags):
    """Run train.py on the tiny corpus in the test's own folder."""
    return lambda *flags: script(workplace, "train.py", *tiny_flags, *map(str, flags))


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
        done = train("--n_iter", 3, "--seed", seed, "--checkpoint_dir", folder, *ALL_RANDOM)
        assert done.code == 0, done.err
    a, b, c = (checkpoint(workplace / folder) for folder in "abc")
    assert differences(a, b) == []
    assert log(workplace / "a") == log(workplace / "b")
    assert "/model/features.0.0.weight" in differences(a, c)


def test_a_fold_may_have_a_seed_of_its_own_but_holds_out_the_same_clips(train, workplace):
    for fold in (0, 1):
        for flag in ("--fold_seeds", "--no-fold_seeds"):
            flags = ["--n_iter", 2, "--fold_num", fold, flag, "--checkpoint_dir", flag.lstrip("-"), *ALL_RANDOM]
            assert train(*flags).code == 0
    own, shared = ([load_checkpoint(workplace / folder / STEM.format("last").replace("0-2", f"{fold}-2"))
                    for fold in (0, 1)] for folder in ("fold_seeds", "no-fold_seeds"))  # fmt: skip
    assert [state["held_out"] for state in own] == [state["held_out"] for state in shared]
    assert differences(own[0], shared[0]) == ["/args/fold_seeds"]
    bias = "classifier.0.bias"
    assert differences(own[1]["losses"], shared[1]["losses"]) == [""]
    assert differences(own[1]["model"][bias], shared[1]["model"][bias]) == [""]


def test_a_run_stopped_by_sigterm_goes_on_to_the_same_end(train, workplace, at_batch):
    flags = ["--n_iter", 6, "--eval_freq", 2, *ALL_RANDOM]
    assert train(*flags, "--checkpoint_dir", "whole").code == 0
    at_batch(2 * 2 + 1, lambda made: os.kill(os.getpid(), signal.SIGTERM))  # within the third step
    stopped = train(*flags, "--checkpoint_dir", "parts")
    assert stopped.code == 128 + signal.SIGTERM
    assert stopped.err.strip() == "SIGTERM: saving after this step; once more to exit at once"
    last = workplace / "parts" / STEM.format("last")
    assert f"stopped after step 3; to go on: python train.py --resume parts/{last.name}" in stopped.out
    assert checkpoint(last.parent)["step"] == 3
    resumed = train("--resume", f"parts/{last.name}")
    assert resumed.code == 0, resumed.err
    assert "resuming after step 3 of 6" in resumed.out
    assert not (workplace / "checkpoints").exists()
    for kind in ("last", "best"):
        assert differences(checkpoint(workplace / "whole", kind), checkpoint(workplace / "parts", kind)) == []
    assert log(workplace / "whole") == log(workplace / "parts")


def test_a_run_that_goes_on_elsewhere_has_a_best_checkpoint_there(train, workplace, at_batch):
    flags = ["--n_iter", 6, "--eval_freq", 2]
    at_batch(3, lambda made: os.kill(os.getpid(), signal.SIGTERM))
    assert train(*flags, "--checkpoint_dir", "here").code == 128 + signal.SIGTERM
    last = f"here/{STEM.format('last')}"
    torch.save(load_checkpoint(workplace / last) | {"best_score": 1.0}, workplace / last)  # no later score is better
    resumed = train("--resume", last, "--checkpoint_dir", "there")
    assert resumed.code == 0, resumed.err
    assert "so only the validations to come count" in resumed.out
    assert checkpoint(workplace / "there", "best")["best_step"] in (4, 6)


def test_a_finished_run_without_its_best_checkpoint_is_told(train, workplace):
    assert train("--n_iter", 2, "--eval_freq", 1).code == 0
    last, best = (workplace / "checkpoints" / STEM.format(kind) for kind in ("last", "best"))
    torch.save(load_checkpoint(last) | {"best_step": 1}, last)
    best.unlink()
    refused = train("--n_iter", 2, "--eval_freq", 1, "--resume", "auto")
    assert refused.code == 1
    assert f"{best.name} is not there, and the run is finished; put it back" in refused.error


def test_another_runs_best_checkpoint_is_not_taken_over(train, workplace, at_batch):
    flags = ["--n_iter", 6, "--eval_freq", 2]
    at_batch(3, lambda made: os.kill(os.getpid(), signal.SIGTERM))
    assert train(*flags, "--checkpoint_dir", "here").code == 128 + signal.SIGTERM
    assert train(*flags, "--seed", 9, "--checkpoint_dir", "there").code == 0
    last = f"here/{STEM.format('last')}"
    assert train("--resume", last, "--checkpoint_dir", "there").code == 2
    assert train("--resume", last, "--checkpoint_dir", "there", "--overwrite").code == 0
    assert checkpoint(workplace / "there", "best")["args"]["seed"] == 1234


def test_outputs_that_are_not_finite_are_one_line(train, workplace, script):
    flags = ["--n_iter", 1, "--l_rate", 1e12]
    refused = train(*flags)
    assert refused.code == 1
    assert "outputs are not finite after step 1" in refused.error
    assert "try a smaller --l_rate" in refused.error
    assert train("--n_iter", 2, "--l_rate", 1e12, "--eval_freq", 0, "--save_freq", 1).code == 1
    last = f"checkpoints/{STEM.format('last')}"
    refused = script(workplace, "test.py", "--model_path", last)
    assert refused.code == 1
    assert f"{last}: its outputs are not finite" in refused.error
    assert not list(workplace.rglob("*.npz"))


def test_a_plan_is_of_flags_not_of_a_checkpoint(train):
    refused = train("--plan", "--resume", "somewhere.pth")
    assert refused.code == 2
    assert "leave --resume out" in refused.error


def test_a_killed_run_goes_on_from_its_last_save_to_the_same_end(train, workplace, at_batch):
    class Killed(BaseException):
        pass

    def kill(made):
        raise Killed

    flags = ["--n_iter", 6, "--eval_freq", 3, "--save_freq", 2, "--arch", "mobilenet_v3_small"]
    assert train(*flags, "--checkpoint_dir", "whole").code == 0
    at_batch(4, kill)
    with pytest.raises(Killed):
        train(*flags, "--checkpoint_dir", "parts")
    assert checkpoint(workplace / "parts")["step"] == 4
    assert train("--resume", workplace / "parts" / STEM.format("last"), "--checkpoint_dir", "parts").code == 0
    assert differences(checkpoint(workplace / "whole"), checkpoint(workplace / "parts")) == []
    assert log(workplace / "whole") == log(workplace / "parts")


def test_adamw_and_fine_tuning_go_on_to_the_same_end(train, workplace, at_batch):
    flags = ["--n_iter", 6, "--eval_freq", 6, *shlex.split("--optimizer adamw --curated_share 0.5 --num_cycles 1")]
    flags += ["--fine_tune", 0.5, "--use_mix_up", "--shift_share", 0.1]
    assert train(*flags, "--checkpoint_dir", "whole").code == 0
    at_batch(3, lambda made: os.kill(os.getpid(), signal.SIGTERM))
    assert train(*flags, "--checkpoint_dir", "parts").code == 128 + signal.SIGTERM
    assert train(*flags, "--resume", "auto", "--checkpoint_dir", "parts").code == 0
    assert differences(checkpoint(workplace / "whole"), checkpoint(workplace / "parts")) == []


@pytest.mark.parametrize(("name", "flag"), [("mixup", ["--use_mix_up"]), ("shift_bands", ["--shift_share", 0.1])])
def test_fine_tuning_does_without_mixup_and_shifts(train, module_of, monkeypatch, name, flag):
    train_py = module_of("train.py")
    calls, function = [], getattr(train_py, name)
    monkeypatch.setattr(train_py, name, lambda *batch: calls.append(1) or function(*batch))
    assert train("--n_iter", 5, "--iter_size", 2, "--eval_freq", 0, *flag, "--fine_tune", 0.4).code == 0
    assert len(calls) == 2 * 3


def test_validation_shifts_crops_half_as_far_as_training(train, module_of, monkeypatch):
    train_py = module_of("train.py")
    shifts, function = [], train_py.predict
    monkeypatch.setattr(
        train_py, "predict", lambda *batch, **how: shifts.append(how["shift"]) or function(*batch, **how)
    )
    assert train("--n_iter", 2, "--eval_freq", 0, "--shift_share", 0.2).code == 0
    assert shifts == [0.1]


def test_fine_tuning_keeps_the_noisy_clips_that_it_is_told_to(train, monkeypatch):
    shares = []

    def keep(*args):
        shares.append(args[-3:])
        return Sampler(*args)

    monkeypatch.setattr("training.setup.Sampler", keep)
    flags = ["--iter_size", 2, "--curated_share", 0.4, "--fine_tune", 0.5, "--final_share", 0.6]
    assert train("--n_iter", 4, "--eval_freq", 0, *flags).code == 0
    assert shares == [(0.4, 0.6, 4)]


def test_a_finished_run_resumed_trains_and_writes_nothing(train, workplace):
    assert train("--n_iter", 2).code == 0
    path = workplace / "checkpoints" / STEM.format("last")
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.glob("*.pth")}
    again = train("--n_iter", 2, "--resume", path)
    assert again.code == 0
    assert "best lwlrap" in again.out
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.glob("*.pth")} == before


def test_a_best_that_a_kill_has_cost_is_written_on_resume(train, workplace):
    train("--n_iter", 2)
    best, last = (workplace / "checkpoints" / STEM.format(kind) for kind in ("best", "last"))
    best.unlink()
    train("--resume", last)
    assert differences(load_checkpoint(best), load_checkpoint(last)) == []


@pytest.mark.parametrize(
    "flags", [["--l_rate", 0.5], ["--use_mix_up"], ["--arch", "resnet18"], ["--n_iter", 9], ["--fold_num", 1]]
)
def test_a_flag_that_contradicts_the_resumed_run_is_misuse(train, workplace, flags):
    if not (path := workplace / "checkpoints" / STEM.format("last")).exists():
        train("--n_iter", 1)
    refused = train("--resume", path, *flags)
    assert refused.code == 2
    assert f"{flags[0]} " in refused.error
    assert str(path) in refused.error


def test_a_recipe_given_again_on_resume_contradicts_no_flag_that_overrode_it(train, workplace):
    flags = ["--recipe", "improved", "--n_iter", 2]
    assert train(*flags, "--dropout_rate", 0.4).code == 0
    last = workplace / "checkpoints" / STEM.format("last")
    again = train(*flags, "--resume", last)
    assert again.code == 0, again.err
    assert load_checkpoint(last)["args"]["dropout_rate"] == 0.4


def test_where_and_how_often_may_change_on_resume(train, workplace):
    train("--n_iter", 1)
    path = workplace / "checkpoints" / STEM.format("last")
    flags = "--print_train_freq 7 --save_freq 3 --device auto --checkpoint_dir elsewhere"
    assert train("--resume", path, *flags.split()).code == 0


def test_noisy_scores_for_curated_clips_alone_are_misuse(train):
    refused = train("--split", "train_curated", "--noisy_scores", "predictions")
    assert refused.code == 2
    assert "--noisy_scores" in refused.error


def test_evaluations_are_logged_one_line_each_and_at_the_end(train, workplace):
    assert train("--n_iter", 5, "--eval_freq", 2, "--num_cycles", 1).code == 0
    records = log(workplace / "checkpoints")
    assert [record["step"] for record in records] == [2, 4, 5]
    for record in records:
        always = {"step", "learning_rate", "train_loss", "lwlrap", "best_lwlrap", "per_class"}
        assert always | {"mAP"} <= set(record) <= always | {"mAP", "d-prime"}
        assert set(record["per_class"]) == {"Bark", "Hum", "Rain", "Whistle"}
    losses = checkpoint(workplace / "checkpoints")["losses"]
    assert [record["train_loss"] for record in records] == pytest.approx(
        [losses[:2].mean().item(), losses[2:4].mean().item(), losses[4].item()]
    )
    assert [r["best_lwlrap"] for r in records] == np.maximum.accumulate([r["lwlrap"] for r in records]).tolist()


def test_eval_freq_0_validates_only_at_the_end(train, workplace):
    assert train("--n_iter", 3, "--eval_freq", 0).code == 0
    assert [record["step"] for record in log(workplace / "checkpoints")] == [3]


def test_the_best_checkpoint_is_kept_when_later_ones_are_worse(train, workplace, monkeypatch):
    scores = iter([0.3, 0.8, 0.6])
    monkeypatch.setattr("training.progress.lwlrap", lambda truth, table: next(scores))
    done = train("--n_iter", 3, "--eval_freq", 1)
    assert "best lwlrap 0.8000 at step 2" in done.out
    best, last = (checkpoint(workplace / "checkpoints", kind) for kind in ("best", "last"))
    assert (best["step"], best["best_score"], best["best_step"]) == (2, 0.8, 2)
    assert (last["step"], last["best_score"], last["best_step"]) == (3, 0.8, 2)


def test_a_checkpoint_tells_what_it_is(train, workplace, make_fold):
    assert train("--n_iter", 1, "--seed", 7, "--use_mix_up").code == 0
    state = checkpoint(workplace / "checkpoints", "best")
    assert state["class_names"] == ["Bark", "Hum", "Rain", "Whistle"]
    assert state["held_out"] == make_fold(seed=7).held_out.fnames
    wanted = {"arch": "mobilenet_v3_small", "dataset": "tiny", "seed": 7, "use_mix_up": True, "num_folds": 2}
    assert wanted.items() <= state["args"].items()
    assert not {"resume", "device", "checkpoint_dir"} & set(state["args"])
    assert state["prior"].sum().item() == pytest.approx(1)


def test_a_loss_that_is_not_finite_stops_and_names_the_step(train, workplace, at_batch):
    at_batch(3, lambda made: (made[0] * torch.nan, made[1]))
    done = train("--n_iter", 6, "--save_freq", 2, "--eval_freq", 0)
    assert done.code == 1
    assert "step 4 is not finite" in done.error
    assert f"the last good checkpoint is checkpoints/{STEM.format('last')}" in done.error
    state = checkpoint(workplace / "checkpoints")
    assert state["step"] == 2
    assert all(weight.isfinite().all() for weight in state["model"].values())


def test_a_rate_far_too_high_stops_and_names_the_step(train, workplace):
    done = train("--n_iter", 8, "--l_rate", "1e38", "--print_train_freq", 1)
    assert done.code == 1
    assert "not finite" in done.error
    assert "step " in done.error
    assert "try a smaller --l_rate" in done.error
    assert not (workplace / "checkpoints" / STEM.format("best")).exists()


def test_bf16_trains_and_is_written_down(train, workplace):
    done = train("--n_iter", 2, "--precision", "bf16")
    assert done.code == 0, done.err
    assert "precision bf16, as asked for" in done.out
    state = checkpoint(workplace / "checkpoints")
    assert state["losses"].isfinite().all()
    assert (state["precision"], state["scaler"]) == ("bf16", {})


def test_what_auto_came_to_is_said_and_why(train, workplace):
    done = train("--n_iter", 1)
    assert done.out.count("precision fp32: ") == 1
    assert checkpoint(workplace / "checkpoints")["precision"] == "fp32"


def test_a_run_that_goes_on_in_another_precision_says_so(train, workplace, monkeypatch):
    assert train("--n_iter", 2, "--save_freq", 1).code == 0
    path = workplace / "checkpoints" / STEM.format("last")
    torch.save(load_checkpoint(path) | {"precision": "fp16"}, path)  # as on a GPU
    done = train("--resume", path)
    assert "the steps so far were in fp16" in done.out


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
     (100.0, [], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]),  # slow ones
     (25.0, [], [10, 13, 16, 19, 22, 25, 28, 30]),  # a minute or more apart
     (25.0, ["--print_train_freq", 8], [8, 16, 24, 30])],
)  # fmt: skip
def test_lines_of_progress_come_by_time_unless_told_otherwise(train, monkeypatch, seconds, flags, lines):
    monkeypatch.setattr("training.progress.time", Clock(seconds))
    done = train("--n_iter", 30, "--eval_freq", 0, *flags)
    assert done.code == 0, done.err
    told = [line.split()[1] for line in done.out.splitlines() if "left" in line]
    assert told == [f"{step}/30" for step in lines]


class Noise:
    """Stands in for a fold's batches: four of them, by number."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.batches = [(torch.randn(3, 1, 4, 5), torch.eye(3)) for _ in range(4)]

    def __call__(self, number):
        return self.batches[number]


def test_a_step_averages_the_gradients_of_iter_size_batches(module_of, make_training):
    noise, criterion = Noise(), get_loss("bce+lovasz")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    before = model[1].weight.detach().clone()
    losses = [criterion(model(inputs), targets) for inputs, targets in noise.batches[2:4]]
    gradient = torch.autograd.grad(sum(losses) / 2, model[1].weight)[0]
    training = make_training(arch="mobilenet_v3_small", iter_size=2, n_iter=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0)
    training = replace(training, batches=noise, network=model, model=model, optimizer=optimizer)
    assert module_of("train.py").train_step(training, 1).item() == pytest.approx(sum(losses).item() / 2)
    torch.testing.assert_close(model[1].weight, before - 0.1 * gradient)  # the rate is the schedule's, not 9
    assert model[1].weight.grad is None


def test_sixteen_clips_can_be_learnt_by_heart(make_training, module_of):
    flags = {"split": "train_curated", "num_folds": 5, "batch_size": 16, "img_cols": 32, "dropout_rate": 0.0}
    training = make_training(**flags, n_iter=64, l_rate=0.05)
    clips = replace(training.batches.clips, lengths=np.full(16, 32))  # each cut to its first crop
    training = replace(training, batches=replace(training.batches, clips=clips))
    losses = [module_of("train.py").train_step(training, step).item() for step in range(64)]
    assert np.mean(losses[-4:]) < losses[0] / 10
    assert lwlrap(training.batches.targets.numpy(), predict(training.model, clips, 32, 16, CPU)) == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_steps_on_a_gpu_have_finite_losses(make_training, module_of):
    training = make_training("cuda", n_iter=3, l_rate=0.01)
    assert all(module_of("train.py").train_step(training, step).isfinite() for step in range(3))


def test_the_folder_for_checkpoints_is_made(train, workplace):
    assert train("--n_iter", 1, "--checkpoint_dir", "a/b").code == 0
    assert (workplace / "a/b" / STEM.format("best")).exists()
