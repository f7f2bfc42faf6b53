"""The value after this one, computed meanwhile."""

import threading

import pytest

from loaders.store import OneAhead


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


def test_an_error_is_raised_where_its_value_is_asked_for():
    ahead = OneAhead(lambda number: 1 / (2 - number))
    assert ahead(1) == 1
    with pytest.raises(ZeroDivisionError):
        ahead(2)
