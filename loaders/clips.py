"""Features on disk -> crops on the device.

A subset's features are one flat array, (frames of all clips, n_mels) float16, beside an index that says where each
clip starts.  Time comes first, so a crop is one contiguous read, and a batch of crops is one gather.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from loaders.index import features_dir, read_index
from loaders.memory_map import map_array
from loaders.pcen import AudioSettings
from utils.devices import send
from utils.errors import UserError


@dataclass(frozen=True)
class Clips:
    """N clips within one or more flat arrays of features, and the crops that can be cut from them."""

    fnames: list[str]
    packs: tuple[Tensor, ...]  # each (frames, n_mels) float16
    pack_of: np.ndarray  # (N,) which pack a clip lies in
    starts: np.ndarray  # (N,) its first row there
    lengths: np.ndarray  # (N,) its frames
    digests: np.ndarray  # (N,) str, of its features

    def __len__(self) -> int:
        return len(self.fnames)

    def __add__(self, other: "Clips") -> "Clips":
        """Both one after the other; an array that both lie in is held once."""
        packs = list(self.packs)
        number = []  # of each of the other's arrays among all
        for pack in other.packs:
            same = [i for i, mine in enumerate(packs) if mine is pack]
            number.append(same[0] if same else len(packs))
            packs += [] if same else [pack]
        return Clips(
            self.fnames + other.fnames,
            tuple(packs),
            np.concatenate([self.pack_of, np.array(number)[other.pack_of]]),
            np.concatenate([self.starts, other.starts]),
            np.concatenate([self.lengths, other.lengths]),
            np.concatenate([self.digests, other.digests]),
        )

    def select(self, keep: np.ndarray) -> "Clips":
        """The clips at these indices, on those of the arrays that they lie in."""
        fnames = [self.fnames[i] for i in keep]
        pack_of, starts, lengths, digests = (
            table[keep] for table in (self.pack_of, self.starts, self.lengths, self.digests)
        )
        used, pack_of = np.unique(pack_of, return_inverse=True)
        packs = tuple(self.packs[i] for i in used) or self.packs
        return Clips(fnames, packs, pack_of, starts, lengths, digests)

    def to(self, device: torch.device) -> "Clips":
        """Keep the features on a GPU if they fill at most 60 % of what is free there, else where they are."""
        size = sum(pack.nbytes for pack in self.packs)
        if device.type != "cuda" or size > 0.6 * torch.cuda.mem_get_info(device)[0]:
            return self
        offsets = np.cumsum([0, *(len(pack) for pack in self.packs)])[:-1]
        resident = torch.empty(sum(map(len, self.packs)), self.packs[0].shape[1], dtype=torch.half, device=device)
        for offset, pack in zip(offsets, self.packs, strict=True):
            resident[offset : offset + len(pack)] = pack
        starts = self.starts + offsets[self.pack_of]
        return replace(self, packs=(resident,), pack_of=np.zeros_like(self.pack_of), starts=starts)

    def crops(self, clips: np.ndarray, first: np.ndarray, width: int, device: torch.device) -> Tensor:
        """Crops (B, 1, n_mels, width) float32 on the device; clips, first and width as in `gather`."""
        return as_inputs(self.gather(clips, first, width), device)

    def gather(self, clips: np.ndarray, first: np.ndarray, width: int, out: Tensor | None = None) -> Tensor:
        """Crops (B, width, n_mels) float16, on the device that the features are on.

        clips, first: (B,) indices of clips and the frame each crop starts at.  A crop that reaches beyond its
        clip's end goes on at its start.  out: to fill with them, on the host.
        """
        frames = (first[:, None] + np.arange(width)) % self.lengths[clips, None]
        rows = torch.from_numpy(self.starts[clips, None] + frames)  # (B, width)
        if len(self.packs) == 1 and out is None:
            return self.packs[0][send(rows, self.packs[0].device)]
        gathered = torch.empty(*rows.shape, self.packs[0].shape[1], dtype=torch.half) if out is None else out
        if len(self.packs) == 1:
            return torch.index_select(self.packs[0], 0, rows.flatten(), out=gathered.flatten(0, 1)).view_as(gathered)
        for number, pack in enumerate(self.packs):
            mine = torch.from_numpy(np.flatnonzero(self.pack_of[clips] == number))
            gathered[mine] = pack[rows[mine]]
        return gathered


def as_inputs(gathered: Tensor, device: torch.device) -> Tensor:
    """Crops (B, width, n_mels) float16 -> what a network takes: (B, 1, n_mels, width) float32 on the device."""
    inputs = send(gathered, device).transpose(1, 2).unsqueeze(1)
    return inputs.to(torch.float32, memory_format=torch.contiguous_format)


def open_clips(features_path: Path, split: str, settings: AudioSettings, remedy: str) -> tuple[Clips, dict[str, str]]:
    """All clips of a subset, memory-mapped, and the reason for each clip that could not be used.

    Raises UserError, ending with the remedy, where there are none or they were made with other audio settings.
    """
    folder = features_dir(features_path, settings)
    for attempt in range(3):  # a feature run beside us may have replaced both files between our two reads
        index = read_index(folder / f"{split}.json")
        if index is None:
            raise UserError(f"the features of {split} are not in {folder}; {remedy}")
        if index["digest"] != settings.digest:
            raise UserError(f"the features of {split} in {folder} were made with other audio settings; {remedy}")
        try:
            frames = map_array(folder / index["array"])
            break
        except FileNotFoundError:
            if attempt == 2:
                raise UserError(f"{folder / index['array']} is missing; {remedy}") from None
        except (ValueError, EOFError) as error:
            raise UserError(f"{folder / index['array']}: {error}; delete it, then {remedy}") from None
    table = np.array([clip[1:3] for clip in index["clips"]], int).reshape(-1, 2)
    if frames.shape != (table[:, 1].sum(), settings.n_mels) or frames.dtype != np.float16:
        raise UserError(f"{folder / index['array']} is not what {split}.json describes; delete both, then {remedy}")
    fnames = [clip[0] for clip in index["clips"]]
    digests = np.array([clip[3] for clip in index["clips"]], str)
    clips = Clips(fnames, (_as_tensor(frames),), np.zeros(len(fnames), int), table[:, 0], table[:, 1], digests)
    return clips, dict(index["unusable"])


def _as_tensor(frames: np.ndarray) -> Tensor:
    """A tensor on a read-only map.  A copy-on-write one would count as memory asked for, and could not be larger."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes to it
        return torch.from_numpy(frames)


