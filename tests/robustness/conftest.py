"""What the small attacks share: a sandbox in which the loop has ended in peace."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.sandbox import Pass, Sandbox, undisturbed


@pytest.fixture(scope="package")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, dict[str, Pass]]]:
    """The sandbox, not to be changed, and the passes of its loop.  Scripts start warm while it lasts."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("the attacks watch processes in /proc, which this system lacks")
    with undisturbed(tmp_path_factory.mktemp("peace")) as found:
        yield found
