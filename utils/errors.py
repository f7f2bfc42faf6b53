"""One clear line for a user's mistake, and the exit code that scripts and shells can act on."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class UserError(Exception):
    """Something that the user can repair: a broken or missing file.  Exit code 1."""

    exit_code = 1


class MisuseError(UserError):
    """A command line that makes no sense.  Exit code 2, as in argparse."""

    exit_code = 2


def one_line(text: str, longest: int = 400) -> str:
    """Text for one line of a terminal: line breaks and control characters are escaped, long text is cut off.

    File names come from strangers.
    """
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."


def run(main: Callable[[], int | None]) -> None:
    """Run a script's main(); print a UserError or an operating system's error as one line on stderr."""
    script = Path(sys.argv[0]).name
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names are of any letters, terminals may know ASCII only
    try:
        sys.exit(main())
    except UserError as error:
        print(f"{script}: {one_line(str(error))}", file=sys.stderr)
        if "RANK" in os.environ:  # one process of several
            exit_at_once(error.exit_code)
        sys.exit(error.exit_code)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader, `head` say, has seen enough
            sys.stderr.close()
            sys.exit(1)
        where = f": {error.filename}" if error.filename else ""
        print(f"{script}: {one_line(f'{error.strerror or error}{where}')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{script}: interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


def exit_at_once(code: int) -> NoReturn:
    """End without taking anything down: in a process of a team that can wait for ever for one that has died."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
