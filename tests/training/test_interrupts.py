"""Signals during training."""

import signal
import sys
from contextlib import suppress

import pytest

from training.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_handlers_are_put_back_even_after_an_error(number, capsys):
    before = signal.getsignal(number)
    with suppress(ValueError), Interrupts() as interrupts:
        assert interrupts.received is None
        signal.raise_signal(number)
        assert interrupts.received == number
        raise ValueError
    assert signal.getsignal(number) is before
    assert "saving after this step; once more to exit at once" in capsys.readouterr().err


def test_the_second_signal_ends_the_process(process, tmp_path, request):
    code = """if True:
        import signal
        from training.interrupts import Interrupts
        with Interrupts():
            signal.raise_signal(signal.SIGTERM)
            print("still here", flush=True)
            signal.raise_signal(signal.SIGTERM)
            print("never here", flush=True)
    """
    done = process(tmp_path, sys.executable, "-c", code, PYTHONPATH=str(request.config.rootpath))
    assert done.code == -signal.SIGTERM
    assert done.out == "still here\n"
