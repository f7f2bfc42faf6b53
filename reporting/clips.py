"""Sections: the curated clips that the model ranks worst, and the noisy labels that it believes least."""

from html import escape
from pathlib import Path

import numpy as np

from loaders.audio import UnusableClipError
from loaders.pcen import AudioSettings
from predicting.metrics import clip_lwlrap
from reporting.analysis import least_belief
from reporting.markup import Section, data_uri, paragraph
from reporting.media import clip_samples, picture, sound
from reporting.results import Results

TOP = 5  # predicted labels that a card shows


def hardest_section(results: Results, settings: AudioSettings, most: int, seconds: float) -> Section:
    """The curated clips with the lowest lwlrap, out of fold."""
    fnames, probabilities = results.tables["val"]
    subset = results.corpus.subset("train_curated")
    truth = subset.truth_of(fnames)
    scores, belief = clip_lwlrap(truth, probabilities), least_belief(truth, probabilities)
    worst = [i for i in np.lexsort((belief, scores)) if truth[i].any()][:most]
    cards = [
        clip_card(subset.folder, fnames[i], f"lwlrap {scores[i]:.3f}", truth[i], probabilities[i],
                  results.corpus.class_names, settings, seconds)
        for i in worst
    ]  # fmt: skip
    lead = (
        "Curated clips with the lowest lwlrap, each predicted by the fold that held it out. What is wrong here may be "
        "the model or the label: listen."
    )
    return Section("hardest", "Hardest curated clips", lead, f'<div class="clips">{"".join(cards)}</div>')


def doubtful_section(results: Results, settings: AudioSettings, most: int, seconds: float) -> Section | None:
    """The noisy clips with the least believed given label; None for a data set without noisy clips."""
    subset, title = results.corpus.subsets.get("train_noisy"), "Doubtful noisy labels"
    if subset is None:
        return None
    if "train_noisy" not in results.tables:
        how = "Predict the noisy clips with test.py --split train_noisy for every fold, and they are shown here."
        return Section("doubtful", title, "The noisy clips whose given label the model believes least.", paragraph(how))
    fnames, probabilities = results.tables["train_noisy"]
    belief = least_belief(subset.truth, probabilities)
    cards = [
        clip_card(subset.folder, fnames[i], f"belief {belief[i]:.1%}", subset.truth[i], probabilities[i],
                  results.corpus.class_names, settings, seconds)
        for i in np.argsort(belief, kind="stable")[:most]
        if subset.truth[i].any()
    ]  # fmt: skip
    lead = (
        "Noisy clips by the least believed of their given labels, mean of the folds. If the folds were trained on "
        "these labels, as they are by default, then what they still do not believe is all the more doubtful."
    )
    return Section("doubtful", title, lead, f'<div class="clips">{"".join(cards)}</div>')


def clip_card(
    folder: Path,
    fname: str,
    score: str,
    given: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    settings: AudioSettings,
    seconds: float,
) -> str:
    """HTML of one clip: picture, player, given labels (C,) bool and the most probable ones with probabilities (C,)."""
    try:
        samples = clip_samples(folder, fname, settings, seconds)
        shown = escape(f"PCEN spectrogram of {fname}")
        media = (
            f'<div class="picture"><img alt="{shown}" src="{data_uri("image/jpeg", picture(samples, settings))}">'
            f'<i></i></div><audio controls preload="metadata" aria-label="{escape(fname)}" '
            f'src="{data_uri("audio/mpeg", sound(samples, settings.sampling_rate))}"></audio>'
        )
    except UnusableClipError as error:
        media = paragraph(f"Cannot be shown: {error}")
    top = np.argsort(-probabilities, kind="stable")[:TOP]
    return (
        f'<article class="clip">{media}<div class="name"><h3>{escape(fname)}</h3><span>{escape(score)}</span></div>'
        f"<p>given</p><ul>{''.join(_label(class_names[i], probabilities[i], True) for i in np.flatnonzero(given))}</ul>"
        f"<p>predicted</p><ul>{''.join(_label(class_names[i], probabilities[i], given[i]) for i in top)}</ul></article>"
    )


def _label(name: str, probability: float, given: bool) -> str:
    kind = ' class="given"' if given else ""
    return f'<li{kind} style="--p:{probability:.4f}"><b>{escape(name)}</b><span>{probability:.1%}</span></li>'
