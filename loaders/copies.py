"""Clips that are there under several names: their features are the same to the bit."""

from pathlib import Path

from loaders.index import read_index
from loaders.layouts import Corpus


def describe_copies(corpus: Corpus, folder: Path, splits: list[str]) -> str:
    """How many clips are copies of one before them, and in what these differ; "" without any.  folder: of features."""
    first: dict[str, list] = {}  # by digest
    pairs, differ = [], dict.fromkeys(("in another subset", "in another fold", "with other labels"), 0)
    for split in splits:
        subset = corpus.subset(split)
        row = {fname: i for i, fname in enumerate(subset.fnames)}
        for fname, _, _, digest, *_ in read_index(folder / f"{split}.json")["clips"]:
            fold, labels = (None if k is None else k[row[fname]].tolist() for k in (subset.folds, subset.truth))
            clip = [f"{split}/{fname}", split, fold, labels]
            if (other := first.setdefault(digest, clip)) is not clip:
                pairs.append(f"{clip[0]} of {other[0]}")
                for what, mine, its in zip(differ, clip[1:], other[1:], strict=True):
                    differ[what] += mine != its and None not in (mine, its)
    counts = "".join(f", {count} of them {what}" for what, count in differ.items() if count)
    named = ", ".join(pairs[:3]) + ", ..." * (len(pairs) > 3)
    return f"{len(pairs)} clips are copies of another{counts}: {named}" if pairs else ""
