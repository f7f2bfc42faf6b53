"""Start Python scripts as forks of a process that has imported torch and the rest: in 0.1 s instead of 5.

    python tests/robustness/zygote.py serve /tmp/z.sock &
    python -S tests/robustness/zygote.py /tmp/z.sock train.py -h

The code of the project itself is not imported beforehand: each script reads it from the folder that it runs in.
The script has the caller's arguments, folder, environment, process group, limits and streams, so signals and a full
disk meet it as they meet any other process.
"""

import atexit
import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

THIRD_PARTY = "numpy pandas scipy.fft scipy.signal scipy.stats sklearn.model_selection iterstrat.ml_stratifiers"
THIRD_PARTY += " joblib soundfile soxr tqdm torch torchvision"


def serve(address: str) -> None:
    """Import what takes long, then run a script for each caller until this process, or the one above it, is ended."""
    import runpy
    from importlib import import_module

    parent = os.getppid()
    for name in THIRD_PARTY.split():
        with suppress(ImportError):
            import_module(name)
    gc.freeze()  # or each fork's collector would copy all pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears away who has answered
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(1)
        while os.getppid() == parent:
            try:
                caller, _ = server.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(caller, runpy.run_path)
            caller.close()


def _answer(caller: socket.socket, run_path) -> None:
    """Fork the script, wait for it and tell its exit code; does not return in the process that waits."""
    request, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    script = os.fork()
    if script:
        _, status = os.waitpid(script, 0)
        with suppress(ConnectionError):  # the caller may have been killed, too
            caller.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    caller.close()
    order = json.loads(request)
    os.setpgid(0, order["group"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)  # those of the server know what lay there before, a file say
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    resource.setrlimit(resource.RLIMIT_FSIZE, order["largest_file"])
    sys.argv = order["argv"]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    _run(lambda: run_path(sys.argv[0], run_name="__main__"))


def _run(script: Callable[[], object]) -> NoReturn:
    """Run it and end as Python does, but leave the taking down of all that was imported, seconds, to the kernel."""
    code = 0
    try:
        script()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call(address: str, argv: list[str]) -> int:
    """Have a script run in this process's stead and return its exit code, as a shell tells it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the script too, which decides
        signal.signal(number, signal.SIG_IGN)
    order = {
        "argv": argv,
        "folder": os.getcwd(),
        "environ": dict(os.environ),
        "group": os.getpgid(0),
        "largest_file": resource.getrlimit(resource.RLIMIT_FSIZE),
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(order).encode()], [0, 1, 2])
        code = json.loads(server.recv(64))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
