"""Sound files -> the flat array of features of one subset, in parallel, and safe to interrupt.

Finished clips go to a journal (`SPLIT.part`, its index `SPLIT.part.jsonl`).  When all are there, the array is put
together in the order of the CSV under a name of its own, and the index `SPLIT.json`, renamed into place last, makes
it the valid one.  Whoever reads the old array meanwhile keeps it.
"""

import errno
import fcntl
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from loaders.audio import UnusableClipError
from loaders.clip_features import locate, try_clip
from loaders.index import FORMAT, holds, whole_index
from loaders.layouts import Subset
from loaders.memory_map import map_array, map_journal
from loaders.pcen import AudioSettings
from utils.atomic import atomic_write, sync_folder
from utils.digests import digest
from utils.errors import UserError

with warnings.catch_warnings():  # of no room for semaphores it tells over several lines; what fails tells that in one
    warnings.simplefilter("ignore")
    from joblib import Parallel, cpu_count, delayed, effective_n_jobs, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
SYNC_SECONDS = 2.0  # a kill costs at most this much work


@dataclass(frozen=True)
class Report:
    """What became of a subset's clips."""

    computed: int
    up_to_date: int
    unusable: dict[str, str]  # fname -> reason
    remarks: dict[str, str]  # fname -> what is odd about a clip that is used nevertheless


def core_count() -> int:
    """Cores that this process may use: those of its affinity (taskset, SLURM), no more than a cgroup's quota."""
    return cpu_count()


