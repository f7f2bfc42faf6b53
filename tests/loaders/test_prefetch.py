"""The value after this one, computed meanwhile."""

import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from loaders.clips import OneAhead, PinnedCopies


def test_values_are_those_of_the_function_in_any_order():
    ahead = OneAhead(lambda number: number * number)
    assert [ahead(number) for number in (0, 1, 2, 7, 8, 3, 3, 4)] == [0, 1, 4, 49, 64, 9, 9, 16]


def test_the_next_value_is_computed_in_another_thread_before_it_is_asked_for():
    computed, ready = {}, threading.Event()

    def function(number: int) -> int:
        computed[number] = threading.current_thread()
        if number == 5:
            ready.set()
        return number

    ahead = OneAhead(function)
    ahead(4)
    assert ready.wait(5)
    assert computed[4] is threading.current_thread()
    assert computed[5] is not threading.current_thread()
    assert set(computed) == {4, 5}
    assert ahead(5) == 5


def test_one_value_is_computed_at_a_time():
    busy, most = [], []

    def function(number: int) -> int:
        busy.append(number)
        most.append(len(busy))
        time.sleep(0.02)
        busy.remove(number)
        return number

    ahead = OneAhead(function)
    assert [ahead(number) for number in (0, 5, 3, 9)] == [0, 5, 3, 9]
    assert max(most) == 1


class Event:
    """Stands in for one of CUDA's: what happens to it is written down."""

    diary: ClassVar[list[tuple[str, int]]] = []
    made: ClassVar[list["Event"]] = []

    def __init__(self) -> None:
        self.number = len(self.made)
        self.made.append(self)

    def synchronize(self) -> None:
        self.diary.append(("waited for", self.number))

    def record(self, stream: object) -> None:
        self.diary.append(("recorded", self.number))


@pytest.fixture
def copies(monkeypatch) -> PinnedCopies:
    """Copies from the host to the host, through a stream that is none."""
    Event.diary.clear()
    Event.made.clear()
    stream = SimpleNamespace(wait_event=lambda event: Event.diary.append(("followed", event.number)))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: "beside")
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, used: None)
    monkeypatch.setattr("loaders.clips.pinned", lambda shape: torch.empty(shape, dtype=torch.half))
    return PinnedCopies((2, 3, 4), torch.device("cpu"))


def test_batches_arrive_whole_through_two_buffers_in_turn(copies):
    used, sent = [], []
    for number in range(5):

        def fill(buffer: torch.Tensor, number: int = number) -> None:
            used.append(buffer.data_ptr())
            buffer.fill_(number)

        sent.append(copies.start(fill))
    assert [copies.finish(*each).unique().tolist() for each in sent] == [[0], [1], [2], [3], [4]]
    assert len(set(used)) == 2
    assert used[0] == used[2] == used[4] != used[1] == used[3]


def test_a_buffer_is_filled_after_its_copy_and_a_batch_is_used_after_it_has_come(copies):
    there, event = copies.start(lambda buffer: Event.diary.append(("filled", 9)))
    copies.finish(there, event)
    number = event.number
    assert Event.diary == [("waited for", number), ("filled", 9), ("recorded", number), ("followed", number)]


def test_an_error_is_raised_where_its_value_is_asked_for():
    ahead = OneAhead(lambda number: 1 / (2 - number))
    assert ahead(1) == 1
    with pytest.raises(ZeroDivisionError):
        ahead(2)
