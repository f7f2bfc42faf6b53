"""Why a file cannot be used, and what is said of one that can though a part of it is missing."""


class UnusableClipError(Exception):
    """Why a file cannot be turned into features."""


def shortfall(held: float, promised: float, unit: str = "seconds", why: str = "it was cut off") -> list[str]:
    """A remark if at least a hundredth, or a second, of what the header promises is missing."""
    missing = promised - held
    if held <= 0 or missing < (min(1.0, 0.01 * promised) if unit == "seconds" else 0.01 * promised):
        return []
    return [f"{why}: holds {held:.2f} of the {promised:.2f} {unit} that its header promises"]