T = TypeVar("T")


class OneAhead(Generic[T]):
    """A function of a number that computes the next number's value in a thread, for callers that count up."""

    def __init__(self, function: Callable[[int], T]) -> None:
        self.function = function
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, Future[T]] | None = None

    def __call__(self, number: int) -> T:
        """function(number), computed already if the last call was for number - 1."""
        ready = self.next is not None and self.next[0] == number
        if self.next and not ready:
            self.next[1].exception()  # one at a time: they may share memory
        value = self.next[1].result() if ready else self.function(number)
        self.next = (number + 1, self.pool.submit(self.function, number + 1))
        return value


class PinnedCopies:
    """Crops on their way from the host to a GPU: gathered into one of two pinned buffers, copied beside the GPU's work.

    `start` belongs into a thread (OneAhead), `finish` into the one that queues the GPU's work.  Neither waits for more
    than the copy before last, out of the buffer that is to be filled.
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        """shape: of a batch of crops, (B, width, n_mels)."""
        self.buffers = [pinned(shape) for _ in range(2)]
        self.copied = [torch.cuda.Event() for _ in self.buffers]
        self.stream, self.device, self.turn = torch.cuda.Stream(device), device, 0

    def start(self, fill: Callable[[Tensor], object]) -> tuple[Tensor, torch.cuda.Event]:
        """Fill a buffer and start its copy; the crops on the GPU, and the event after which they are there."""
        self.turn = 1 - self.turn
        buffer, copied = self.buffers[self.turn], self.copied[self.turn]
        copied.synchronize()
        fill(buffer)
        with torch.cuda.stream(self.stream):
            there = torch.empty(buffer.shape, dtype=buffer.dtype, device=self.device)
            there.copy_(buffer, non_blocking=True)
            copied.record(self.stream)
        return there, copied

    def finish(self, there: Tensor, copied: torch.cuda.Event) -> Tensor:
        """The crops, for work that is queued from now on."""
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(copied)
        there.record_stream(stream)  # or its memory could go to the next copy while it is still read
        return there


def pinned(shape: tuple[int, ...]) -> Tensor:
    """Memory that a GPU copies from by itself, float16."""
    return torch.empty(shape, dtype=torch.half, pin_memory=True)
