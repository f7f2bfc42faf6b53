"""Sections: the curated clips that the model ranks worst, and the noisy labels that it believes least."""

from html import escape
from pathlib import Path

import numpy as np

from loaders.audio import UnusableClipError
from loaders.pcen import AudioSettings
from predicting.metrics import clip_lwlrap
from predicting.splits import SPLITS
from reporting.analysis import least_belief
from reporting.markup import Section, data_uri, paragraph
from reporting.media import clip_samples, picture, sound
from reporting.results import Results

TOP = 5  # predicted labels that a card shows


def hardest_section(results: Results, settings: AudioSettings, most: int, seconds: float) -> Section:
    """The curated clips with the lowest lwlrap, out of fold."""
    truth, probabilities = results.held_out()
    scores, belief = clip_lwlrap(truth, probabilities), least_belief(truth, probabilities)
    worst = [i for i in np.lexsort((belief, scores)) if truth[i].any()][:most]
    cards = _cards(results, "val", worst, [f"lwlrap {scores[i]:.3f}" for i in worst], settings, seconds)
    lead = (
        "Curated clips with the lowest lwlrap, each predicted by the fold that held it out. What is wrong here may be "
        "the model or the label: listen."
    )
    return Section("hardest", "Hardest curated clips", lead, cards)


def doubtful_section(results: Results, settings: AudioSettings, most: int, seconds: float) -> Section | None:
    """The noisy clips with the least believed given label; None for a data set without noisy clips."""
    subset, title = results.corpus.subsets.get("train_noisy"), "Doubtful noisy labels"
    if subset is None:
        return None
    if "train_noisy" not in results.tables:
        how = "Predict the noisy clips with test.py --split train_noisy for every fold, and they are shown here."
        return Section("doubtful", title, "The noisy clips whose given label the model believes least.", paragraph(how))
    belief = least_belief(subset.truth, results.tables["train_noisy"][1])
    worst = [i for i in np.argsort(belief, kind="stable")[:most] if subset.truth[i].any()]
    cards = _cards(results, "train_noisy", worst, [f"belief {belief[i]:.1%}" for i in worst], settings, seconds)
    lead = (
        "Noisy clips by the least believed of their given labels, mean of the folds. If the folds were trained on "
        "these labels, as they are by default, then what they still do not believe is all the more doubtful."
    )
    return Section("doubtful", title, lead, cards)


def _cards(
    results: Results, split: str, rows: list[int], scores: list[str], settings: AudioSettings, seconds: float
) -> str:
    """HTML of clips of a split, by their rows, each with its score in words: picture, player, labels."""
    fnames, probabilities = results.tables[split]
    subset, names, html = results.corpus.subset(SPLITS[split]), results.corpus.class_names, ""
    for i, score in zip(rows, scores, strict=True):
        given, p = np.flatnonzero(subset.truth_of([fnames[i]])[0]), probabilities[i]
        labels = "".join(_label(names[c], p[c], True) for c in given)
        predicted = "".join(_label(names[c], p[c], c in given) for c in np.argsort(-p, kind="stable")[:TOP])
        html += (
            f'<article class="clip">{_media(subset.folder, fnames[i], settings, seconds)}<div class="name">'
            f"<h3>{escape(fnames[i])}</h3><span>{escape(score)}</span></div>"
            f"<p>given</p><ul>{labels}</ul><p>predicted</p><ul>{predicted}</ul></article>"
        )
    return f'<div class="clips">{html}</div>'


def _media(folder: Path, fname: str, settings: AudioSettings, seconds: float) -> str:
    try:
        samples = clip_samples(folder, fname, settings, seconds)
    except UnusableClipError as error:
        return paragraph(f"Cannot be shown: {error}")
    shown = escape(f"PCEN spectrogram of {fname}")
    return (
        f'<div class="picture"><img alt="{shown}" src="{data_uri("image/jpeg", picture(samples, settings))}">'
        f'<i></i></div><audio controls preload="metadata" aria-label="{escape(fname)}" '
        f'src="{data_uri("audio/mpeg", sound(samples, settings.sampling_rate))}"></audio>'
    )


def _label(name: str, probability: float, given: bool) -> str:
    kind = ' class="given"' if given else ""
    return f'<li{kind} style="--p:{probability:.4f}"><b>{escape(name)}</b><span>{probability:.1%}</span></li>'
