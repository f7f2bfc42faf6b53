"""The feature step on the workers of a Dask cluster, which may be those of many hosts.

Not by joblib's Dask backend: as of joblib 1.6 it waits for ever for a task that no worker survives.
"""

import logging
import pickle
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from loaders.clip_features import try_clip
from loaders.pcen import AudioSettings
from utils.digests import digest
from utils.errors import MisuseError, UserError, one_line

BATCH, AHEAD = 8, 100  # clips of a task; tasks whose features may wait in the workers' memory, 300 MB of 15 s clips
PATIENCE = 30.0  # seconds to wait for a scheduler, and for its first worker
SOURCES = ("audio.py", "clip_features.py", "mixdown.py", "pcen.py", "decoders/*.py")
PACKAGES = ("av", "librosa", "numpy", "scipy", "soundfile", "soxr")
# What the bits of the features depend on.  At import: a worker that lives on keeps the code that it started with.
FILES = [path for name in SOURCES for path in sorted(Path(__file__).parent.glob(name))]
CODE = digest([path.read_text(encoding="utf-8") for path in FILES] + [version(name) for name in PACKAGES])
Result = tuple[np.ndarray | str, str]  # of try_clip


def compute_on_cluster(scheduler: str, folder: Path, fnames: list[str], settings: AudioSettings) -> Iterator[Result]:
    """What `try_clip` says of each clip, in order.  Raises UserError where the cluster fails.

    scheduler: its address, such as tcp://HOST:8786.  The task of a dying worker goes to another one.
    """
    with _connected(scheduler) as client:
        batches = (fnames[at : at + BATCH] for at in range(0, len(fnames), BATCH))
        tasks = ((batch, _submit(client, folder.absolute(), batch, settings)) for batch in batches)
        ahead = deque(islice(tasks, AHEAD))
        while ahead:
            batch, task = ahead.popleft()
            results = task.result()
            ahead.extend(islice(tasks, 1))
            for fname, result in zip(batch, results, strict=True):
                # the worker may lack what this machine has, so this machine has the last word on a clip
                yield try_clip(folder, fname, settings) if isinstance(result[0], str) else result


def compute_batch(code: str, folder: Path, fnames: list[str], settings: AudioSettings) -> list[Result]:
    """What a worker does: `try_clip` of some clips of a folder that it shares with whoever sends them.

    Raises UserError if it cannot see the folder, or would compute other bits than code `code` does.
    """
    if code != CODE:
        raise UserError(f"a worker on {socket.gethostname()} has other code or packages than this machine; restart it")
    if not folder.is_dir():
        raise UserError(f"a worker on {socket.gethostname()} does not see {folder}; all hosts must share it")
    threadpool_limits(1, user_api="blas")  # for good, since threads beside this one may be at work on other clips
    return [try_clip(folder, fname, settings) for fname in fnames]


def _submit(client: Any, folder: Path, batch: list[str], settings: AudioSettings) -> Any:
    def work(sealed: bytes) -> list[Result]:  # sent by value, being local, so the scheduler needs no code of ours
        function, *arguments = pickle.loads(sealed)
        return function(*arguments)

    sealed = pickle.dumps((compute_batch, CODE, folder, batch, settings))
    return client.submit(work, sealed, pure=False)  # not the result of an earlier run: a clip may have changed


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """A client of the cluster; whatever goes wrong with it becomes one line."""
    try:
        from distributed import Client  # an optional package, and a second of imports
    except ImportError:
        raise MisuseError("--backend dask: distributed is missing; pip install -r requirements-dask.txt") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its errors are reported here, in one line
    try:
        with Client(scheduler, timeout=PATIENCE) as client:
            client.wait_for_workers(1, timeout=PATIENCE)
            yield client
    except UserError:
        raise
    except Exception as error:  # a cluster can fail in any way
        problem = one_line(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"--scheduler {scheduler}: {problem}; the clips that were finished are kept") from None
