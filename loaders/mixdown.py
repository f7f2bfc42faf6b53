"""Which channels make a file's mono samples, and the constant that is taken off: decided by the file as a whole."""

from collections.abc import Callable, Iterator

import numpy as np

JUDGED = 3600.0  # seconds that decide: a longer recording is not read twice to its end
LONG = 600.0  # seconds; a constant that lasts longer may drift with the temperature, and is followed
SLOW = 10.0  # seconds in which it is followed: a high-pass at 0.016 Hz, far below any band of the features
KEPT = 1 << 24  # values that are kept, so that no clip is read twice: six minutes of one channel at 44.1 kHz
PIECE = 2048  # samples of a piece whose mean and power are looked at, or fewer in a short clip
DEAD = 1e-4  # of the loudest channel's range: a channel with less than that is constant
FAINT = 1e-14  # power, 1 at full scale: half of the 24th bit; what is below may be a constant's rounding error
QUIET = 1e-9  # power, -90 dB: pieces with less than that tell a constant equally well
FEW = 8  # pieces; fewer do not tell what scatters from what is constant
SURE = 4.0  # times by which a constant exceeds what the means of pieces scatter

Blocks = Iterator[tuple[np.ndarray, int]]  # samples, Hz
Mix = tuple[list[int], np.float32]  # the channels whose mean is taken, and the constant in it


def mixed(block: np.ndarray, channels: list[int], constant: np.float32) -> np.ndarray:
    """(n, channels) -> (n,) float32."""
    chosen = block if len(channels) == block.shape[1] else block[:, channels]
    mono = chosen[:, 0] if chosen.shape[1] == 1 else chosen.mean(axis=1)
    return mono - constant if constant else mono


class Survey:
    """What decides about a file's channels, added up over its blocks.

    The constant in a channel is the mean over pieces of it, each weighted by how quiet it is.  It counts where it is
    several times what the means of pieces scatter; so a clip without a constant stays as it is, to the bit.
    """

    def __init__(self, channels: int) -> None:
        self.channels, self.n = channels, 0
        self.power = np.zeros(channels + 1)  # of each channel and of the mean of all, what is constant left out
        self.sums = np.zeros((3, channels))  # of the weights of pieces, of their weighted means and squares of means
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, block: np.ndarray) -> None:
        """Take in samples (n, channels) float32."""
        self.low, self.high = np.minimum(self.low, block.min(axis=0)), np.maximum(self.high, block.max(axis=0))
        length = int(np.clip(len(block) // 16, min(32, len(block)), PIECE))
        wide = np.column_stack([block, block.mean(axis=1)]) if self.channels > 1 else block
        pieces = np.ascontiguousarray(wide[: len(wide) // length * length].T).reshape(wide.shape[1], -1, length)
        means = pieces.mean(axis=2, keepdims=True)  # a rest of less than a piece is left out
        apart = pieces - means
        powers = np.einsum("ijk,ijk->ij", apart, apart).astype(np.float64) / length
        weights, means = 1 / (powers + QUIET)[: self.channels], means[: self.channels, :, 0].astype(np.float64)
        self.sums += [weights.sum(axis=1), (weights * means).sum(axis=1), (weights * means**2).sum(axis=1)]
        self.power += powers.sum(axis=1)
        self.n += pieces.shape[1]

    def mix(self, cancel_db: float, remarks: list[str]) -> Mix:
        """How to mix; remarks: gets what is odd about the channels."""
        weight, means, squares = self.sums
        offsets = means / weight
        scatter = np.sqrt(np.maximum(squares / weight - offsets**2, 0))
        offsets[(np.abs(offsets) < SURE * scatter) | (self.n < FEW)] = 0
        ranges, power = self.high - self.low, self.power / self.n
        dead = ranges < DEAD * ranges.max()
        if dead.any():
            remarks.append(f"{dead.sum()} of its {self.channels} channels are constant, and left out")
        active = np.flatnonzero(~dead)
        loudest = int(np.argmax(power[: self.channels]))
        mean = power[-1] * (self.channels / len(active)) ** 2  # of the active ones
        if self.channels > 1 and power[loudest] > FAINT and mean < power[loudest] * 10 ** (-cancel_db / 10):
            remarks.append(f"its channels cancel out; channel {loudest + 1} of {self.channels} is taken alone")
            active = np.array([loudest])
        return active.tolist(), np.float32(offsets[active].mean())


def to_mono(decode: Callable[[list[str]], Blocks], cancel_db: float, remarks: list[str]) -> Blocks:
    """Blocks (n, channels) of a file -> blocks (n,) float32 of the mean of its channels, the constant in it taken off.

    A channel that is constant has no part in the mean.  Where the mean is more than `cancel_db` below the loudest
    channel, that one is taken alone: a microphone wired the wrong way round makes one channel the other's opposite.
    In recordings over ten minutes the constant is also followed, as one that drifts by 0.2 in 20 minutes would stay.
    decode: begins to read the file, and fills the list that it is given; remarks: gets those and what is odd here.
    """
    with np.errstate(all="ignore"):  # what is not finite is refused by whoever gets it
        said: list[str] = []
        held, surveys, seconds = _survey(decode(said))
        mixes = {channels: survey.mix(cancel_db, remarks) for channels, survey in surveys.items()}
        blocks = _mixed(held or decode(said := []), mixes)
        yield from _without_drift(blocks) if seconds > LONG else blocks
        remarks += said


def _mixed(blocks: Blocks, mixes: dict[int, Mix]) -> Blocks:
    for block, rate in blocks:
        every = [*range(block.shape[1])], np.float32(0)  # where that many are first seen after an hour
        yield mixed(block, *mixes.get(block.shape[1], every)), rate


def _without_drift(blocks: Blocks) -> Blocks:
    """A high-pass of the first order, y[t] = x[t] - x[t-1] + pole y[t-1], which begins at the first second's mean."""
    from scipy.signal import lfilter  # a tenth of a second of imports that short clips should not pay for

    state = None
    for block, rate in blocks:
        if len(block):
            state = -block[: max(rate, 1)].mean(keepdims=True, dtype=np.float64) if state is None else state
            filtered, state = lfilter([1, -1], [1, -np.exp(-1 / (SLOW * max(rate, 1)))], block, zi=state)
            yield filtered.astype(np.float32), rate


def _survey(blocks: Blocks) -> tuple[list[tuple[np.ndarray, int]], dict[int, Survey], float]:
    """A file's blocks, none where they are too many to be kept; what they show, by the number of channels; seconds."""
    held: list[tuple[np.ndarray, int]] = []
    surveys: dict[int, Survey] = {}
    size, seconds = 0, 0.0
    for block, rate in filter(lambda pair: len(pair[0]), blocks):
        surveys.setdefault(block.shape[1], Survey(block.shape[1])).add(block)
        size, seconds = size + block.size, seconds + len(block) / max(rate, 1)
        held.append((block, rate))
        if size > KEPT:
            held.clear()
        if seconds >= JUDGED:
            return [], surveys, seconds
    return held, surveys, seconds
