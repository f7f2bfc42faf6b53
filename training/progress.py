"""What a training run does besides its steps: go on from a checkpoint, validate, log, save, refuse bad numbers."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from predicting.checkpoint import load_weights, save_checkpoint
from predicting.metrics import lwlrap, per_class_lwlrap
from predicting.paths import checkpoint_path, log_path, tensorboard_dir
from predicting.scores import further
from training.processes import SOLO, Team
from training.resume import HERE_ONLY
from training.scaling import LossScaler
from training.schedule import learning_rate
from utils.atomic import atomic_write, try_outputs
from utils.devices import precision_name
from utils.digests import versions
from utils.errors import MisuseError, UserError

FIRST_LINE, LINE_EVERY = 10, 60  # steps until the first line of progress; seconds between the others


class TrainingRun:
    """The state of a run between steps; `step` is the number of optimizer steps done."""

    def __init__(
        self,
        args: argparse.Namespace,
        loader: Any,
        model: nn.Module,
        optimizer: Any,
        scaler: LossScaler,
        precision: torch.dtype,
        resumed: dict[str, Any] | None,
        team: Team = SOLO,
    ) -> None:
        """loader: knows class_names, metrics, clips, held_out, held_out_truth, prior and made_from.

        resumed: a checkpoint to go on from.  team: its first process is the one that scores, prints and writes files.
        """
        self.args, self.loader, self.model, self.optimizer = args, loader, model, optimizer
        self.scaler, self.precision, self.team = scaler, precision, team
        self.step, self.best_score, self.best_step = 0, -1.0, 0
        self.log: list[dict[str, Any]] = []
        device = next(model.parameters()).device
        self.losses = torch.zeros(args.n_iter, device=device)
        self._start_clock()
        if resumed:
            self._restore(resumed, device)

    def _restore(self, state: dict[str, Any], device: torch.device) -> None:
        load_weights(self.model, state, self.args.resume)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.restore(state["scaler"])
            self.losses.copy_(state["losses"])
            torch.set_rng_state(state["generators"]["cpu"])
            if device.type == "cuda" and "cuda" in state["generators"]:
                torch.cuda.set_rng_state(state["generators"]["cuda"], device)
        except Exception as error:  # what strangers put there can be wrong in any way
            text = (
                f"{self.args.resume} does not fit the run that its arguments describe: {type(error).__name__} {error}"
            )
            raise UserError(text) from None
        self.step, self.log = state["step"], state["log"]
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        best = checkpoint_path(self.args, "best")
        if self.best_step < self.step == self.args.n_iter and not best.exists():
            raise UserError(f"{best} is not there, and the run is finished; put it back, or train with --overwrite")
        self._start_clock()
        self._write_log()
        if self.best_step == self.step and self._best_is_older():
            self._save("best")
        elif self.log and not best.exists():
            self.best_score = -1.0  # its weights are not here, so no later score could be compared with them
            print(f"{best} is not there, so only the validations to come count for it", flush=True)
        print(f"resuming after step {self.step} of {self.args.n_iter}", flush=True)
        if state["precision"] not in ("", precision_name(self.precision)):
            print(f"the steps so far were in {state['precision']}", flush=True)

    def _best_is_older(self) -> bool:
        """Whether the run was killed after it saved `last` and before it saved the same as `best`."""
        best, last = checkpoint_path(self.args, "best"), checkpoint_path(self.args, "last")
        return not best.exists() or (last.exists() and best.stat().st_mtime_ns < last.stat().st_mtime_ns)

    def after_step(self, loss: torch.Tensor, scores: Any) -> None:
        """Count a step and do what is due after it.

        loss: scalar on the device; it is looked at only where a line is printed or something is saved.
        scores: () -> probabilities of the held-out clips (n, C).
        """
        self.losses[self.step] = loss
        self.step += 1
        last = self.step == self.args.n_iter
        if self.team.rank == 0 and (last or self._is_line_due()):
            self._print_progress()
        if last or (self.args.eval_freq and self.step % self.args.eval_freq == 0):
            self._check_finite()
            table = scores()
            if not np.isfinite(table).all():
                raise UserError(
                    f"outputs are not finite after step {self.step}; {self._kept()}; try a smaller --l_rate"
                )
            if self.team.rank == 0:
                self._validate(table)
            self.save()
            if self.best_step == self.step:
                self._save("best")
        elif self.args.save_freq and self.step % self.args.save_freq == 0:
            self.save()

    def save(self) -> Path:
        """Save `last`, unless a loss or a weight is not finite (UserError; what was saved before stays)."""
        self._check_finite()
        self.team.any(0)  # if another process has died, what the GPU has computed with it is worth nothing
        return self._save("last")

    def _validate(self, scores: np.ndarray) -> None:
        truth, names = self.loader.held_out_truth, self.loader.class_names
        score, (per_class, _) = lwlrap(truth, scores), per_class_lwlrap(truth, scores)
        others = further(truth, scores, self.loader.metrics)
        since = self.log[-1]["step"] if self.log else 0
        if score > self.best_score:
            self.best_score, self.best_step = score, self.step
        record = {
            "step": self.step,
            "learning_rate": learning_rate(self.step - 1, self.args.n_iter, self.args.l_rate, self.args.num_cycles),
            "train_loss": float(self.losses[since : self.step].double().mean()),
            "lwlrap": score,
            "best_lwlrap": self.best_score,
            **{name: value for name, value in others.items() if np.isfinite(value)},
            "per_class": {name: float(value) for name, value in zip(names, per_class, strict=True) if value == value},
        }
        if self.scaler.active:
            record["skipped_steps"] = self.scaler.check()
        self.log.append(record)
        self._write_log()
        best = "  best so far" if self.best_step == self.step else ""
        told = "".join(f"  {name} {value:.4f}" for name, value in others.items())
        tqdm.write(f"step {self.step}  validation lwlrap {score:.4f}{told}{best}")

    def _start_clock(self) -> None:
        now = time.monotonic()
        self.printed, self.began, self.lines = self.step, (self.step, now), 0
        self.printed_at = now

    def _is_line_due(self) -> bool:
        """Every print_train_freq steps; without that flag after FIRST_LINE steps, then once a minute."""
        if self.args.print_train_freq is not None:
            return self.step % self.args.print_train_freq == 0
        if not self.lines:
            return self.step - self.began[0] >= FIRST_LINE
        return time.monotonic() - self.printed_at >= LINE_EVERY

    def _print_progress(self) -> None:
        self._check_finite()
        loss = float(self.losses[self.printed : self.step].mean())
        steps, seconds = self.step - self.began[0], time.monotonic() - self.began[1]
        clips = steps * self.args.batch_size * self.args.iter_size / seconds
        left = timedelta(seconds=round((self.args.n_iter - self.step) * seconds / steps))
        rate = self.optimizer.param_groups[0]["lr"]
        skipped = f"  {count} steps skipped" if (count := self.scaler.check()) else ""
        tqdm.write(
            f"step {self.step}/{self.args.n_iter}  loss {loss:.4f}  rate {rate:.2g}  {clips:.0f} clips/s  {left} left"
            f"{skipped}"
        )
        self.printed, self.printed_at, self.lines = self.step, time.monotonic(), self.lines + 1

    def _check_finite(self) -> None:
        bad = ~self.losses[: self.step].isfinite()
        if bad.any():
            step = int(bad.int().argmax()) + 1
            raise UserError(
                f"the loss or a gradient of step {step} is not finite; {self._kept()}; try a smaller --l_rate"
            )
        if not all(torch.stack([weight.isfinite().all() for weight in self.model.state_dict().values()]).tolist()):
            raise UserError(f"a weight is not finite after step {self.step}; {self._kept()}; try a smaller --l_rate")

    def _kept(self) -> str:
        path = checkpoint_path(self.args, "last")
        return f"the last good checkpoint is {path}" if path.exists() else "there is no checkpoint yet"

    def _write_log(self) -> None:
        if self.team.rank:
            return
        with atomic_write(log_path(self.args), "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in self.log)

    def _save(self, kind: str) -> Path:
        generators = {"cpu": torch.get_rng_state()}
        if self.losses.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.losses.device)
        path = checkpoint_path(self.args, kind)
        if self.team.rank:
            return path
        state = {
            "args": {name: value for name, value in vars(self.args).items() if name not in HERE_ONLY},
            "class_names": self.loader.class_names,
            "step": self.step,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "precision": precision_name(self.precision),
            "scaler": self.scaler.state(),
            "generators": generators,
            "losses": self.losses.cpu(),
            "log": self.log,
            "held_out": self.loader.held_out.fnames,
            "made_from": self.loader.made_from,
            "prior": torch.from_numpy(self.loader.prior),
            "versions": versions(),
        }
        try:
            save_checkpoint(path, state)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; {self._kept()}; free some space, then --resume it") from None
        return path


class Interrupts:
    """Stop at the end of a step when asked to, at once when asked twice.

    While active, the first SIGINT or SIGTERM only sets `received`; the second ends the process."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = signal.Signals(number)
        print(f"\n{self.received.name}: saving after this step; once more to exit at once", file=sys.stderr, flush=True)


def try_run_outputs(args: argparse.Namespace) -> None:
    """Raise UserError now if the checkpoints, the log or the event files could not be written hours later."""
    outputs = [checkpoint_path(args, "last"), checkpoint_path(args, "best"), log_path(args)]
    try_outputs("--checkpoint_dir", *outputs, *([tensorboard_dir(args) / "events"] if args.tensorboard else []))


def refuse_lone_values(build: Callable[[argparse.Namespace, int], nn.Module], args: argparse.Namespace, n: int) -> None:
    """Raise MisuseError where n crops shrink to a single value of a channel, which no batch norm can train on.

    build: makes the network, here without memory and without a random number.
    """
    if n > 1:
        return
    try:
        with torch.device("meta"):
            build(args, 2)(torch.empty(1, 1, args.img_rows, args.img_cols))
    except ValueError:
        raise MisuseError(
            f"--batch_size {args.batch_size}: one crop of {args.img_rows} x {args.img_cols} leaves batch norm a single "
            "value; give each process 2 clips or more, or make the crop larger with --img_cols"
        ) from None
