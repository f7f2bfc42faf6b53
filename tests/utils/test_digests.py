"""Digests: alike for what is alike, and no other."""

import numpy as np
import torch

from utils.digests import changes, digest, tensors_digest


def test_strings_give_the_same_digest_however_they_come_and_numbers_are_told_apart_bit_by_bit():
    names = ["a.wav", "b.wav"]
    assert digest(names) == digest(np.array(names)) == digest(iter(names)) != digest(names[::-1])
    assert digest(["a", "b"]) != digest(["ab"])
    table = np.zeros((2, 3), np.float32)
    other = table.copy()
    other[1, 2] = 1e-30
    assert digest(table) == digest(table.copy()) != digest(other)


def test_checkpoints_are_told_apart_by_their_tensors_alone(tmp_path):
    weights = torch.arange(6.0)
    for name, state in {
        "a": {"w": weights, "step": 1},
        "b": {"w": weights.clone(), "step": 2},
        "c": {"w": weights + 1, "step": 1},
    }.items():
        torch.save(state, tmp_path / name)
    (tmp_path / "d").write_text("no checkpoint")
    a, b, c, d = (tensors_digest(tmp_path / name) for name in "abcd")
    assert a == b != c
    assert d == ""


def test_what_only_one_side_knows_has_not_changed():
    assert changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ["b"]
    assert changes({}, {"a": "1"}) == changes({"a": "1"}, {}) == []
