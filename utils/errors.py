"""Errors of the user in one line, with an exit code."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


class UserError(Exception):
    """Something that the user can repair: a broken or missing file.  Exit code 1."""

    exit_code = 1


class MisuseError(UserError):
    """A command line that makes no sense.  Exit code 2, as in argparse."""

    exit_code = 2


def one_line(text: str, longest: int = 400) -> str:
    """Text for one line: line breaks and control characters, as in strangers' file names, are escaped, the rest cut."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."


def run(main: Callable[[], int | None]) -> None:
    """Run a script's main(), then end; a UserError or an operating system's error is one line on stderr."""
    script = Path(sys.argv[0]).name
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names are of any letters, terminals may know ASCII only
    text = ""
    try:
        code = main()
    except UserError as error:
        code, text = error.exit_code, str(error)
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        code, text = 1, f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    except KeyboardInterrupt:
        code, text = 130, "interrupted; run the same command again"
    if text:
        print(f"{script}: {one_line(text)}", file=sys.stderr)
    if "RANK" in os.environ:  # among several processes cleaning up can wait for ever for one that has died
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)
