"""Have the next batch ready while the device works on this one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class OneAhead(Generic[T]):
    """A function of a number that computes the next number's value in a thread, for callers that count up."""

    def __init__(self, function: Callable[[int], T]) -> None:
        self.function = function
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, Future[T]] | None = None

    def __call__(self, number: int) -> T:
        """function(number), computed already if the last call was for number - 1."""
        ready = self.next is not None and self.next[0] == number
        value = self.next[1].result() if ready else self.function(number)
        self.next = (number + 1, self.pool.submit(self.function, number + 1))
        return value
