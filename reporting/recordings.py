"""A page to look at recordings and listen to them: when each label sounds, and what other thresholds would report."""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from loaders.audio import mono_blocks
from loaders.pcen import AudioSettings, pcen_stream
from reporting.clips import MP3_BYTES, coloured, sound
from reporting.markup import Section, data_uri, document
from utils.atomic import atomic_write

EMBEDDED = 25e6  # bytes of MP3 in a page at most: 69 minutes
WIDEST, FINEST = 3000, 2  # pixels of a picture at most; frames in one of them at least
LISTEN = """<div class="row"><label>Recording <select id="which"></select></label><span id="count"></span></div>
<div class="row"><label>Threshold of <select id="of"></select></label>
<input type="range" id="shift" min="-5" max="5" step="0.1" value="0" aria-label="Lower or higher">
<output id="least"></output></div>
<div class="row"><button id="previous">Previous event</button><button id="play">Play</button>
<button id="next">Next event</button><output id="time"></output>
<button id="out" aria-label="Zoom out">&minus;</button><button id="in" aria-label="Zoom in">+</button></div>
<div id="strip" tabindex="0" aria-label="Wave, spectrogram and events"><div id="inner"><div id="axis"></div>
<canvas id="wave"></canvas><img id="picture" alt="PCEN spectrogram"><div id="lanes"></div><i id="cursor"></i></div>
</div><audio id="audio"></audio><p class="lead" id="said" role="status">Click to play from there. Keys: space plays and
stops, left and right go by a second, n and p to the next and previous event.</p>"""
EVENTS = """<div class="row"><button id="table">Save the table of all recordings</button>
<button id="track">Save this recording's label track</button></div>
<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">Onset</th><th scope="col">Offset</th>
<th scope="col">Label</th><th scope="col" class="n">Score</th></tr></thead><tbody id="rows"></tbody></table></div>"""


class RecordingsPage:
    """A page to which recordings are added one after the other.

    rule: tagging.events.RULE, the numbers by which the page finds events as `find_events` does.
    """

    def __init__(
        self, path: str | Path, settings: AudioSettings, class_names: list[str], thresholds: np.ndarray, rule: dict
    ) -> None:
        self.path, self.settings, self.room, self.recordings = Path(path), settings, EMBEDDED, []
        self.data = {"labels": class_names, "thresholds": thresholds.tolist(), "rule": rule}

    def add(self, path: Path, timeline: Any) -> None:
        """Take in a recording and its tagging.stream.Timeline; its sound as well, while there is room for it."""
        settings, needed = self.settings, timeline.seconds * MP3_BYTES

        def blocks() -> Iterator[np.ndarray]:
            return mono_blocks(path, settings.sampling_rate, settings.cancel_db)

        heard = quote(os.path.relpath(path, self.path.parent))
        if needed <= self.room:
            heard = data_uri("audio/mpeg", sound(blocks(), settings.sampling_rate, timeline.levels.max()))
            self.room -= needed
        frames = timeline.seconds * settings.sampling_rate / settings.hop_length
        columns = _pooled(pcen_stream(blocks(), settings), max(FINEST, int(-(-frames // WIDEST))))
        picture = data_uri("image/jpeg", coloured(columns, len(columns)))
        held = {"name": str(path), "seconds": timeline.seconds, "sound": heard}
        scores = np.nan_to_num(timeline.scores).T  # a label's lie side by side
        self.recordings.append(
            held | {"picture": picture, "scores": _packed(scores), "levels": _packed(timeline.levels)}
        )

    def write(self) -> None:
        """Write the page."""
        own = sum(each["sound"].startswith("data:") for each in self.recordings)
        lead = f"Recordings: {len(self.recordings)}, labels: {len(self.data['labels'])}. This page holds the sound of "
        lead += "all." if own == len(self.recordings) else f"{own}, and plays that of the others from their files."
        data = json.dumps(self.data | {"recordings": self.recordings}, allow_nan=False)
        held = data.replace("<", "\\u003c")  # so that no name can end the element
        listen = f'<script type="application/json" id="data">{held}</script>{LISTEN}'
        sections = [Section("listen", "Listen", "", listen), Section("events", "Events", "", EVENTS)]
        html = document("Recordings", lead, sections, "When it sounds", "recordings.js", "data: 'self' file:")
        with atomic_write(self.path, "w") as file:
            file.write(html)


def _pooled(features: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Features (frames, n_mels) in blocks -> the highest of each `size` frames, the last of which may be fewer."""
    held, columns = None, []
    for block in features:
        held = block if held is None else np.concatenate([held, block])
        whole = len(held) // size * size
        columns.append(held[:whole].reshape(-1, size, held.shape[1]).max(axis=1))
        held = held[whole:]
    return np.concatenate([*columns, held.max(axis=0, keepdims=True)] if len(held) else columns)


def _packed(values: np.ndarray) -> str:
    """Values as little-endian float32 in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()
