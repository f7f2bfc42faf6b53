"""Sound files -> the flat array of features of one subset, in parallel, and safe to interrupt.

Finished clips go to a journal, `SPLIT.part`.  When all are there, they become an array under a new name, in the order
of the CSV.  The index `SPLIT.json`, renamed into place last, makes it the valid one; readers of the old one keep it.
"""

import csv
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from loaders.audio import UnusableClipError
from loaders.clip_features import locate, try_clip
from loaders.index import FORMAT, read_index
from loaders.layouts import Subset
from loaders.pcen import AudioSettings
from utils.atomic import atomic_write, sync_folder
from utils.digests import digest
from utils.errors import UserError
from utils.locks import lock

KEPT = "the clips that were finished are kept"
SYNC_SECONDS = 2.0  # a kill costs at most this much work


class Clip(NamedTuple):
    """Where the features of a clip lie, and what they were made from."""

    file: str  # an array, or the journal
    begin: int  # of its rows, in bytes
    frames: int
    digest: str  # of the features
    size: int  # of the sound file, bytes
    mtime_ns: int
    remark: str = ""  # what is odd about a clip that is used nevertheless


@dataclass(frozen=True)
class Report:
    """What became of a subset's clips."""

    computed: int
    up_to_date: int
    unusable: dict[str, str]  # fname -> reason
    remarks: dict[str, str]  # fname -> what is odd about a clip that is used nevertheless


