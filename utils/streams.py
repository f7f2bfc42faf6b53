"""Random streams: every generator is made from --seed, the number of its stream, and where in the run it is used."""

import numpy as np

# The streams of a training.  A number, once given, stays: another one would change every score.
EPOCHS = 0  # the order of the clips in each epoch; of the curated ones, where a batch has a fixed share of them
CROPS = 1  # where the crops of a batch start
AUGMENTATION = 2  # shifts, mixup and masks of a batch
NOISY_EPOCHS = 3  # the order of the noisy clips, where a batch has a fixed share of curated ones
DROPOUT = 4  # torch's own generator, in every process of a training but the first
CALIBRATION = 5  # the mixes of held-out clips that thresholds are chosen on


def generator(seed: int, *where: int) -> np.random.Generator:
    """The generator of a place in a run, such as a stream and the number of a batch: a resumed run draws the same.

    Folds, which belong to the data and not to one training, have their number in its place.
    """
    return np.random.default_rng([seed, *where])


def torch_seed(seed: int, *where: int) -> int:
    """As generator, a seed for torch's own."""
    return int(np.random.SeedSequence([seed, *where]).generate_state(1)[0])


def seed_of_fold(seed: int, fold_num: int) -> int:
    """A seed for each fold of a run; that of fold 0 is the run's own."""
    return torch_seed(seed, fold_num) if fold_num else seed
