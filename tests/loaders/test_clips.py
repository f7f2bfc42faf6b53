"""Crops out of the flat arrays, and the refusals of arrays that are not what they should be."""

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loaders.clips import Clips, open_clips
from loaders.index import FORMAT, features_dir
from loaders.pcen import AudioSettings
from utils.errors import UserError

SETTINGS = AudioSettings(sampling_rate=16000, n_mels=32)
CPU = torch.device("cpu")


def pack(lengths, seed=0, n_mels=5):
    """Clips of these lengths in one flat array, and their features one by one."""
    parts = [
        np.random.default_rng([seed, i]).normal(size=(n, n_mels)).astype(np.float16) for i, n in enumerate(lengths)
    ]
    starts = np.cumsum([0, *lengths])[:-1]
    fnames = [f"{seed}-{i}" for i in range(len(lengths))]
    table = torch.from_numpy(np.concatenate(parts))
    return Clips(fnames, (table,), np.zeros(len(lengths), int), starts, np.array(lengths), np.array(fnames)), parts


def crop(part, first, width):
    """(1, n_mels, width): the plain way, frame by frame, going on at the start where the clip ends."""
    return np.stack([part[(first + i) % len(part)] for i in range(width)], axis=1)[None].astype(np.float32)


@given(
    st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=5), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_crops_are_slices_of_the_clips_that_wrap_around(packs, width, seed):
    made = [pack(lengths, number) for number, lengths in enumerate(packs)]
    clips, parts = made[0]
    for more, more_parts in made[1:]:
        clips, parts = clips + more, parts + more_parts
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(clips), 6)
    first = rng.integers(0, clips.lengths[chosen])
    inputs = clips.crops(chosen, first, width, CPU)
    assert inputs.shape == (6, 1, 5, width)
    assert inputs.dtype == torch.float32
    expected = np.stack([crop(parts[clip], start, width) for clip, start in zip(chosen, first, strict=True)])
    np.testing.assert_array_equal(inputs.numpy(), expected)


def test_selected_and_joined_clips_keep_their_order_and_hold_each_array_once():
    clips, parts = pack([3, 4, 5])
    other, other_parts = pack([6], 1)
    joined = (clips.select(np.array([0])) + other) + clips.select(np.array([2, 1]))
    assert joined.fnames == ["0-0", "1-0", "0-2", "0-1"]
    assert joined.lengths.tolist() == [3, 6, 5, 4]
    assert len(joined) == 4
    assert joined.to(CPU) is joined
    assert [len(joined.select(np.array(rows, int)).packs) for rows in ([0, 2], [1], [1, 0], [])] == [1, 1, 2, 2]
    assert [each is one for each, one in zip(joined.packs, (clips.packs[0], other.packs[0]), strict=True)] == [True] * 2
    wanted = [parts[0], other_parts[0], parts[2], parts[1]]
    for number, part in enumerate(wanted):
        made = joined.crops(np.array([number]), np.array([0]), len(part), CPU)[0]
        np.testing.assert_array_equal(made, crop(part, 0, len(part)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_crops_on_a_gpu_equal_those_on_the_cpu():
    clips = pack([30, 7], 0)[0] + pack([12], 1)[0]
    chosen, first = np.array([2, 0, 1]), np.array([3, 5, 6])
    gpu = torch.device("cuda")
    assert torch.equal(clips.to(gpu).crops(chosen, first, 9, gpu).cpu(), clips.crops(chosen, first, 9, CPU))


def rewrite(index, **changes):
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))


SPOILS = {  # what is done to the array or the index, given by their paths; what the message says
    "no array": (lambda array, index: array.unlink(), "No such file.*THE COMMAND"),
    "no index": (lambda array, index: index.unlink(), "are not in .*; THE COMMAND"),
    "other settings": (lambda array, index: rewrite(index, digest="0"), "other audio settings; THE COMMAND"),
    "cut off": (lambda array, index: array.write_bytes(array.read_bytes()[:-64]), "delete test.json, then THE COMMAND"),
    "nonsense": (lambda array, index: array.write_bytes(b"nonsense"), "delete test.json, then THE COMMAND"),
    "another array": (lambda array, index: np.save(array, np.zeros((3, 32), np.float16)), "delete both, then THE COM"),
    "pickled": (lambda array, index: np.save(array, np.array([{}]), allow_pickle=True), "cannot be read"),
    "torn index": (lambda array, index: index.write_text(index.read_text()[:-9]), "test.json is damaged.*delete it"),
    "a newer index": (lambda array, index: rewrite(index, format=99), "of another version.*delete it"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_spoiled_features_are_refused_by_name_with_what_to_do(corpus, spoil):
    folder = features_dir(corpus / "features", SETTINGS)
    (array,) = folder.glob("test.*.npy")
    change, said = SPOILS[spoil]
    change(array, folder / "test.json")
    with pytest.raises(UserError, match=said) as error:
        open_clips(corpus / "features", "test", SETTINGS, "THE COMMAND")
    assert "test" in str(error.value)
    assert "\n" not in str(error.value)


def test_features_larger_than_memory_can_be_opened(tmp_path):
    frames = 1 << 32  # 256 GiB, all holes
    folder = features_dir(tmp_path, SETTINGS)
    folder.mkdir(parents=True)
    with open(folder / "test.holes.npy", "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (frames, 32)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 64 * frames)
    clips = [["a.wav", 0, frames, 0, 0]]
    index = {"format": FORMAT, "digest": SETTINGS.digest, "array": "test.holes.npy", "clips": clips, "unusable": []}
    (folder / "test.json").write_text(json.dumps(index))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held, _ = open_clips(tmp_path, "test", SETTINGS, "")
    assert held.crops(np.array([0]), np.array([frames - 5]), 5, CPU).shape == (1, 1, 32, 5)
