"""Sound files -> labels: the room of tag.py."""
