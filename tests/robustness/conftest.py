"""What the attacks share: their size, the report of their figures, and a small run to attack."""

import os
from collections.abc import Callable
from datetime import date

import pytest

from benchmarks.common import markdown
from tests.robustness.victim import Victim

REPORT = os.environ.get("ROBUSTNESS_REPORT")  # a file to append figures to; where it is set, attacks run in full


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """size(small, full): how much of an attack to run."""
    return lambda small, full: full if REPORT else small


@pytest.fixture
def tell() -> Callable[..., None]:
    """tell(title, facts, columns, rows): append a section with one table to the report, if one is written."""

    def write(title: str, facts: str, columns: list[str], rows: list[tuple]) -> None:
        table = markdown([dict(zip(columns, map(str, row), strict=True)) for row in rows])
        if REPORT:
            with open(REPORT, "a", encoding="utf-8") as file:
                file.write(f"\n## {title}\n\n{date.today()}; {facts}.\n\n{table}")

    return write


@pytest.fixture(scope="package")
def new_victim(script, template, tiny_flags, tmp_path_factory) -> Callable[..., Victim]:
    """A place where nothing has been made yet; in a folder, or in one of its own."""
    return lambda folder=None: Victim(folder or tmp_path_factory.mktemp("victim"), script, template, tiny_flags)


@pytest.fixture(scope="package")
def peace(new_victim) -> Victim:
    """A place where every stage has ended undisturbed; not to be changed."""
    place = new_victim()
    for stage in place.stages:
        done = place.run(stage)
        assert done.code == 0, done.err
    return place
