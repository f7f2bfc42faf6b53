"""Recipes are presets of flags that exist, and a flag overrides them."""

import shlex
import sys
from contextlib import ExitStack

import pytest

from training.flags import build_parser, describe_recipe
from training.start import parse_args
from utils.errors import MisuseError
from utils.recipes import FOLDER, read_recipe


@pytest.fixture
def parse(monkeypatch, workplace):
    monkeypatch.chdir(workplace)

    def call(command: str):
        monkeypatch.setattr(sys, "argv", ["train.py", "--dataset", "tiny", *shlex.split(command)])
        with ExitStack() as held:
            return parse_args(held)[0]

    return call


RECIPES = [path.stem for path in FOLDER.glob("*.json")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_flags(parse, name):
    args = parse(f"--recipe {name}")
    for flag, value in read_recipe(name).items():
        assert getattr(args, flag) == value


def test_without_a_recipe_the_flags_have_the_original_solutions_values(parse):
    assert {**vars(parse("")), "recipe": 0} == {**vars(parse("--recipe original")), "recipe": 0}
    group = next(group for group in build_parser()._action_groups if str(group.title).startswith("recipe"))
    assert all(action.default is not None for action in group._group_actions)


def test_a_flag_overrides_its_recipe_and_the_values_that_hold_are_described(parse):
    args = parse("--recipe improved --l_rate 0.5 --no-use_mix_up")
    assert (args.l_rate, args.use_mix_up, args.optimizer) == (0.5, False, "adamw")
    described = describe_recipe(args)
    assert "--l_rate 0.5" in described
    assert all(f"--{flag} " in described for flag in read_recipe("improved"))


def test_a_recipe_may_be_a_file_of_ones_own(parse, workplace):
    (workplace / "mine.json").write_text('{"n_iter": 7, "arch": "mobilenet_v3_small"}')
    args = parse("--recipe mine.json --n_iter 8")
    assert (args.n_iter, args.arch, args.l_rate) == (8, "mobilenet_v3_small", 0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n_itre": 7}', "no flag --n_itre "),
        ('{"n_iter": "many"}', "--n_iter that can be 'many'"),
        ('{"n_iter": 0}', "--n_iter that can be 0"),
        ('{"use_cbam": 1}', "--use_cbam that can be 1"),
        ("[7]", "mine.json holds no JSON object"),
        ("{", "--recipe mine.json: choose from demo, improved"),
        (None, "mine.json"),
    ],
)
def test_a_recipe_that_is_none_is_misuse(parse, workplace, text, said):
    if text is not None:
        (workplace / "mine.json").write_text(text)
    with pytest.raises(MisuseError, match=said):
        parse("--recipe mine.json")
