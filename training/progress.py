"""The state of a training between its steps: going on from a checkpoint, validation, log, saving, bad numbers."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from loaders.clips import Clips
from loaders.pcen import audio_settings
from loaders.pool import Pool
from predicting.checkpoint import differs_from_best, load_checkpoint, load_weights, save_checkpoint
from predicting.metrics import lwlrap, metric_values, per_class_lwlrap
from predicting.presence import Presence, fit_presence, span_of
from predicting.runs import checkpoint_path, log_path
from predicting.tta import predict, shift_of
from training.schedule import learning_rate
from training.setup import Training
from training.start import described
from utils import streams
from utils.atomic import atomic_write
from utils.devices import precision_name
from utils.digests import versions
from utils.errors import UserError

FIRST_LINE, LINE_EVERY = 10, 60  # steps until the first line of progress; seconds between the others
LEAST_SCALE = 2.0**-10  # of the loss in fp16; what overflows even then is no matter of scale


class Progress:
    """`step` is the number of optimizer steps done.  Of several processes the first one prints and writes files."""

    def __init__(
        self, training: Training, pool: Pool, resumed: dict[str, Any] | None, scores: Callable[[], np.ndarray]
    ) -> None:
        """resumed: a checkpoint to go on from.  scores: () -> probabilities of the held-out clips (n, C)."""
        self.training, self.setup, self.args, self.pool = training, training.setup, training.setup.args, pool
        self.scores = scores
        self.first = self.setup.processes.rank == 0
        self.step, self.best_score, self.best_step, self.is_best_lost = 0, -1.0, 0, False
        self.log: list[dict[str, Any]] = []
        self.losses = torch.zeros(self.args.n_iter, device=self.setup.device)
        if resumed:
            self._restore(resumed)
        self.printed = self.began = self.step, time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        training, best = self.training, checkpoint_path(self.args, "best")
        load_weights(training.model, state, self.args.resume)
        try:
            training.optimizer.load_state_dict(state["optimizer"])
            if training.scaler.is_enabled() and state["scaler"]:
                training.scaler.load_state_dict(state["scaler"])
                training.skipped.fill_(state["skipped_steps"])
            self.losses.copy_(state["losses"])
            torch.set_rng_state(state["generators"]["cpu"])
            if self.setup.device.type == "cuda" and "cuda" in state["generators"]:
                torch.cuda.set_rng_state(state["generators"]["cuda"], self.setup.device)
        except Exception as error:  # what strangers put there can be wrong in any way
            text = f"does not fit the run that its arguments describe: {type(error).__name__} {error}"
            raise UserError(f"{self.args.resume} {text}") from None
        self.step, self.log = state["step"], state["log"]
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        there = best.exists() and not differs_from_best(load_checkpoint(best), state)
        self.is_best_lost = bool(self.best_step < self.step and self.log and not there)
        if self.is_best_lost:
            self.best_score = -1.0  # its weights are not here, so no later score could be compared with them
            text = f"{best} is not there: of the scores from step {self.step} on, the best makes a new one"
            print(text, flush=True)
        self._write_log()
        if self.best_step == self.step and not there:
            self._save("best")  # it was killed between the two, or goes on in another folder
        print(f"resuming after step {self.step} of {self.args.n_iter}", flush=True)
        if state["precision"] != precision_name(self.setup.precision):
            print(f"the steps so far were in {state['precision']}", flush=True)

    def recover(self) -> None:
        """Where a finished run has lost its best checkpoint, its last weights make a new one."""
        if self.setup.processes.any(self.is_best_lost and self.step == self.args.n_iter):
            self.log = [record for record in self.log if record["step"] < self.step]
            self._evaluate()

    def after_step(self, loss: torch.Tensor) -> None:
        """Count a step and do what is due after it.

        loss: scalar on the device; it is looked at only where a line is printed or something is saved.
        """
        self.losses[self.step] = loss
        self.step += 1
        last = self.step == self.args.n_iter
        if self.first and (last or self._is_line_due()):
            self._print_progress()
        if last or (self.args.eval_freq and self.step % self.args.eval_freq == 0):
            self._evaluate()
        elif self.args.save_freq and self.step % self.args.save_freq == 0:
            self.save()

    def _evaluate(self) -> None:
        self._check_finite()
        table = self.scores()
        if not np.isfinite(table).all():
            raise self._failure(f"outputs are not finite after step {self.step}")
        if self.first:
            self._validate(table)
        self.save()

    def save(self) -> Path:
        """Save `last`, then `best` if this is the best step.

        Raises UserError if a loss or a weight is not finite; what was saved before stays.
        """
        self._check_finite()
        self.setup.processes.any(0)  # notices a process that has died: then what the GPU computed is worth nothing
        path = self._save("last")
        if self.best_step == self.step:
            self._save("best")
        return path

    def report(self) -> None:
        """Print each class's score at the best step, the weakest first, and where the best checkpoint is."""
        record = next(record for record in self.log if record["step"] == self.best_step)
        counts = dict(zip(self.pool.corpus.class_names, self.pool.held_out_truth.sum(axis=0), strict=True))
        print(f"\nlwlrap per class at step {self.best_step}, weakest first:")
        for name, value in sorted(record["per_class"].items(), key=lambda item: item[1]):
            print(f"  {value:.3f}  {name} ({counts[name]} clips)")
        print(f"best lwlrap {self.best_score:.4f} at step {self.best_step}: {checkpoint_path(self.args, 'best')}")

    def _validate(self, scores: np.ndarray) -> None:
        truth, names = self.pool.held_out_truth, self.pool.corpus.class_names
        score, (per_class, _) = lwlrap(truth, scores), per_class_lwlrap(truth, scores)
        others = metric_values(truth, scores, self.pool.corpus.metrics)
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
        if self.training.scaler.is_enabled():
            record["skipped_steps"] = self._count_skipped()
        self.log.append(record)
        self._write_log()
        printed = "".join(f"  {name} {value:.4f}" for name, value in {"lwlrap": score, **others}.items())
        best = "  best so far" if self.best_step == self.step else ""
        tqdm.write(f"step {self.step}  validation{printed}{best}")

    def _is_line_due(self) -> bool:
        """Every print_train_freq steps; without that flag after FIRST_LINE steps, then once a minute."""
        if self.args.print_train_freq is not None:
            return self.step % self.args.print_train_freq == 0
        if self.printed is self.began:
            return self.step - self.began[0] >= FIRST_LINE
        return time.monotonic() - self.printed[1] >= LINE_EVERY

    def _print_progress(self) -> None:
        self._check_finite()
        loss, now = float(self.losses[self.printed[0] : self.step].mean()), time.monotonic()
        steps, seconds = self.step - self.began[0], now - self.began[1]
        clips = steps * self.args.batch_size * self.args.iter_size / seconds
        left = timedelta(seconds=round((self.args.n_iter - self.step) * seconds / steps))
        rate = self.training.optimizer.param_groups[0]["lr"]
        skipped = f"  {count} steps skipped" if (count := self._count_skipped()) else ""
        line = f"loss {loss:.4f}  rate {rate:.2g}  {clips:.0f} clips/s  {left} left{skipped}"
        if self.printed is self.began and self.args.fold_num == 0 and (folds := self.args.num_folds) > 1:
            line += f"  (all {folds} folds: {timedelta(seconds=round(folds * self.args.n_iter * seconds / steps))})"
        tqdm.write(f"step {self.step}/{self.args.n_iter}  {line}")
        self.printed = self.step, now

    def _count_skipped(self) -> int:
        """Steps skipped so far.  Raises UserError where no scale of the loss is small enough."""
        scaler = self.training.scaler
        if scaler.is_enabled() and scaler.get_scale() < LEAST_SCALE:
            raise UserError("the gradients are not finite at any scale; try a smaller --l_rate, or --precision fp32")
        return int(self.training.skipped)

    def _check_finite(self) -> None:
        bad = ~self.losses[: self.step].isfinite()
        if bad.any():
            raise self._failure(f"the loss or a gradient of step {int(bad.int().argmax()) + 1} is not finite")
        weights = self.training.model.state_dict().values()
        if not torch.stack([weight.isfinite().all() for weight in weights]).all():
            raise self._failure(f"a weight is not finite after step {self.step}")

    def _failure(self, what: str, remedy: str = "") -> UserError:
        path = checkpoint_path(self.args, "last")
        kept = f"the last good checkpoint is {path}" if path.exists() else "there is no checkpoint yet"
        remedy = remedy or "try a smaller --l_rate" + (" with --overwrite" if path.exists() else "")
        return UserError(f"{what}; {kept}; {remedy}")

    def _write_log(self) -> None:
        if self.first:
            with atomic_write(log_path(self.args), "w") as file:
                file.writelines(json.dumps(record) + "\n" for record in self.log)

    def _save(self, kind: str) -> Path:
        path, training = checkpoint_path(self.args, kind), self.training
        if not self.first:
            return path
        targets, on_gpu = training.batches.targets.cpu(), self.setup.device.type == "cuda"
        generators = {"cuda": torch.cuda.get_rng_state(self.setup.device)} if on_gpu else {}
        state = {
            "args": described(vars(self.args)),
            "class_names": self.pool.corpus.class_names,
            "step": self.step,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "model": dict(training.model.state_dict()),
            "optimizer": training.optimizer.state_dict(),
            "precision": precision_name(self.setup.precision),
            "scaler": training.scaler.state_dict(),
            "skipped_steps": int(training.skipped),
            "generators": {"cpu": torch.get_rng_state(), **generators},
            "losses": self.losses.cpu(),
            "log": self.log,
            "held_out": self.pool.held_out.fnames,
            "order": {name: subset.fnames for name, subset in self.pool.corpus.subsets.items() if name != "test"},
            "made_from": self.pool.made_from,
            "prior": targets.sum(dim=0) / targets.sum(),
            "presence": self._fit_presence()._asdict() if kind == "best" else {},
            "versions": versions(),
        }
        try:
            save_checkpoint(path, state)
        except OSError as error:
            raise self._failure(f"{path}: {error.strerror}", "free some space, then --resume it") from None
        return path

    def _fit_presence(self) -> Presence:
        """Thresholds and calibration of the weights as they are now, on mixes of the held-out clips."""
        setup, args, pool, width = self.setup, self.args, self.pool, span_of(self.args.img_cols)

        def scores(crops: Clips) -> np.ndarray:
            how = {"precision": setup.precision, "shift": shift_of(vars(args)), "loss": args.loss}
            return predict(self.training.model, crops, width, args.batch_size, setup.device, tta=1, **how)

        rng = streams.generator(setup.seed, streams.CALIBRATION, self.step)
        return fit_presence(pool.held_out, pool.held_out_truth, width, audio_settings(args), rng, scores)
