"""Predictions on disk: round trip, alignment by name, and refusals."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predicting.prediction_file import Predictions, load_predictions, save_predictions
from utils.errors import UserError

TABLE = np.array([[0.1, 0.25, 1], [0, 1e-7, 0.123456789]], np.float32)
ARGS = {"arch": "resnet18", "sampling_rate": 16000, "num_folds": 2, "fold_num": 0, "tta": 8}
MADE = Predictions(TABLE, ["b.wav", "Hü,nd/a.wav"], ["Bark", "Hum", "Meow"], ARGS)


def test_what_was_saved_is_loaded_and_lies_beside_as_csv_in_the_layout_of_a_submission(tmp_path):
    save_predictions(tmp_path / "deep" / "x.npz", MADE)
    loaded = load_predictions(tmp_path / "deep" / "x.npz")
    np.testing.assert_array_equal(loaded.probabilities, TABLE)
    assert loaded.probabilities.dtype == np.float32
    assert (loaded.fnames, loaded.class_names, loaded.args) == (MADE.fnames, MADE.class_names, MADE.args)
    table = pd.read_csv(tmp_path / "deep" / "x.csv", index_col="fname")
    assert (table.index.tolist(), list(table.columns)) == (MADE.fnames, MADE.class_names)
    np.testing.assert_allclose(table.to_numpy(), TABLE, rtol=1e-6)


@given(st.permutations(range(5)), st.permutations(range(4)))
def test_rows_and_columns_are_taken_by_name(rows, columns):
    table = np.arange(20.0).reshape(5, 4)
    shuffled = Predictions(table[np.ix_(rows, columns)], [f"{r}.wav" for r in rows], [f"c{c}" for c in columns], {})
    fnames, class_names = [f"{i}.wav" for i in range(5)], [f"c{i}" for i in range(4)]
    np.testing.assert_array_equal(shuffled.aligned(fnames, class_names), table)
    for names in ([*fnames, "x.wav"], class_names), (fnames, [*class_names, "x"]):
        with pytest.raises(KeyError):
            shuffled.aligned(*names)


def refuse(path) -> None:
    with pytest.raises(UserError) as error:
        load_predictions(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def saved(save, array) -> bytes:
    save(file := io.BytesIO(), array)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"fname,Bark\n", saved(np.save, TABLE), saved(np.save, np.array([{}])), None])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, content):
    refuse(tmp_path / "missing.npz")
    refuse(tmp_path)
    save_predictions(tmp_path / "x.npz", MADE)
    cut = (tmp_path / "x.npz").read_bytes()[:300]
    (tmp_path / "x.npz").write_bytes(cut if content is None else content)
    refuse(tmp_path / "x.npz")


ODD = {
    "probabilities": [TABLE[:1], TABLE.T, TABLE - 1, TABLE * 1.5, np.where(TABLE == 1, np.nan, TABLE),
                      np.array([["a", "b", "c"]] * 2), np.array([[{}] * 3] * 2)],
    "fnames": [np.array("ab"), np.array(["b.wav", "b.wav"]), np.array([1.5, 2.5])],
    "class_names": [np.array(["Bark", "Hum"]), np.array(["Bark", "Hum", "Hum"])],
    "args": [np.array("[]"), np.array("{"), None, *(np.array(json.dumps(ARGS | odd)) for odd in (
        {"arch": None}, {"fold_num": "0"}, {"num_folds": 2.0}, {"sampling_rate": [1]},
    ))],
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_content_that_cannot_be_is_refused(tmp_path, key):
    names = {"fnames": np.array(MADE.fnames), "class_names": np.array(MADE.class_names)}
    for value in ODD[key]:
        content = {"probabilities": TABLE, "args": np.array(json.dumps(ARGS)), **names, key: value}
        np.savez(tmp_path / "x.npz", **{name: held for name, held in content.items() if held is not None})
        refuse(tmp_path / "x.npz")
