"""Why a file cannot be used, and what was read of one that can."""

from dataclasses import dataclass, field

ROUNDED = 0.1  # seconds by which the length that a header tells may be wrong


class UnusableClipError(Exception):
    """Why a file cannot be turned into features."""


@dataclass
class Heard:
    """What was read of one file, of those that may be joined."""

    seconds: float = 0.0
    promised: float = 0.0  # seconds that its header tells, or that its bytes would be, as far as that is known
    bytes: int = 0  # of compressed sound that could be decoded, where they were counted
    cut: bool = False  # whether its last piece is broken
    reason: str = ""  # why nothing can be read
    remarks: list[str] = field(default_factory=list)
