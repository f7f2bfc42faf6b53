"""What a result was made with."""

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "torchvision", "numpy", "librosa", "scikit-learn")
    }
