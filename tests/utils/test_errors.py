"""What a script's end looks like from outside."""

import pytest

from utils.errors import MisuseError, UserError, run


def ends(action, monkeypatch, capsys) -> tuple[int, str]:
    """Exit code and stderr of a script whose main() does this."""
    monkeypatch.setattr("sys.argv", ["folder/script.py"])
    with pytest.raises(SystemExit) as stop:
        run(action)
    return stop.value.code, capsys.readouterr().err


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("x.wav is broken"), 1, "script.py: x.wav is broken\n"),
        (MisuseError("--x: no"), 2, "script.py: --x: no\n"),
        (FileNotFoundError(2, "No such file or directory", "a/b"), 1, "script.py: No such file or directory: a/b\n"),
        (OSError(28, "No space left on device"), 1, "script.py: No space left on device\n"),
        (KeyboardInterrupt(), 130, "script.py: interrupted; run the same command again to go on\n"),
    ],
)
def test_an_error_of_the_user_or_the_system_is_one_line(error, code, line, monkeypatch, capsys):
    assert ends(raising(error), monkeypatch, capsys) == (code, line)


@pytest.mark.parametrize(("returned", "code"), [(None, None), (0, 0), (1, 1), (143, 143)])
def test_what_main_returns_is_the_exit_code(returned, code, monkeypatch, capsys):
    assert ends(lambda: returned, monkeypatch, capsys) == (code, "")


def test_an_error_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))
