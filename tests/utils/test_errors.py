"""What a script's end looks like from outside."""

from unittest import mock

import pytest

from utils.errors import MisuseError, UserError, run


@pytest.fixture
def ends(monkeypatch, capsys):
    """Exit code and stderr of a script whose main() raises that error, or returns that value."""

    def call(outcome) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["folder/script.py"])
        with pytest.raises(SystemExit) as stop:
            run(mock.Mock(side_effect=[outcome]))
        return stop.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("x.wav is broken"), 1, "script.py: x.wav is broken\n"),
        (MisuseError("--x: no"), 2, "script.py: --x: no\n"),
        (FileNotFoundError(2, "No such file or directory", "a/b"), 1, "script.py: No such file or directory: a/b\n"),
        (OSError(28, "No space left on device"), 1, "script.py: No space left on device\n"),
        (KeyboardInterrupt(), 130, "script.py: interrupted; run the same command again\n"),
    ],
)
def test_an_error_of_the_user_or_the_system_is_one_line(error, code, line, ends):
    assert ends(error) == (code, line)


def test_what_main_returns_is_the_exit_code_and_an_error_of_the_program_keeps_its_traceback(ends):
    assert [ends(returned) for returned in (None, 0, 143)] == [(None, ""), (0, ""), (143, "")]
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())
