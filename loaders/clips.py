"""Features on disk -> crops on the device.

A subset's features are one flat array, (frames of all clips, n_mels) float16, beside an index that says where each
clip starts.  Time comes first, so a crop is one contiguous read, and a batch of crops is one gather.
"""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from loaders import get_features_path
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
        """Crops (B, 1, n_mels, width) float32 on the device.

        clips, first: (B,) indices of clips and the frame each crop starts at.  A crop that reaches beyond its clip's
        end goes on at its start.  From the host to a GPU crops travel as float16 from pinned memory, so that nobody
        waits for the copy.
        """
        frames = (first[:, None] + np.arange(width)) % self.lengths[clips, None]
        rows = torch.from_numpy(self.starts[clips, None] + frames)  # (B, width)
        if self.packs[0].device.type == device.type and len(self.packs) == 1:
            gathered = self.packs[0][send(rows, device)]
        else:
            gathered = torch.empty(*rows.shape, self.packs[0].shape[1], dtype=torch.half)
            for number, pack in enumerate(self.packs):
                mine = torch.from_numpy(np.flatnonzero(self.pack_of[clips] == number))
                gathered[mine] = pack[rows[mine]]
            gathered = send(gathered, device)
        inputs = gathered.transpose(1, 2).unsqueeze(1)  # (B, width, n_mels) -> (B, 1, n_mels, width)
        return inputs.to(torch.float32, memory_format=torch.contiguous_format)


def usable_clips(dataset: str, split: str, fnames: list[str], settings: AudioSettings) -> Clips:
    """Those of the named clips that have features, in this order.

    Raises UserError where the features are missing, of other settings, or know nothing of a clip.
    """
    clips, unusable = open_clips(get_features_path(dataset), split, settings, remedy(dataset, settings))
    row = {fname: i for i, fname in enumerate(clips.fnames)}
    stale = [fname for fname in fnames if fname not in row and fname not in unusable]
    if stale:
        raise UserError(f"the features of {split} do not hold {stale[0]}; {remedy(dataset, settings)}")
    return clips.select(np.array([row[fname] for fname in fnames if fname in row], int))


def remedy(dataset: str, settings: AudioSettings) -> str:
    """The command that makes the features."""
    command = f"python loaders/freesound_loader.py --dataset {dataset}"
    return f"run: {command} --sampling_rate {settings.sampling_rate} --img_rows {settings.n_mels}"


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
    with warnings.catch_warnings():  # a copy-on-write map would count as memory asked for, and could not be larger
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes to it
        pack = torch.from_numpy(frames)
    return Clips(fnames, (pack,), np.zeros(len(fnames), int), table[:, 0], table[:, 1], digests), dict(
        index["unusable"]
    )
