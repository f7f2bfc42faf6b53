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


def test_features_lie_beside_the_audio_unless_told_otherwise(config):
    config({"a": {"data_path": "x/"}, "b": {"data_path": "x/", "features_path": "y/z"}})
    assert get_data_path("a") == Path("x")
    assert get_features_path("a") == Path("x/features")
    assert get_features_path("b") == Path("y/z")


def test_two_data_sets_do_not_share_their_features(config):
    config({"a": {"data_path": "x/", "features_path": "z/"}, "b": {"data_path": "y/", "features_path": "./z"}})
    with pytest.raises(UserError, match="a and b share a features_path; give each a folder of its own"):
        get_features_path("a")
    config({"a": {"data_path": "x/", "features_path": "y/features"}, "b": {"data_path": "y/"}, "c": 3})
    with pytest.raises(UserError, match="b and a share a features_path"):
        get_features_path("b")
    config({"a": {"data_path": "x/", "features_path": "z/"}, "b": {"data_path": "./x", "features_path": "z"}})
    assert get_features_path("a") == Path("z")
    config({"a": {"data_path": "x/", "features_path": ""}, "b": {"data_path": "y/", "features_path": ""}})
    assert get_features_path("a") == Path("x/features")


def test_a_tilde_is_the_home_of_whoever_runs_it(config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config({"a": {"data_path": "~/x"}, "b": {"data_path": "x~", "features_path": "~/y"}})
    assert [get_data_path(name) for name in "ab"] == [Path("/home/ada/x"), Path("x~")]
    assert [get_features_path(name) for name in "ab"] == [Path("/home/ada/x/features"), Path("/home/ada/y")]


def test_an_unknown_data_set_or_a_missing_config_is_named(config):
    with pytest.raises(UserError, match=r"there is no config.json in .*root"):
        get_data_path("a")
    config({"a": {"data_path": "x/"}, "b": {"data_path": "y/"}})
    with pytest.raises(MisuseError, match=r"--dataset c: not in config.json, which has a, b"):
        get_data_path("c")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '["a"]', "3", '"a"', {"a": "x"}, {"a": {}}, {"a": {"data_path": 3}}, {"a": {"data_paths": "x"}},
     {"a": {"data_path": "x", "features": "y"}}, {"a": {"data_path": "x", "features_path": 3}}, "\ufeff{}"],
)  # fmt: skip
def test_a_config_that_is_none_is_refused_in_one_line(config, content):
    config(content)
    with pytest.raises(UserError) as error:
        get_features_path("a")
    assert "config.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_repositorys_own_config_knows_the_two_data_sets(request):
    config = json.loads((request.config.rootpath / "config.json").read_text())
    assert set(config) == {"freesound", "demo"}
