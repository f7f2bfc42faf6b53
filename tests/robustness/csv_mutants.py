"""Tables of a small data set, and mutants of them: other columns, other line ends, other bytes, odd names."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

CLASSES = ("Bark", "Hum", "Tür")
CLIPS = {"train_curated": 8, "train_noisy": 4, "test": 3}
READ, REFUSED, EITHER = "read", "refused", "read or refused"
NAMES = [  # for a clip
    *("../c0.wav", "../../x.wav", "a/../../x.wav", "/etc/passwd", "//x", "..", ".", "", " ", "a\0.wav", "x" * 300),
    *("line\nbreak.wav", "\x1b[2J.wav", "sub/c0.wav", "c0.wav/", "./c0.wav", "c0.raw", "nan", "-rf", "c0.wav ", "/"),
]
LABELS = ["Nosuch", "", " ", ",", "Bark,", ",Hum", "Bark,,Hum", "bark", "Bark;Hum", "nan", "Bark\n", "B\0ark", "0"]
RUBBISH = ["\0", "\ufeff", '"', '""', "\r", "\n", "\t", ",", ",,,,", "\\", "'", "\x1b[31m", "ÿ", "#", "\x1a"]
Table = list[list[str]]  # rows of fields, the header first


@dataclass(frozen=True)
class Mutant:
    """A table of the data set after something was done to it."""

    kind: str
    table: str  # which one
    content: bytes
    expected: str = EITHER


def tables() -> dict[str, Table]:
    """The tables of Kaggle's layout, with answers, and the vocabulary of Zenodo's."""
    made: dict[str, Table] = {}
    for split in ("train_curated", "train_noisy"):
        labels = [",".join(CLASSES[i % 3 : i % 3 + 1 + i % 2]) for i in range(CLIPS[split])]
        made[split] = [["fname", "labels"], *([f"{split[6]}{i}.wav", label] for i, label in enumerate(labels))]
    tests = [f"t{i}.wav" for i in range(CLIPS["test"])]
    made["sample_submission"] = [["fname", *CLASSES], *([fname, *["0"] * len(CLASSES)] for fname in tests)]
    answers = [[fname, CLASSES[i], ("Public", "Private")[i % 2]] for i, fname in enumerate(tests)]
    made["test_post_competition"] = [["fname", "labels", "usage"], *answers]
    made["vocabulary"] = [[str(i), name] for i, name in enumerate(CLASSES)]
    return made


def encode(table: Table, **style: str | int) -> bytes:
    """CSV in UTF-8; style: of csv.writer."""
    file = io.StringIO(newline="")
    csv.writer(file, **({"lineterminator": "\n"} | style)).writerows(table)
    return file.getvalue().encode()


def mutants(rng: np.random.Generator, count: int) -> Iterator[Mutant]:
    """Every kind in turn, and every table in turn, so that each kind meets each table in time."""
    sources = tables()
    kinds = list(KINDS.items())
    for number in range(count):
        kind, (change, expected) = kinds[number % len(kinds)]
        name = list(sources)[(number + number // len(kinds)) % len(sources)]
        source = [list(row) for row in sources[name]]
        content = encode(change(rng, source)) if kind in CHANGES else change(rng, encode(source))
        yield Mutant(kind, name, content, EITHER if name == "vocabulary" else expected)  # it has no header to go by


def pick(rng: np.random.Generator, choices: list) -> object:
    return choices[int(rng.integers(len(choices)))]


def put(rng: np.random.Generator, table: Table, column: int, value: str) -> Table:
    """The table with another value in some row, not the header."""
    pick(rng, table[1:])[column] = value
    return table


def insert(rng: np.random.Generator, data: bytes, piece: bytes, instead: int = 0) -> bytes:
    """A piece put in anywhere, instead of so many bytes."""
    at = int(rng.integers(len(data) + 1))
    return data[:at] + piece + data[at + instead :]


Change = tuple[Callable[[np.random.Generator, Table], Table], str]
CHANGES: dict[str, Change] = {
    "a column missing": (lambda rng, table: [row[1:] for row in table], REFUSED),
    "another column missing": (lambda rng, table: [row[:-1] for row in table], EITHER),
    "columns swapped": (lambda rng, table: [row[::-1] for row in table], EITHER),
    "a further column": (lambda rng, table: [[*row, f"extra{i}"] for i, row in enumerate(table)], EITHER),
    "a column twice": (lambda rng, table: [[*row, row[-1]] for row in table], EITHER),
    "header missing": (lambda rng, table: table[1:], EITHER),
    "header misspelt": (lambda rng, table: [[name.upper() + "_" for name in table[0]], *table[1:]], EITHER),
    "header only": (lambda rng, table: table[:1], EITHER),
    "a row twice": (lambda rng, table: [*table, pick(rng, table[1:])], EITHER),
    "rows too short": (lambda rng, table: [*table[:-1], table[-1][:1]], EITHER),
    "a row too long": (lambda rng, table: [*table[:-1], table[-1] + ["0"] * int(rng.integers(1, 4))], REFUSED),
    "rows too long": (lambda rng, table: [table[0], *([*row, "0"] for row in table[1:])], REFUSED),
    "odd file names": (lambda rng, table: put(rng, table, 0, pick(rng, NAMES)), EITHER),
    "unknown and empty labels": (lambda rng, table: put(rng, table, 1, pick(rng, LABELS)), EITHER),
    "a huge field": (lambda rng, table: put(rng, table, 0, "x" * 2_000_000), EITHER),
    "thousands of columns": (lambda rng, table: [[*row, *map(str, range(3000))] for row in table], EITHER),
}
Damage = tuple[Callable[[np.random.Generator, bytes], bytes], str]
DAMAGES: dict[str, Damage] = {
    "BOM": (lambda rng, data: b"\xef\xbb\xbf" + data, READ),
    "CRLF": (lambda rng, data: data.replace(b"\n", b"\r\n"), READ),
    "CR": (lambda rng, data: data.replace(b"\n", b"\r"), EITHER),
    "no last line end": (lambda rng, data: data.rstrip(b"\n"), READ),
    "blank lines": (lambda rng, data: data.replace(b"\n", b"\n\n"), READ),
    "all quoted": (lambda rng, data: encode(list(csv.reader(io.StringIO(data.decode()))), quoting=csv.QUOTE_ALL), READ),
    "semicolons": (lambda rng, data: data.replace(b",", b";"), EITHER),
    "the file twice": (lambda rng, data: data + data, REFUSED),
    "tabs": (lambda rng, data: data.replace(b",", b"\t"), EITHER),
    "UTF-16": (lambda rng, data: data.decode().encode("utf-16"), READ),
    "Latin-1": (lambda rng, data: data.replace(b"fname", "fnäme".encode("latin-1")) + b"\xe4", EITHER),
    "NUL bytes": (lambda rng, data: insert(rng, data, b"\0" * int(rng.integers(1, 9))), EITHER),
    "stray characters": (lambda rng, data: insert(rng, data, pick(rng, RUBBISH).encode()), EITHER),
    "an unbalanced quote": (lambda rng, data: insert(rng, data, b'"'), EITHER),
    "bytes replaced": (lambda rng, data: insert(rng, data, rng.bytes(int(n := rng.integers(1, 9))), n), EITHER),
    "bytes cut off": (lambda rng, data: data[: rng.integers(len(data))], EITHER),
    "random bytes": (lambda rng, data: rng.bytes(int(rng.integers(1, 3000))), EITHER),
    "nothing": (lambda rng, data: pick(rng, [b"", b"\n", b" ", b"\xef\xbb\xbf", b"\n\n\n", b","]), EITHER),
}
KINDS = CHANGES | DAMAGES
WHAT = {"rows, columns and fields": CHANGES, "bytes, line ends and encodings": DAMAGES}
