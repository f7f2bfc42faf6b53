"""train.py, and whenever it validates, it scores the test clips too: `test` in its log.  For ablation.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the repository's root instead of benchmarks/

from typing import Any

import numpy as np

import train
from loaders import get_data_path
from loaders.clips import usable_clips
from loaders.layouts import read_corpus
from predicting.metrics import lwlrap
from predicting.tta import predict, shift_of
from training.progress import TrainingRun
from utils.errors import run

TTA, BATCH_SIZE = 8, 32  # as ablation.py and test.py have them


class ScoredRun(TrainingRun):
    """A run that keeps a curve of the test score, so that overfitting shows."""

    def __init__(self, args: Any, *others: Any, **more: Any) -> None:
        super().__init__(args, *others, **more)
        test = read_corpus(get_data_path(args.dataset)).subset("test")
        self.test_clips = usable_clips(args.dataset, "test", test.fnames, self.loader.settings)
        self.test_truth = test.truth_of(self.test_clips.fnames)

    def _validate(self, scores: np.ndarray) -> None:
        super()._validate(scores)
        sizes, device = (self.args.img_cols, BATCH_SIZE), self.losses.device
        how = {"precision": self.precision, "shift": shift_of(vars(self.args)), "loss": self.args.loss}
        test = predict(self.model, self.test_clips, *sizes, device, tta=TTA, **how)
        self.model.train()
        self.log[-1]["test"] = lwlrap(self.test_truth, test)
        self._write_log()


if __name__ == "__main__":
    train.TrainingRun = ScoredRun
    run(train.main)
