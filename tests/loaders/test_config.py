"""config.json and the registry of loaders."""

import json
from pathlib import Path

import pytest

from loaders import get_data_path, get_features_path
from utils.errors import MisuseError, UserError


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "config.json").write_text(text, encoding="utf-8")

    return write


PLACES = [  # entries, and where the features of the first one lie
    ({"a": {"data_path": "x/"}, "b": {"data_path": "y/"}}, "x/features"),
    ({"a": {"data_path": "x/", "features_path": "y/z"}}, "y/z"),
    ({"a": {"data_path": "x/", "features_path": ""}, "b": {"data_path": "y/", "features_path": ""}}, "x/features"),
    ({"a": {"data_path": "~/x"}}, "/home/ada/x/features"),
    ({"a": {"data_path": "x~", "features_path": "~/y"}}, "/home/ada/y"),
    ({"a": {"data_path": "x/", "features_path": "z/"}, "b": {"data_path": "./x", "features_path": "z"}}, "z"),
    ({"a": {"data_path": "x/", "features_path": "z/"}, "b": {"data_path": "y/", "features_path": "./z"}}, None),
    ({"a": {"data_path": "y/"}, "b": {"data_path": "x/", "features_path": "y/features"}, "c": 3}, None),
]


@pytest.mark.parametrize(("entries", "place"), PLACES)
def test_features_lie_beside_the_audio_unless_told_otherwise_and_are_not_shared(config, monkeypatch, entries, place):
    monkeypatch.setenv("HOME", "/home/ada")
    config(entries)
    assert get_data_path("a") == Path(entries["a"]["data_path"].replace("~/", "/home/ada/"))
    if place:
        assert get_features_path("a") == Path(place)
        return
    with pytest.raises(UserError, match="a and b share a features_path; give each a folder of its own"):
        get_features_path("a")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_config_as_editors_save_it_is_read(tmp_path, config, encoding):
    config("")
    (tmp_path / "config.json").write_text('{"a": {"data_path": "x/"}}\r\n', encoding=encoding)
    assert get_data_path("a") == Path("x/")


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"a": {"data_path": "x"}, "a": {"data_path": "y"}}', "the key 'a' is there twice; delete one"),
     ('{"a": {"data_path": "x", "data_path": "y"}}', "the key 'data_path' is there twice; delete one"),
     ('{"a": "\udce4"}', "neither UTF-8 nor UTF-16 with a byte-order mark; save it as UTF-8")],
)  # fmt: skip
def test_what_is_wrong_with_a_config_is_told_with_the_remedy(tmp_path, config, content, said):
    config("")
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=said):
        get_data_path("a")


def test_an_unknown_data_set_or_a_missing_config_is_named(config):
    with pytest.raises(UserError, match=r"there is no config.json in .*root"):
        get_data_path("a")
    config({"a": {"data_path": "x/"}, "b": {"data_path": "y/"}})
    with pytest.raises(MisuseError, match=r"--dataset c: not in config.json, which has a, b"):
        get_data_path("c")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '["a"]', "3", '"a"', {"a": "x"}, {"a": {}}, {"a": {"data_path": 3}}, {"a": {"data_paths": "x"}},
     '{"a": {"data_path": "x"}, "a": {"data_path": "y"}}', '{"a": {"data_path": "x", "data_path": "y"}}',
     {"a": {"data_path": "x", "features": "y"}}, {"a": {"data_path": "x", "features_path": 3}}, "\ufeff{}"],
)  # fmt: skip
def test_a_config_that_is_none_is_refused_in_one_line(config, content):
    config(content)
    with pytest.raises(UserError) as error:
        get_features_path("a")
    assert "config.json" in str(error.value)
    assert "\n" not in str(error.value)
