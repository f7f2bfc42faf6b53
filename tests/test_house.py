"""The house: imports run one way, and files and functions stay short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [  # from the top down: what may import only what stands in a lower layer, and its own folder
    {"benchmarks"},  # the one exception, as it times train.py's own step: rooms never import scripts
    {"train", "test", "merge", "report", "tag"},
    {"reporting", "tagging", "on_kaggle"},
    {"training"},
    {"predicting"},
    {"loaders", "demo"},
    {"utils"},
    {"models", "losses"},
]
OURS = set().union(*LAYERS, {"tests"})
FILES = list(ROOT.glob("*.py")) + [
    path for room in sorted(OURS - {"tests"}) if (ROOT / room).is_dir() for path in (ROOT / room).rglob("*.py")
]


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_room_is_looked_at():
    assert OURS - {"tests"} == {room_of(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_down_and_files_and_functions_are_short(path):
    text, room = path.read_text(encoding="utf-8"), room_of(path)
    tree = ast.parse(text)
    layer = next(i for i, layer in enumerate(LAYERS) if room in layer)
    assert imported(tree) & OURS <= {room}.union(*LAYERS[layer + 1 :])
    assert len(text.splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
