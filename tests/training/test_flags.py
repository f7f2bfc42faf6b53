"""Recipes are presets of flags that exist, and a flag overrides them."""

import shlex
import sys

import pytest

from training.flags import RECIPES, build_parser, describe_recipe
from utils.cli import can_be


@pytest.fixture
def parse(module_of, monkeypatch, workplace):
    monkeypatch.chdir(workplace)

    def call(command: str):
        monkeypatch.setattr(sys, "argv", ["train.py", "--dataset", "tiny", *shlex.split(command)])
        return module_of("train.py").parse_args()[0]

    return call


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_sets_flags_to_values_that_they_can_have(parse, name):
    actions = {action.dest: action for action in build_parser()._actions}
    args = parse(f"--recipe {name}")
    for flag, value in RECIPES[name].items():
        assert can_be(actions[flag], value), flag
        assert getattr(args, flag) == value


def test_without_a_recipe_the_flags_have_the_original_solutions_defaults(parse):
    assert {**vars(parse("")), "recipe": 0} == {**vars(parse("--recipe original")), "recipe": 0}
    assert RECIPES["original"] == {}


def test_a_flag_overrides_its_recipe(parse):
    args = parse("--recipe improved --l_rate 0.5 --no-use_mix_up")
    assert (args.l_rate, args.use_mix_up, args.optimizer) == (0.5, False, "adamw")


def test_a_recipe_is_told_with_the_values_that_hold(parse):
    told = describe_recipe("improved", parse("--recipe improved --l_rate 0.5"))
    assert "--l_rate 0.5" in told
    assert all(f"--{flag} " in told for flag in RECIPES["improved"])
