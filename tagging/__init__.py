"""Sound files -> labels: what only tag.py needs."""