def make_features(
    subset: Subset, split: str, folder: Path, settings: AudioSettings, jobs: int, scheduler: str | None = None
) -> Report:
    """Bring the features of a subset in `folder` up to date; only clips that are out of date are computed.

    jobs: processes of this machine.  scheduler: address of a Dask cluster that computes in their place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{split}.lock", split):
            return _make(subset, split, folder, settings, jobs, scheduler)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise UserError(f"{folder}: {error.strerror or error}; the clips that were finished are kept") from None
        if report := _finished(subset, split, folder, settings):
            return report
        raise UserError(f"{error.filename or folder} cannot be written; set features_path in config.json") from None
    except TerminatedWorkerError:
        raise UserError(
            f"a process that computed features of {split} died, perhaps because memory ran out; the clips that were "
            "finished are kept: run this again, with fewer --jobs"
        ) from None


def _make(
    subset: Subset, split: str, folder: Path, settings: AudioSettings, jobs: int, scheduler: str | None
) -> Report:
    if not subset.fnames:
        raise UserError(f"there are no clips of {split}")
    signatures = {fname: _signature(subset.folder, fname) for fname in subset.fnames}
    index = whole_index(folder, split, settings)
    old = _reusable(index, settings, signatures)
    journal = _Journal(folder / f"{split}.part", settings)
    done = {fname: clip for fname, clip in journal.clips.items() if clip[4:] == signatures.get(fname)}
    todo = [fname for fname in subset.fnames if fname not in old and fname not in done]
    unusable, computed = {}, 0
    remarks = dict(index.get("remarks", []) if index else []) | {fname: journal.remarks[fname] for fname in done}
    if todo:
        with journal:
            for fname, (features, remark) in _compute(subset.folder, todo, settings, jobs, split, scheduler):
                if isinstance(features, str):
                    unusable[fname] = features
                else:
                    computed += 1
                    remarks[fname] = remark
                    done[fname] = journal.add(fname, features, signatures[fname], remark)
    clips = {fname: done.get(fname) or old[fname] for fname in subset.fnames if fname not in unusable}
    if not clips:
        fname, reason = next(iter(unusable.items()))
        raise UserError(f"none of the {len(unusable)} clips of {split} can be used; {fname}: {reason}")
    remarks = {fname: remarks[fname] for fname in clips if remarks.get(fname)}
    if done or list(clips) != list(old) or index is None or dict(index["unusable"]) != unusable:
        _commit(folder, split, settings, clips, unusable, remarks)
    journal.delete()
    return Report(computed, len(clips) - computed, unusable, remarks)


def _finished(subset: Subset, split: str, folder: Path, settings: AudioSettings) -> Report | None:
    """The report on features that nothing is to be done for, or None.  It only reads."""
    index = whole_index(folder, split, settings)
    if index is None:
        return None
    old = _reusable(index, settings, {fname: _signature(subset.folder, fname) for fname in subset.fnames})
    unusable = dict(index["unusable"])
    repaired = (not isinstance(try_clip(subset.folder, fname, settings)[0], str) for fname in unusable)
    if set(subset.fnames) != {*old, *unusable} or any(repaired):
        return None
    return Report(0, len(old), unusable, dict(index["remarks"]))


def _signature(folder: Path, fname: str) -> list[int]:
    """Size and time of the sound file, which tell whether features are up to date."""
    try:
        stat = locate(folder, fname).stat()
    except (OSError, ValueError, UnusableClipError):  # its reason is given when it is read
        return [-1, -1]
    return [stat.st_size, stat.st_mtime_ns]


def _reusable(index: dict | None, settings: AudioSettings, signatures: dict[str, list[int]]) -> dict[str, list]:
    if index is None or index["digest"] != settings.digest:
        return {}
    return {clip[0]: [index["array"], *clip[1:]] for clip in index["clips"] if clip[4:] == signatures.get(clip[0])}


def _compute(
    folder: Path, fnames: list[str], settings: AudioSettings, jobs: int, split: str, scheduler: str | None = None
) -> Iterator[tuple[str, tuple[np.ndarray | str, str]]]:
    """(fname, what `try_clip` says of it), in order, from all cores or from a cluster."""
    if not fnames:
        return
    jobs = 1 if scheduler else effective_n_jobs(min(jobs, len(fnames)))  # 1 where the system has no semaphores
    workers = parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1) if jobs > 1 else nullcontext()
    # one BLAS thread a process: with more they fight for the cores, and add up in another order.  A single job has no
    # worker, so this process keeps to one as well.
    with threadpool_limits(1, user_api="blas"), workers:
        if scheduler:
            from loaders.cluster import compute_on_cluster

            results = compute_on_cluster(scheduler, folder, fnames, settings)
        else:
            results = Parallel(return_as="generator")(delayed(try_clip)(folder, fname, settings) for fname in fnames)
        bar = tqdm(results, desc=split, total=len(fnames), unit="clip", disable=None)
        yield from zip(fnames, bar, strict=True)


class _Journal:
    """Features of the clips finished so far; what its index lists is on disk whatever happens."""

    def __init__(self, path: Path, settings: AudioSettings) -> None:
        self.path, self.index = path, path.with_name(path.name + ".jsonl")
        self.digest, self.row_bytes = settings.digest, 2 * settings.n_mels
        self.clips: dict[str, list] = {}
        self.remarks: dict[str, str] = {}
        self.rows = 0
        self._read()
        self.pending: list[str] = []
        self.synced = time.monotonic()

    def _read(self) -> None:
        """Take over the clips that an interrupted run finished, up to the first damaged line."""
        if not self.index.exists() or not self.path.exists():
            return
        held = self.path.stat().st_size // self.row_bytes
        for line in self.index.read_bytes().splitlines():
            try:
                settings_digest, fname, start, frames, *rest, remark = json.loads(line)
            except ValueError:
                return
            if settings_digest != self.digest or start != self.rows or start + frames > held:
                return
            self.clips[fname], self.remarks[fname] = [self.path.name, start, frames, *rest], remark
            self.rows = start + frames

    def __enter__(self) -> "_Journal":
        self.data = open(self.path, "ab")
        self.data.truncate(self.rows * self.row_bytes)
        lines = [self._line(fname, clip) for fname, clip in self.clips.items()]
        with atomic_write(self.index, "w") as file:
            file.writelines(lines)
        self.lines = open(self.index, "a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._sync()
        finally:
            self.data.close()
            self.lines.close()

    def add(self, fname: str, features: np.ndarray, signature: list[int], remark: str) -> list:
        self.remarks[fname] = remark
        clip = [self.path.name, self.rows, len(features), digest(features), *signature]
        self.data.write(features.tobytes())
        self.rows += len(features)
        self.pending.append(self._line(fname, clip))
        if time.monotonic() - self.synced > SYNC_SECONDS:
            self._sync()
        return clip

    def _line(self, fname: str, clip: list) -> str:
        return json.dumps([self.digest, fname, *clip[1:], self.remarks[fname]]) + "\n"

    def _sync(self) -> None:
        for file in (self.data, self.lines):  # the data first: a line in the index promises them
            if file is self.lines:
                file.writelines(self.pending)
                self.pending.clear()
            file.flush()
            os.fsync(file.fileno())
        self.synced = time.monotonic()

    def delete(self) -> None:
        self.index.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _commit(
    folder: Path,
    split: str,
    settings: AudioSettings,
    clips: dict[str, list],
    unusable: dict[str, str],
    remarks: dict[str, str],
) -> None:
    """Put the array together from the journal and the old array, then make it the valid one."""
    tag = hashlib.sha256(json.dumps([settings.digest, [[f, *c[2:]] for f, c in clips.items()]]).encode()).hexdigest()
    array = f"{split}.{tag[:8]}.npy"
    sources = {name: _rows(folder / name, settings.n_mels) for name in {clip[0] for clip in clips.values()}}
    shape = (sum(clip[2] for clip in clips.values()), settings.n_mels)
    if not holds(folder / array, *shape):
        with atomic_write(folder / array) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
            for source, start, frames, *_ in clips.values():
                file.write(sources[source][start : start + frames].tobytes())
    starts = np.cumsum([0, *(clip[2] for clip in clips.values())])
    rows = [[fname, int(start), *clip[2:]] for start, (fname, clip) in zip(starts, clips.items(), strict=False)]
    index = {"format": FORMAT, "digest": settings.digest, "array": array, "clips": rows}
    with atomic_write(folder / f"{split}.json", "w") as file:
        json.dump(index | {"unusable": list(unusable.items()), "remarks": list(remarks.items())}, file)
    report = pd.DataFrame(unusable.items(), columns=["fname", "reason"])
    with atomic_write(folder / f"{split}_unusable.csv", "w") as file:
        report.to_csv(file, index=False)
    for old in folder.glob(f"{split}.*.npy"):
        if old.name != array:
            old.unlink()
    sync_folder(folder)


def _rows(path: Path, n_mels: int) -> np.ndarray:
    """The rows (frames, n_mels) of a journal or of an array."""
    return map_array(path) if path.suffix == ".npy" else map_journal(path, n_mels)


@contextmanager
def _locked(path: Path, split: str) -> Iterator[None]:
    """Hold the subset for this process; the kernel frees it when the process ends, however it ends.

    A file system without locks holds nothing, and a line says so.
    """
    with open(path, "a") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{split}: another run is computing these features; waiting for it", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(
                f"{path.parent} lies where files cannot be locked ({error.strerror}); going on without: "
                "do not run this twice at the same time",
                file=sys.stderr,
            )
        yield
