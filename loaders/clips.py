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
        packs = list({id(pack): pack for pack in self.packs + other.packs}.values())
        place = {id(pack): i for i, pack in enumerate(packs)}
        pack_of = np.array([place[id(pack)] for pack in other.packs])[other.pack_of]
        mine, its = ((c.starts, c.lengths, c.digests) for c in (self, other))
        tables = map(np.concatenate, zip((self.pack_of, *mine), (pack_of, *its), strict=True))
        return Clips(self.fnames + other.fnames, tuple(packs), *tables)

    def select(self, keep: np.ndarray) -> "Clips":
        """The clips at these indices, on those of the arrays that they lie in."""
        fnames = [self.fnames[i] for i in keep]
        used, pack_of = np.unique(self.pack_of[keep], return_inverse=True)
        packs = tuple(self.packs[i] for i in used) or self.packs
        return Clips(fnames, packs, pack_of, self.starts[keep], self.lengths[keep], self.digests[keep])

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
        end goes on at its start.  To a GPU crops travel as float16 from pinned memory, so nobody waits for the copy.
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
    command = f"python loaders/freesound_loader.py --dataset {dataset}"
    remedy = f"run: {command} --sampling_rate {settings.sampling_rate} --img_rows {settings.n_mels}"
    clips, unusable = open_clips(get_features_path(dataset), split, settings, remedy)
    row = {fname: i for i, fname in enumerate(clips.fnames)}
    stale = [fname for fname in fnames if fname not in row and fname not in unusable]
    if stale:
        raise UserError(f"the features of {split} do not hold {stale[0]}; {remedy}")
    return clips.select(np.array([row[fname] for fname in fnames if fname in row], int))


def open_clips(features_path: Path, split: str, settings: AudioSettings, remedy: str) -> tuple[Clips, dict[str, str]]:
    """All clips of a subset, memory-mapped, and the reason for each clip that could not be used.

    Raises UserError, ending with the remedy, where there are none or they were made with other audio settings.
    """
    folder = features_dir(features_path, settings)
    index = read_index(folder / f"{split}.json")
    if index is None:
        raise UserError(f"the features of {split} are not in {folder}; {remedy}")
    if index["digest"] != settings.digest:
        raise UserError(f"the features of {split} in {folder} were made with other audio settings; {remedy}")
    array = folder / index["array"]
    try:
        frames = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{array} cannot be read: {error}; delete {split}.json, then {remedy}") from None
    fnames, starts, lengths, digests = ([clip[i] for clip in index["clips"]] for i in range(4))
    if frames.shape != (sum(lengths), settings.n_mels) or frames.dtype != np.float16:
        raise UserError(f"{array} is not what {split}.json describes; delete both, then {remedy}")
    with warnings.catch_warnings():  # a copy-on-write map would count as memory asked for, and could not be larger
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes to it
        pack = torch.from_numpy(frames)
    tables = np.array(starts, int), np.array(lengths, int), np.array(digests, str)
    return Clips(fnames, (pack,), np.zeros(len(fnames), int), *tables), dict(index["unusable"])
