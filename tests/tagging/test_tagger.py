"""Tagging below the command line."""

from types import SimpleNamespace

import numpy as np

from tagging import tagger


def test_a_file_is_tagged_in_order_whatever_its_length_and_state(monkeypatch, tmp_path):
    """Short ones wait for their batch; none overtakes another."""
    names = [f"{i}{kind}" for i in range(7) for kind in ("short", "broken", "long", "silent")]

    def read(path, ensemble, batch_size, timelines):
        kind = path.name[1:]
        features = np.full((5, 4), path.name[0], np.float16) if kind == "short" else None
        scores = None if kind in ("short", "broken") else np.zeros(1)
        return tagger.Tagged(path, scores, SimpleNamespace() if kind == "long" else None, features=features)

    monkeypatch.setattr(tagger, "_read", read)
    listener = SimpleNamespace(predict=lambda features, batch_size, tta: np.array([clip[:1, 0] for clip in features]))
    made = list(tagger.tag_files([tmp_path / name for name in names], listener, tta=1, batch_size=3))
    assert [file.path.name for file in made] == names
    for name, file in zip(names, made, strict=True):
        assert file.features is None
        assert file.scores == (None if name.endswith("broken") else int(name[0]) * name.endswith("short"))
