"""README.md and docs/: links lead somewhere, pages are short, and no command, flag or file in them is out of date."""

import argparse
import json
import re
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

from loaders import get_data_path, get_features_path
from tests.pages import BLOCK, PAGES, ROOT, blocks, called, command_texts

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PINS = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line)
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


class Parsed(BaseException):
    """A script's command line was accepted.  No Exception, so that the script does not handle it."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request) -> Path:
    """Each page in turn."""
    return request.param


def test_pages_are_short_and_blocks_say_what_they_are(page):
    assert len(text_of(page).splitlines()) <= (160 if page.name == "README.md" else 150)
    assert {language for language, _ in BLOCK.findall(text_of(page))} <= {"bash", "text", "json", "python", "diff"}


def test_links_lead_somewhere(page):
    for link in LINK.findall(BLOCK.sub("", text_of(page))):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_found_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(text_of(PAGES[0]))}
    assert set(PAGES[1:]) <= linked


def test_files_that_are_named_exist(page):
    named = re.findall(r"(?:[\w.]+/)*\w+\.(?:py|sh|md)\b", " ".join(CODE.findall(BLOCK.sub("", text_of(page)))))
    new = re.findall(r"^\+\+\+ b/(\S+)", text_of(page), re.MULTILINE)  # files that a diff of the page makes
    assert [name for name in named if not (ROOT / name).exists() and name not in new] == []


def test_flags_that_are_named_exist(page):
    """But for the trial of flags that are gone."""
    text = re.sub(r"^## Tried and removed\n.*?(?=^## |\Z)", "", BLOCK.sub("", text_of(page)), flags=re.M | re.S)
    named = {flag for code in CODE.findall(text) for flag in re.findall(r"--(?:no-)?(\w+)", code)}
    sources = [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts] + [ROOT / "run.sh"]
    known = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert [flag for flag in sorted(named) if f"--{flag}" not in known] == []


def check_python(script: str, *arguments: str) -> None:
    """The script's own parser accepts the command line."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, args=None, namespace=None):
        raise Parsed(parse(parser, args, namespace))

    argv = mock.patch.object(sys, "argv", [script, *arguments])
    path = mock.patch.object(sys, "path", [str(ROOT), *sys.path])
    stop = mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop)
    with argv, path, stop, pytest.raises((Parsed, SystemExit)) as stopped:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert stopped.type is Parsed or (stopped.value.code == 0 and "-h" in arguments), arguments


def check_pip(install: str, *words: str) -> None:
    assert install == "install"
    assert all((ROOT / value).exists() for flag, value in pairwise(words) if flag == "-r")
    assert all(PINS[name] == version for name, _, version in (word.partition("==") for word in words) if version)


def check_make(*words: str) -> None:
    for word in words:
        assert word in TARGETS or ("=" in word and f"$({word.partition('=')[0]})" in MAKEFILE), word


def check_torchrun(*words: str) -> None:
    check_python(*words[next(i for i, word in enumerate(words) if not word.startswith("--")) :])


CHECKS = {"python": check_python, "pip": check_pip, "make": check_make, "torchrun": check_torchrun}


def test_commands_are_accepted(page, tmp_path, capsys):
    """bash reads them; each script takes its flags, make has the targets, and pip's files and versions are ours."""
    calls = [tuple(call) for text in command_texts(page) for call in called(text, tmp_path)]
    for program, *words in dict.fromkeys(calls):
        if program in CHECKS:
            CHECKS[program](*words)
    if page == PAGES[0]:
        names = [call[1] for call in calls if call[0] == "python"]
        assert {"loaders/freesound_loader.py", "train.py", "test.py", "merge.py", "report.py", "tag.py"} <= set(names)
        assert names.count("train.py") > 10  # those of the loop and of run.sh, per fold


def test_configurations_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [text for page in PAGES for text in blocks(page, "json")]
    texts += [text for page in PAGES for text in CODE.findall(text_of(page)) if text.startswith("{")]
    assert texts
    for text in texts:
        Path("config.json").write_text(text)
        for name in json.loads(text):
            assert get_data_path(name)
            assert get_features_path(name)


def test_make_alone_lists_every_target(process):
    done, asked = (process(ROOT, "make", "--no-print-directory", *target) for target in ([], ["help"]))
    assert (done.code, asked.out) == (0, done.out)
    phony = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())
    assert {line.split()[1] for line in done.out.splitlines()} == phony - {"plan_of_demo"}