def make_features(
    subset: Subset, split: str, folder: Path, settings: AudioSettings, jobs: int, scheduler: str | None = None
) -> Report:
    """Bring the features of a subset in `folder` up to date; only clips that are out of date are computed.

    jobs: processes of this machine.  scheduler: address of a Dask cluster that computes in their place.
    """
    if not subset.fnames:
        raise UserError(f"there are no clips of {split}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f".{split}.lock", "a") if os.access(folder, os.W_OK) else nullcontext() as file:
            if file and not lock(file):
                print(f"{split}: another run is computing these features; waiting for it", flush=True)
                lock(file, wait=True)
            return _update(subset, split, folder, settings, jobs, scheduler)
    except OSError as error:
        problem = f"{error.filename or folder}: {error.strerror or error}"
        raise UserError(f"{problem}; mend that, or set features_path in config.json; {KEPT}") from None
    except TerminatedWorkerError:
        problem = f"a process that computed features of {split} died, perhaps because memory ran out"
        raise UserError(f"{problem}; {KEPT}: run this again, with fewer --jobs") from None


def _update(
    subset: Subset, split: str, folder: Path, settings: AudioSettings, jobs: int, scheduler: str | None
) -> Report:
    """As make_features.  Where all is up to date nothing is written, so the place may be read-only."""
    sounds = _sounds(subset)
    old, old_unusable = _indexed(folder, split, settings, sounds)
    journal = _Journal(folder / f"{split}.part", settings)
    done, unusable = _up_to_date(journal.clips, sounds), {}
    todo = [fname for fname in subset.fnames if fname not in old and fname not in done]
    with closing(journal):
        results = _compute(subset.folder, todo, settings, jobs, split, scheduler) if todo else ()
        for fname, (features, remark) in results:
            if isinstance(features, str):
                unusable[fname] = features
            else:
                done[fname] = journal.add(fname, features, sounds[fname], remark)
    kept = old | done
    clips = {fname: kept[fname] for fname in subset.fnames if fname in kept}
    if not clips:
        fname, reason = next(iter(unusable.items()))
        raise UserError(f"none of the {len(unusable)} clips of {split} can be used; {fname}: {reason}")
    if done or list(clips) != list(old) or unusable != old_unusable:
        _commit(folder, split, settings, clips, unusable)
    with suppress(OSError):
        journal.path.unlink()
    computed = len(todo) - len(unusable)
    return Report(computed, len(clips) - computed, unusable, _remarks(clips))


def _sounds(subset: Subset) -> dict[str, tuple[int, int]]:
    """{clip: size and time of its sound file}, which tell whether features are up to date."""
    sounds = dict.fromkeys(subset.fnames, (-1, -1))
    for fname in subset.fnames:
        with suppress(OSError, ValueError, UnusableClipError):  # reading the clip gives the reason
            stat = locate(subset.folder, fname).stat()
            sounds[fname] = stat.st_size, stat.st_mtime_ns
    return sounds


def _up_to_date(clips: dict[str, Clip], sounds: dict[str, tuple[int, int]]) -> dict[str, Clip]:
    return {fname: clip for fname, clip in clips.items() if (clip.size, clip.mtime_ns) == sounds.get(fname)}


def _indexed(
    folder: Path, split: str, settings: AudioSettings, sounds: dict[str, tuple[int, int]]
) -> tuple[dict[str, Clip], dict[str, str]]:
    """The clips of a subset's array that are up to date, and {clip that was not usable: reason}."""
    index = read_index(folder / f"{split}.json")
    if index is None or index["digest"] != settings.digest:
        return {}, {}
    array, remarks = index["array"], dict(index["remarks"])
    try:
        rows = np.load(folder / array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return {}, {}
    if rows.shape != (sum(clip[2] for clip in index["clips"]), settings.n_mels):
        return {}, {}
    clips = {}
    for fname, start, *rest in index["clips"]:
        clips[fname] = Clip(array, rows.offset + 2 * settings.n_mels * start, *rest, remarks.get(fname, ""))
    return _up_to_date(clips, sounds), dict(index["unusable"])


def _remarks(clips: dict[str, Clip]) -> dict[str, str]:
    return {fname: clip.remark for fname, clip in clips.items() if clip.remark}


def _compute(
    folder: Path, fnames: list[str], settings: AudioSettings, jobs: int, split: str, scheduler: str | None
) -> Iterator[tuple[str, tuple[np.ndarray | str, str]]]:
    """(fname, what `try_clip` says of it), in order, from all cores or from a cluster."""
    jobs = 1 if scheduler else min(jobs, len(fnames))
    workers = parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1) if jobs > 1 else nullcontext()
    # one BLAS thread a process, this one included: more would fight for the cores and add up in another order
    with threadpool_limits(1, user_api="blas"), workers:
        if scheduler:
            from loaders.cluster import compute_on_cluster

            results = compute_on_cluster(scheduler, folder, fnames, settings)
        else:
            there = Path(os.path.abspath(folder))  # processes that joblib uses again stay in the folder they began in
            results = Parallel(jobs, return_as="generator")(
                delayed(try_clip)(there, fname, settings) for fname in fnames
            )
        bar = tqdm(results, desc=split, total=len(fnames), unit="clip", disable=None)
        yield from zip(fnames, bar, strict=True)


class _Journal:
    """The clips finished so far: for each a line of JSON, then its rows.  A digest shows what a power cut has torn."""

    def __init__(self, path: Path, settings: AudioSettings) -> None:
        self.path, self.digest, self.row_bytes = path, settings.digest, 2 * settings.n_mels
        self.clips: dict[str, Clip] = {}  # what an interrupted run finished, up to the first damaged clip
        self.size, self.file = 0, None  # bytes of the file that are whole clips; the file once a clip is added
        with suppress(FileNotFoundError, ValueError, TypeError), open(path, "rb") as file:
            self._read(file)

    def _read(self, file: IO) -> None:
        for line in iter(file.readline, b""):
            settings_digest, fname, frames, *rest = json.loads(line)
            clip = Clip(self.path.name, file.tell(), frames, *rest)
            features = np.frombuffer(file.read(frames * self.row_bytes), np.float16)
            if settings_digest != self.digest or digest(features) != clip.digest:
                return
            self.clips[fname], self.size = clip, file.tell()

    def add(self, fname: str, features: np.ndarray, sound: tuple[int, int], remark: str) -> Clip:
        if self.file is None:
            self.file, self.synced = open(self.path, "ab"), time.monotonic()  # noqa: SIM115, closed in close()
            self.file.truncate(self.size)
            self.file.seek(self.size)
        facts = [len(features), digest(features), *sound, remark]
        self.file.write(json.dumps([self.digest, fname, *facts]).encode() + b"\n")
        clip = Clip(self.path.name, self.file.tell(), *facts)
        self.file.write(features.tobytes())
        if time.monotonic() - self.synced > SYNC_SECONDS:
            self._sync()
        return clip

    def close(self) -> None:
        if self.file:
            with self.file:
                self._sync()

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.synced = time.monotonic()


def _commit(
    folder: Path, split: str, settings: AudioSettings, clips: dict[str, Clip], unusable: dict[str, str]
) -> None:
    """Put the array together from the journal and the old array, then make it the valid one."""
    contents = [[fname, *clip[2:6]] for fname, clip in clips.items()]
    *starts, frames = np.cumsum([0, *(clip.frames for clip in clips.values())]).tolist()
    array = f"{split}.{digest([settings.digest, json.dumps(contents)])[:8]}.npy"
    with atomic_write(folder / array) as file:
        shape = {"descr": "<f2", "fortran_order": False, "shape": (frames, settings.n_mels)}
        np.lib.format.write_array_header_1_0(file, shape)
        for clip in clips.values():
            rows = np.fromfile(folder / clip.file, np.float16, clip.frames * settings.n_mels, offset=clip.begin)
            file.write(rows.tobytes())
    rows = [[fname, start, *rest] for start, (fname, *rest) in zip(starts, contents, strict=True)]
    index = {"format": FORMAT, "digest": settings.digest, "array": array, "clips": rows}
    with atomic_write(folder / f"{split}.json", "w") as file:
        json.dump(index | {"unusable": list(unusable.items()), "remarks": list(_remarks(clips).items())}, file)
    with atomic_write(folder / f"{split}_unusable.csv", "w") as file:
        csv.writer(file, lineterminator="\n").writerows([("fname", "reason"), *unusable.items()])
    for old in folder.glob(f"{split}.*.npy"):
        if old.name != array:
            old.unlink()
    sync_folder(folder)
